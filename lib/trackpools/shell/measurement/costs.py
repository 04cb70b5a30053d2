"""Record how much money each stage cost, and refuse work that would cost more than a budget.

Costs are stored in the table `pool_metrics`, under the run key of the release that the stages built.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.errors import ConfigError
from trackpools.shell.measurement.pool_measures import ALL, Measure, save_measures
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.releases.releases import Release
from trackpools.shell.spark.context import slots

PREFIX, PLAYS = (
    "cost:",
    "cost:plays",
)  # prefix of the names of cost metrics, and name of the metric for the number of plays in the log


def money(flow: Flow, seconds: float) -> float:
    """Return the price of `seconds` on all cores of the session, busy or idle, in `cost.currency`.

    The price is 0 if the number of cores is unknown, for example with Spark Connect.
    """
    return seconds * slots(flow.spark) / 3600 * flow.config.cost.core_hour


def record_costs(flow: Flow, release: Release, seconds: Mapping[str, float]) -> str:
    """Record the cost of each step, in total and per 1,000 users, and the number of plays in the log.

    Args:
        flow: The flow that ran the steps.
        release: The release that the steps built.
        seconds: Step → duration in seconds, without the steps that were skipped.

    Returns:
        One line that reports the total.
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
    save_measures(
        flow.store,
        flow.tracker,
        [*told, Measure(PLAYS, ALL, plays, users=users)],
        release.run_key,
        release.as_of,
    )
    total, currency = sum(spent.values()), flow.config.cost.currency
    return f"cost: {total:.4f} {currency}, {total * 1000 / users:.5f} {currency} per 1,000 users, at {flow.config.cost.core_hour} per core-hour"


def require_within(flow: Flow, budget: float | None, steps: Sequence[str], times: int = 1) -> None:
    """Check before any step runs whether the steps would cost more than the budget, and refuse them if so.

    The estimate is the last recorded cost of the same steps, multiplied by the number of runs and by the
    growth of the log. The growth is the present number of plays divided by the last recorded one, and at
    least 1.

    Args:
        flow: The flow that would run the steps.
        budget: The most that the steps may cost, in `cost.currency`; None allows any cost.
        steps: Names of the steps.
        times: Number of times that the steps will run.

    Raises:
        ConfigError: If the estimate is above the budget (the error shows the calculation), or if the cost of
            a step or the number of plays was never recorded.
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
            f"--budget cannot be checked, because the cost of {', '.join(missing) or 'a run'} was never recorded here; run once without --budget"
        )
    plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).count()
    grown, currency = max(1.0, plays / last["plays"]) * times, flow.config.cost.currency
    asked = {step: last[step] * grown for step in steps}
    if sum(asked.values()) > budget:
        raise ConfigError(
            f"this would cost {sum(asked.values()):.4f} {currency}, but the budget is {budget:g}: nothing was run; increase --budget, or reduce the work",
            [
                f"{step}: {one:.4f} {currency} = {last[step]:.4f} last time × {grown:.2f} for the present number of plays and {times} runs"
                for step, one in asked.items()
            ],
        )
