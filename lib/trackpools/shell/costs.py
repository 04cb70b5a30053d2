"""What stages cost in money, kept with the release that they made; and a budget that is asked before anything is spent."""

from collections.abc import Mapping, Sequence

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.errors import ConfigError
from trackpools.shell.cluster import slots
from trackpools.shell.flow import Flow
from trackpools.shell.measuring import ALL, Measure, keep
from trackpools.shell.releases import Release

PREFIX, PLAYS = (
    "cost:",
    "cost:plays",
)  # of its metrics in pool_metrics, and of that which says how large the log was


def money(flow: Flow, seconds: float) -> float:
    """Of so many seconds of all the session's cores, busy or not; 0 where nobody tells how many there are (Connect)."""
    return seconds * slots(flow.spark) / 3600 * flow.config.cost.core_hour


def tell(flow: Flow, release: Release, seconds: Mapping[str, float]) -> str:
    """Keep what each step cost, per 1,000 listeners and in all; returns it as a line.

    Args:
        seconds: step → how long it took, for steps that did something.
    """
    users, plays = (
        max(1, release.rows(t.USER_IDS.name)),
        flow.store.read(t.PLAYS.name, flow.store.version(t.PLAYS.name)).count(),
    )
    spent = {step: money(flow, took) for step, took in seconds.items()}
    told = [
        Measure(PREFIX + step, "per 1000 users", one * 1000 / users, users=users)
        for step, one in spent.items()
    ]
    told += [Measure(PREFIX + step, ALL, one, users=users) for step, one in spent.items()]
    keep(
        flow.store,
        flow.tracker,
        [*told, Measure(PLAYS, ALL, plays, users=users)],
        release.run_key,
        release.as_of,
    )
    total, currency = sum(spent.values()), flow.config.cost.currency
    return f"cost: {total:.4f} {currency}, {total * 1000 / users:.5f} {currency} per 1,000 listeners, at {flow.config.cost.core_hour} an hour and core"


def require_within(flow: Flow, budget: float | None, steps: Sequence[str], times: int = 1) -> None:
    """Refuse what would cost more than the budget, by what the same steps cost last and by how the log has grown; before anything is run.

    Args:
        times: how often they are to be run.

    Raises:
        ConfigError: with the arithmetic, or where nothing was measured yet.
    """
    if budget is None:
        return
    store = flow.store
    last: dict[str, float] = {}
    if store.exists(t.POOL_METRICS.name):
        rows = (
            store.read(t.POOL_METRICS.name)
            .where(F.startswith("metric", F.lit(PREFIX)) & (F.col("slice") == ALL))
            .orderBy(F.desc("as_of"))
            .collect()
        )
        for row in rows:
            last.setdefault(row["metric"].removeprefix(PREFIX), row["value"])
    missing = [step for step in steps if step not in last]
    if missing or not last.get("plays"):
        raise ConfigError(
            f"--budget has nothing to go by: {', '.join(missing) or 'no run'} was never measured here; run once without it"
        )
    plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).count()
    grown, currency = max(1.0, plays / last["plays"]) * times, flow.config.cost.currency
    asked = {step: last[step] * grown for step in steps}
    if sum(asked.values()) > budget:
        raise ConfigError(
            f"this would cost {sum(asked.values()):.4f} {currency}, the budget is {budget:g}: nothing was run; raise --budget, or lower the work",
            [
                f"{step}: {one:.4f} {currency}, last {last[step]:.4f} × {grown:.2f} for the plays there are now and {times} runs"
                for step, one in asked.items()
            ],
        )
