"""Benchmark of the blend's quality: recall@500 of new recordings, against each source alone.

A recording is new if the user hears it for the first time. The benchmark measures on a synthetic world. The
world, its seed and the split into days were fixed before the first measurement and are not tuned. The weights
of the sources were chosen on other data than the measured days; see "What it is worth" in docs/benchmarks.md.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.sources import active_sources
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.held_out_flow import TEST_DAYS, K, Trial, interval, prepared, trial
from trackpools.shell.bench.oracle_recall import law_recall
from trackpools.shell.bench.world import generated
from trackpools.shell.pipeline.runner import Flow

WORLD = {
    "days": 120,
    "seed": 11,
    "plays_per_user_day": 4.0,
    "until": date(2026, 1, 1),
}  # the full size is 4,000 users × 20,000 tracks
PLAIN = {"mmr": 0.0, "calibration": 0.0, "floor": 0}  # switches off MMR, calibration and facet floors


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:  # noqa: ARG001 - all rounds agree
    """Measure recall in the last 14 of 120 days.

    With `pools.heard: exclude`, all 500 candidates of a pool are new recordings. Figures also give the recall
    of recordings that were heard again, with `pools.heard: only`.

    Returns:
        Ratios: the recall of the blend ÷ that of the best single source, and the lower end of the 95 %
        interval of their difference. Figures: those of `of_sources`, the upper end of the interval, and the
        mean of `law_recall`.
    """
    ratio, least = (
        Ratio("blend ÷ best single source, recall@500", 1.1),
        Ratio("lower end of the 95 % interval of their difference", 0.0),
    )
    found = Measured([ratio, least])
    with frozen(config, size, progress) as flow:
        with trial(flow, "exclude") as one:
            recalls = of_sources(one, "new", progress, found)
            best = max((name for name in recalls if name != "blend"), key=lambda name: recalls[name].mean())
            ratio.values.append(float(recalls["blend"].mean() / recalls[best].mean()))
            low, high = interval(recalls["blend"] - recalls[best])
            least.values.append(low)
            found.note(f"blend − {best}, 97.5 %", high)
            found.note("new: the law of the world itself", float(law_recall(flow, one).mean()))
        with trial(flow, "only") as one:
            of_sources(one, "heard", progress, found)
    return found


@contextmanager
def frozen(config: Config, size: Size, progress: Callable[[str], None]) -> Iterator[Flow]:
    """Generate the fixed world and run the flow on it up to its last 14 days; see `prepared`."""
    users, tracks = size.of((4000, 20_000), (400, 2000))
    progress(
        f"world: {users:,} users, {tracks:,} tracks, {WORLD['days']} days; then the flow without the last {TEST_DAYS} days"
    )
    with generated(
        config.model_copy(update={"pools": config.pools.model_copy(update={"k": K})}),
        **WORLD,
        users=users,
        tracks=tracks,
    ) as own:
        yield prepared(own, own.synthetic.until - timedelta(days=TEST_DAYS))


def of_sources(one: Trial, kind: str, progress: Callable[[str], None], found: Measured) -> dict[str, Any]:
    """Measure the recall@500 of the blend, of each source alone, and of the blend without it.

    A source alone may propose up to 1,000 recordings, or more if its `k` is larger. MMR, calibration and
    floors are off, because they cost recall for the sake of other goals. One figure is the recall of the
    blend with these three as configured.

    Args:
        one: The trial.
        kind: `new` or `heard`; the name of each figure begins with it. With `heard`, sources that emit only new
            recordings are left out.
        progress: Shows one line of progress.
        found: The means over users are added to its figures.

    Returns:
        `blend` or the name of a source → the recall of each user, float64.
    """
    progress(f"{kind}: blend")
    recalls = {"blend": one.recall(one.pools(one.proposed, **PLAIN))}
    found.note(f"{kind}: blend, recall@500", recalls["blend"].mean())
    found.note(
        f"{kind}: blend with MMR, calibration and floors as configured",
        one.recall(one.pools(one.proposed)).mean(),
    )
    for source in active_sources(one.inputs.config):
        if kind == "heard" and source.emits == "new":
            continue
        progress(f"{kind}: {source.name}")
        recalls[source.name] = one.recall(one.pools(one.deep.where(F.col("source") == source.bit), **PLAIN))
        found.note(f"{kind}: {source.name} alone", recalls[source.name].mean())
        without = one.recall(one.pools(one.proposed.where(F.col("source") != source.bit), **PLAIN))
        found.note(f"{kind}: without {source.name}, loss", float((recalls["blend"] - without).mean()))
    return recalls
