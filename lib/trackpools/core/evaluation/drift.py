"""Measure whether users, recordings and scores have drifted, by the population stability index (PSI).

PSI = Σ_b (q_b − p_b) · ln(q_b / p_b) over bins b, where p are the old shares and q the new ones (Siddiqi
2006, Credit Risk Scorecards). It is Jeffreys' divergence: 0 if the shares are equal, and unchanged if old and
new are swapped. Half a count is added to every bin (Krichevsky & Trofimov 1981), so that an empty bin does
not make the PSI infinite.

Two samples of one distribution differ too. Their PSI is distributed about as χ²(bins − 1) · (1/n + 1/m),
where n and m are the sizes of the samples (Yurdakul & Naranjo 2020). `chance_psi` returns a quantile of this
distribution, and only a PSI above it shows a drift. Without it, the fixed thresholds would report drift on
every small set of users.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import stats

WATCH_PSI, DRIFT_PSI = (
    0.1,
    0.25,
)  # Siddiqi 2006: below the first no change matters, above the second the change is large
BINS = 10  # number of quantile bins
UNKNOWN = -100  # the bin of nulls


def psi(old: Sequence[int], new: Sequence[int], smoothing: float = 0.5) -> float:
    """Return the population stability index of two histograms over the same bins.

    Args:
        old: counts by bin, before.
        new: counts of the same bins, now.
        smoothing: count added to every bin; bins that are empty on both sides are left out first.

    Returns:
        The PSI, ≥ 0; 0 if one side is empty, since nothing can be compared then.
    """
    before, now = np.asarray(old, np.float64), np.asarray(new, np.float64)
    some = (before > 0) | (now > 0)
    if not before.sum() or not now.sum():
        return 0.0
    p, q = (counts[some] + smoothing for counts in (before, now))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def chance_psi(old: Sequence[int], new: Sequence[int], level: float = 0.95) -> float:
    """Return the bound that the PSI of two samples of one distribution rarely exceeds by chance.

    Args:
        old: counts by bin, before.
        new: counts of the same bins, now.
        level: probability that two samples of these sizes have a PSI below the bound.

    Returns:
        The bound; 0 if one side is empty, or if fewer than two bins have a count.
    """
    n, m, bins = sum(old), sum(new), sum(1 for a, b in zip(old, new, strict=True) if a or b)
    if not n or not m or bins < 2:
        return 0.0
    return float(stats.chi2.ppf(level, bins - 1) * (1 / n + 1 / m))


def by_octave(old: DataFrame, new: DataFrame, column: str) -> DataFrame:
    """Count the rows of two frames in bins of a column; each bin is twice as wide as the one before.

    Returns:
        One row for each bin that occurs, about sixty at most: `bin int, old long, new long`. The bin of a
        value x is ⌊log₂ x⌋; it is −1 for x below 1, and `UNKNOWN` for null.
    """
    value = F.col(column)
    octave = (
        F.when(value.isNull(), UNKNOWN).when(value < 1, -1).otherwise(F.floor(F.log2(value.cast("double"))))
    )
    return _both(*(frame.select(octave.cast("int").alias("bin")) for frame in (old, new)))


def by_quantile(old: DataFrame, new: DataFrame, column: str, bins: int = BINS) -> DataFrame:
    """Count the rows of two frames in bins that each hold about equally many rows of the old frame.

    Args:
        old: frame that defines the quantiles.
        new: frame to compare.
        column: name of the column.
        bins: number of bins; if two quantiles are equal, there are fewer.

    Returns:
        One row for each bin that occurs: `bin int, old long, new long`. Bin 0 has the values up to and
        including the first quantile; the last bin is `bins` − 1 at most. Nulls are in the bin `UNKNOWN`.
    """
    at = [i / bins for i in range(1, bins)]
    cuts = F.broadcast(old.agg(F.array_distinct(F.percentile_approx(column, at, 10_000)).alias("_cuts")))
    # One comparison for each cut, because Spark interprets functions with a lambda row by row.
    above = reduce(
        Column.__add__,
        (
            F.coalesce((F.try_element_at("_cuts", F.lit(i)) < F.col(column)).cast("int"), F.lit(0))
            for i in range(1, bins)
        ),
    )
    # `_cuts` is null if the old frame has no values.
    place = F.when(F.col(column).isNull(), UNKNOWN).when(F.col("_cuts").isNull(), 0).otherwise(above)
    return _both(
        *(frame.select(column).crossJoin(cuts).select(place.cast("int").alias("bin")) for frame in (old, new))
    )


def _both(old: DataFrame, new: DataFrame) -> DataFrame:
    """Count the rows of each `bin` in both frames: `bin, old, new`."""
    is_new: Column = F.col("_new")
    rows = old.withColumn("_new", F.lit(False)).unionByName(new.withColumn("_new", F.lit(True)))
    return rows.groupBy("bin").agg(F.count_if(~is_new).alias("old"), F.count_if(is_new).alias("new"))
