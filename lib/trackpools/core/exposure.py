"""How pools share out the catalogue: how much of it anybody is offered, and how evenly."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def exposures(pools: DataFrame) -> DataFrame:
    """`pools, recordings`: how many recordings are in so many pools; a row a number of pools that occurs, none for 0.

    They are few: of S places in pools, fewer than √(2 S).
    """
    offered = (
        pools.select(F.explode("candidates.recording").alias("recording"))
        .groupBy("recording")
        .agg(F.count(F.lit(1)).alias("pools"))
    )
    return offered.groupBy("pools").agg(F.count(F.lit(1)).alias("recordings"))


def coverage(found: Sequence[tuple[int, int]], catalogue: int) -> float:
    """Share of a catalogue that is in some pool, of `exposures` collected."""
    return sum(recordings for _, recordings in found) / catalogue if catalogue else 0.0


def gini(found: Sequence[tuple[int, int]], catalogue: int) -> float:
    """Gini's coefficient of exposure, those nobody is offered included: 0 where all are in as many pools, near 1 where a few are in all.

    Args:
        found: (pools, recordings), see `exposures`.
    """
    offered = sum(recordings for _, recordings in found)
    below, total, area = max(catalogue - offered, 0), 0.0, 0.0
    everything = below + offered
    for pools, recordings in sorted(found):  # trapezia under the Lorenz curve, by runs of equals
        area += recordings * (total + pools * recordings / 2)
        total += pools * recordings
    return 1 - 2 * area / (everything * total) if total else 0.0
