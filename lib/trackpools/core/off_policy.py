"""What another policy would have earned, told from exposures that the old one left to chance; no experiment is run, nobody is shown anything new.

A logged exposure i was shown with probability pᵢ (the propensity, known because a lot was drawn), the new policy would show it with probability qᵢ, and
it earned rᵢ (a play, a save, minutes). With wᵢ = qᵢ / pᵢ over the n exposures that can be used:

- IPS    Σ w r / n     unbiased (Horvitz & Thompson 1952), where both policies show equally many
- SNIPS  Σ w r / Σ w   a ratio: a little biased, far steadier, and no larger than the largest reward (Swaminathan & Joachims 2015)

Both hold only where all that the new policy shows had a chance of being shown. Where it had, Σ w / n is 1 but for chance: look at it first. Clipping
w at c trades variance for bias (Ionides 2008); n_eff = (Σ w)² / Σ w² (Kish 1965) says how many exposures of equal weight would tell as much.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.resampling import Resampled

COUNTS = ("used", "refused", "incomplete", "certain", "clipped")
COLUMNS = (*COUNTS, "reward", "weight", "weighted", "squares")  # of `sums`, to be resampled in this order
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Told:
    """A figure and the two ends of its interval; NaN where nothing can be told."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """What a policy would have earned an exposure.

    Attributes:
        ips, snips: see above, in units of the reward.
        logged: what the logging policy earned on the same exposures.
        gain: snips − logged, resampled together: its interval tells whether the policies differ.
        users: with any exposure.
        used: exposures of the estimate.
        refused: exposures without a propensity of (0, 1]: what was not drawn by lot says nothing of what else could have been drawn.
        incomplete: randomised, but without a reward, or without a target of [0, 1].
        certain: of those used, with propensity 1: shown whatever the lot; they say nothing of what was never shown.
        clipped: of those used, with a weight above the clip.
        mean_weight: Σ w / n; clearly below 1, the new policy shows what had no chance, or weights were clipped.
        effective: exposures of equal weight that would tell as much.
    """

    ips: Told
    snips: Told
    logged: Told
    gain: Told
    users: int
    used: int
    refused: int
    incomplete: int
    certain: int
    clipped: int
    mean_weight: float
    effective: float


def _probability(column: str, least: Column) -> Column:
    """Whether it is one and within bounds; Spark holds NaN above every number."""
    return F.coalesce(least & (F.col(column) <= 1), F.lit(False))


def sums(exposures: DataFrame, clip: float | None = None) -> DataFrame:
    """A row a user with any exposure: `user_idx` and doubles `COLUMNS`; without nulls, so that ratios of resampled means are ratios of sums.

    Args:
        exposures: a row a logged exposure: `user_idx, recording_idx, propensity, target, reward`.
        clip: the largest weight; None is none.
    """
    randomised = _probability("propensity", F.col("propensity") > 0)
    known = _probability("target", F.col("target") >= 0) & F.col("reward").isNotNull() & ~F.isnan("reward")
    # null where it is not used, so that nothing is divided by 0
    raw = F.when(randomised & known, F.col("target").cast("double") / F.col("propensity").cast("double"))
    told = exposures.select("user_idx", "propensity", "reward", randomised.alias("_lot"), raw.alias("_raw"))
    use, lot = F.col("_raw").isNotNull(), F.col("_lot")
    over = F.lit(False) if clip is None else F.col("_raw") > clip
    counts = (use, ~lot, lot & ~use, use & (F.col("propensity") == 1), over)

    def total(value: Column) -> Column:
        return F.coalesce(F.sum(F.when(use, value)), F.lit(0.0))

    w = F.col("_raw") if clip is None else F.least(F.col("_raw"), F.lit(float(clip)))
    r = F.col("reward").cast("double")
    return told.groupBy("user_idx").agg(
        *(F.count_if(one).cast("double").alias(name) for name, one in zip(COUNTS, counts, strict=True)),
        total(r).alias("reward"),
        total(w).alias("weight"),
        total(w * r).alias("weighted"),
        total(w * w).alias("squares"),
    )


def estimate(found: Resampled, level: float = 0.95) -> Estimate:
    """Of `total(resampled(sums(…), COLUMNS).toArrow(), len(COLUMNS))`: users are what is drawn, since a user's exposures are alike."""
    mean = dict(zip(COLUMNS, found.mean, strict=True))
    draws = dict(zip(COLUMNS, found.draws.T, strict=True))
    all_ = {name: float(found.users[0] * value) for name, value in mean.items()}

    def both(above: str, below: str) -> tuple[float, Floats]:
        return float(_ratio(np.array([mean[above]]), np.array([mean[below]]))[0]), _ratio(
            draws[above], draws[below]
        )

    ips, snips, logged = both("weighted", "used"), both("weighted", "weight"), both("reward", "used")
    used, refused, incomplete, certain, clipped = (round(all_[name]) for name in COUNTS)
    return Estimate(
        ips=_told(*ips, level),
        snips=_told(*snips, level),
        logged=_told(*logged, level),
        gain=_told(snips[0] - logged[0], snips[1] - logged[1], level),
        users=round(float(found.users[0])),
        used=used,
        refused=refused,
        incomplete=incomplete,
        certain=certain,
        clipped=clipped,
        mean_weight=both("weight", "used")[0],
        effective=all_["weight"] ** 2 / all_["squares"] if all_["squares"] else 0.0,
    )


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    none: Floats = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=none, where=below > 0)


def _told(value: float, drawn: Floats, level: float) -> Told:
    some = drawn[~np.isnan(drawn)]  # a draw may hold nobody
    if not len(some):
        return Told(value, np.nan, np.nan)
    low, high = np.quantile(some, [(1 - level) / 2, (1 + level) / 2])
    return Told(value, float(low), float(high))
