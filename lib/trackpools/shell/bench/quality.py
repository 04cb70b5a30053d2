"""What the blend is worth: recall@500 of recordings heard for the first time, against each source alone, on a world whose parameters were fixed beforehand.

The world, the split and the seed stand here and are not tuned; weights of sources were chosen on the fortnight before the one that is measured.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.sources import enabled
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.law import law_recall
from trackpools.shell.bench.trial import TEST_DAYS, K, Trial, interval, prepared, trial
from trackpools.shell.bench.world import generated
from trackpools.shell.flow import Flow

WORLD = {
    "days": 120,
    "seed": 11,
    "plays_per_user_day": 4.0,
    "until": date(2026, 1, 1),
}  # and 4,000 users × 20,000 tracks
PLAIN = {"mmr": 0.0, "calibration": 0.0, "floor": 0}  # the order of the blend and nothing else


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:  # noqa: ARG001 - the answer is exact
    """Of the last 14 days of 120; the policy `exclude`, so that all 500 places are for what is new. Beside it what was heard again, policy `only`."""
    ratio, least = (
        Ratio("blend ÷ best single source, recall@500", 1.1),
        Ratio("lower end of the 95 % interval of their difference", 0.0),
    )
    found = Measured([ratio, least])
    with frozen(config, size, tell) as flow:
        with trial(flow, "exclude") as one:
            recalls = of_sources(one, "new", tell, found)
            best = max((name for name in recalls if name != "blend"), key=lambda name: recalls[name].mean())
            ratio.values.append(float(recalls["blend"].mean() / recalls[best].mean()))
            low, high = interval(recalls["blend"] - recalls[best])
            least.values.append(low)
            found.note(f"blend − {best}, 97.5 %", high)
            found.note("new: the law of the world itself", float(law_recall(flow, one).mean()))
        with trial(flow, "only") as one:
            of_sources(one, "heard", tell, found)
    return found


@contextmanager
def frozen(config: Config, size: Size, tell: Callable[[str], None]) -> Iterator[Flow]:
    """The flow over the fixed world up to its last 14 days."""
    users, tracks = size.of((4000, 20_000), (400, 2000))
    tell(
        f"world: {users:,} listeners, {tracks:,} tracks, {WORLD['days']} days; then the flow up to the last {TEST_DAYS}"
    )
    with generated(
        config.model_copy(update={"pools": config.pools.model_copy(update={"k": K})}),
        **WORLD,
        users=users,
        tracks=tracks,
    ) as own:
        yield prepared(own, own.synthetic.until - timedelta(days=TEST_DAYS))


def of_sources(one: Trial, kind: str, tell: Callable[[str], None], found: Measured) -> dict[str, Any]:
    """recall@500 by user, of each source alone with up to 1,000 items of its own and of all together; and what all lose without each.

    Without MMR, calibration and floors, which trade recall for something else; beside it with them.
    """
    tell(f"{kind}: blend")
    recalls = {"blend": one.recall(one.pools(one.proposed, **PLAIN))}
    found.note(f"{kind}: blend, recall@500", recalls["blend"].mean())
    found.note(
        f"{kind}: blend with MMR, calibration and floors as configured",
        one.recall(one.pools(one.proposed)).mean(),
    )
    for source in enabled(one.inputs.config):
        if kind == "heard" and source.emits == "new":
            continue
        tell(f"{kind}: {source.name}")
        recalls[source.name] = one.recall(one.pools(one.deep.where(F.col("source") == source.bit), **PLAIN))
        found.note(f"{kind}: {source.name} alone", recalls[source.name].mean())
        without = one.recall(one.pools(one.proposed.where(F.col("source") != source.bit), **PLAIN))
        found.note(f"{kind}: without {source.name}, loss", float((recalls["blend"] - without).mean()))
    return recalls
