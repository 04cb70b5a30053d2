"""Whether listeners, recordings and scores are still spread as they were: the population stability index of binned counts.

PSI = Σ_b (q_b − p_b) · ln(q_b / p_b) over bins, p the old shares and q the new (Siddiqi 2006, Credit Risk Scorecards). It is Jeffreys' divergence: 0
where the shares are equal, and the same whichever of the two is called old. Half a count is added to every bin (Krichevsky & Trofimov 1981), so that
an empty one is no infinity.

Two samples of one and the same spread differ too: PSI is then about χ²(bins − 1) · (1/n + 1/m) (Yurdakul & Naranjo 2020). `by_chance` says how
much; few users drift every time by the thresholds alone.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import stats

WATCH, DRIFTED = (
    0.1,
    0.25,
)  # Siddiqi 2006: below the first nothing has changed that matters, above the second much has
BINS = 10  # of quantiles
UNKNOWN = -100  # the bin of nulls


def psi(old: Sequence[int], new: Sequence[int], smoothing: float = 0.5) -> float:
    """Population stability index of the counts of the same bins, ≥ 0; 0 where one side holds nothing, for nothing can be told.

    Args:
        smoothing: added to every count; a bin that is empty on both sides is left out first.
    """
    before, now = np.asarray(old, np.float64), np.asarray(new, np.float64)
    some = (before > 0) | (now > 0)
    if not before.sum() or not now.sum():
        return 0.0
    p, q = (counts[some] + smoothing for counts in (before, now))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def by_chance(old: Sequence[int], new: Sequence[int], level: float = 0.95) -> float:
    """The PSI that two samples of one spread, as large as these, stay below in `level` of all cases; 0 where nothing can be told."""
    n, m, bins = sum(old), sum(new), sum(1 for a, b in zip(old, new, strict=True) if a or b)
    if not n or not m or bins < 2:
        return 0.0
    return float(stats.chi2.ppf(level, bins - 1) * (1 / n + 1 / m))


def by_octave(old: DataFrame, new: DataFrame, column: str) -> DataFrame:
    """`bin int, old long, new long`, a row a power of 2 (bin = ⌊log₂ x⌋; −1 below 1; `UNKNOWN` for null): some sixty at most."""
    value = F.col(column)
    octave = (
        F.when(value.isNull(), UNKNOWN).when(value < 1, -1).otherwise(F.floor(F.log2(value.cast("double"))))
    )
    return _both(*(frame.select(octave.cast("int").alias("bin")) for frame in (old, new)))


def by_quantile(old: DataFrame, new: DataFrame, column: str, bins: int = BINS) -> DataFrame:
    """`bin int, old long, new long`, a row a quantile bin of the old frame; equal quantiles are one bin, `UNKNOWN` is that of nulls.

    Bins are 0 (up to the first cut, with it) to `bins` − 1 at most.
    """
    at = [i / bins for i in range(1, bins)]
    cuts = F.broadcast(old.agg(F.array_distinct(F.percentile_approx(column, at, 10_000)).alias("_cuts")))
    # one comparison a cut: a function that takes a lambda is interpreted row by row
    above = reduce(
        Column.__add__,
        (
            F.coalesce((F.try_element_at("_cuts", F.lit(i)) < F.col(column)).cast("int"), F.lit(0))
            for i in range(1, bins)
        ),
    )
    place = (
        F.when(F.col(column).isNull(), UNKNOWN).when(F.col("_cuts").isNull(), 0).otherwise(above)
    )  # no cuts: nobody was there
    return _both(
        *(frame.select(column).crossJoin(cuts).select(place.cast("int").alias("bin")) for frame in (old, new))
    )


def _both(old: DataFrame, new: DataFrame) -> DataFrame:
    is_new: Column = F.col("_new")
    rows = old.withColumn("_new", F.lit(False)).unionByName(new.withColumn("_new", F.lit(True)))
    return rows.groupBy("bin").agg(F.count_if(~is_new).alias("old"), F.count_if(is_new).alias("new"))
