"""Measure which share of recordings is in at least one pool, and how evenly pools use recordings."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def exposures(pools: DataFrame) -> DataFrame:
    """Count, for each number of pools, the recordings that are in exactly that number of pools.

    Args:
        pools: rows of `tables.POOLS`.

    Returns:
        One row for each number that occurs, except 0: `pools, recordings`, where `recordings` is the number
        of recordings that are in exactly `pools` pools. The result is small: if all pools together hold S
        candidates, it has fewer than √(2 S) rows.
    """
    offered = (
        pools.select(F.explode("candidates.recording").alias("recording"))
        .groupBy("recording")
        .agg(F.count(F.lit(1)).alias("pools"))
    )
    return offered.groupBy("pools").agg(F.count(F.lit(1)).alias("recordings"))


def coverage(counts: Sequence[tuple[int, int]], catalogue: int) -> float:
    """Return the share of the recordings that are in at least one pool; 0 if there are no recordings.

    Args:
        counts: (pools, recordings), the collected result of `exposures`.
        catalogue: number of recordings that could be in a pool.
    """
    return sum(recordings for _, recordings in counts) / catalogue if catalogue else 0.0


def gini(counts: Sequence[tuple[int, int]], catalogue: int) -> float:
    """Return the Gini coefficient of the number of pools that each recording is in.

    It is 0 if all recordings are in equally many pools or there are no pools, and near 1 if a few recordings
    take almost all places in pools. Recordings that are in no pool are included.

    Args:
        counts: (pools, recordings), the collected result of `exposures`.
        catalogue: number of recordings that could be in a pool.
    """
    offered = sum(recordings for _, recordings in counts)
    below, total, area = max(catalogue - offered, 0), 0.0, 0.0
    everything = below + offered
    # Add the areas under the Lorenz curve: one trapezium for the recordings in each number of pools.
    for pools, recordings in sorted(counts):
        area += recordings * (total + pools * recordings / 2)
        total += pools * recordings
    return 1 - 2 * area / (everything * total) if total else 0.0
