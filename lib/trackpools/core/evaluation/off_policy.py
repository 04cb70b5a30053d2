"""Estimate the reward of a new policy from randomised exposures that were logged under the old policy.

An exposure is a recording that was shown to a user, and a policy decides what is shown. No experiment is run,
and no user is shown anything new. The old policy showed exposure i with probability pᵢ (the propensity, which
is known because the old policy drew at random). The new policy would show it with probability qᵢ. The
exposure earned the reward rᵢ (a play, a save, minutes). With the weights wᵢ = qᵢ / pᵢ over the n usable
exposures:

- IPS    Σ w r / n     is unbiased (Horvitz & Thompson 1952) if both policies show equally many recordings
- SNIPS  Σ w r / Σ w   is a ratio: a little biased, far steadier, and no larger than the largest reward
  (Swaminathan & Joachims 2015)

Both estimates are valid only if the old policy could have shown everything that the new policy shows. Check
this first: if it is so, and both policies show equally many recordings, Σ w / n differs from 1 only by
chance. Limiting each w to a largest value (the clip) lowers the variance and adds a bias (Ionides
2008). n_eff = (Σ w)² / Σ w² (Kish 1965) is the number of exposures of equal weight that would carry as much
information.
"""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.arrays.array_types import Float64Array
from trackpools.core.evaluation.bootstrap import BootstrapResult

COUNTS = ("used", "refused", "incomplete", "certain", "clipped")
COLUMNS = (
    *COUNTS,
    "reward",
    "weight",
    "weighted",
    "squares",
)  # the columns of `user_sums`, resampled in this order


@dataclass(frozen=True)
class Interval:
    """An estimate and the two ends of its confidence interval; NaN for what cannot be computed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The estimated mean reward of an exposure under a new policy, and the counts behind the estimate.

    Attributes:
        ips, snips: the two estimates of the module docstring, in units of the reward.
        logged: mean reward of the same exposures under the old policy.
        gain: snips − logged, with both computed in the same bootstrap draws; the policies differ if its
            interval does not contain 0.
        users: number of users with any exposure.
        used: number of exposures that the estimates use.
        refused: number of exposures without a propensity in (0, 1]; they were not drawn at random, so they
            give no information on what else could have been drawn.
        incomplete: number of randomised exposures without a reward, or without a target in [0, 1].
        certain: number of used exposures with propensity 1; nothing else could have been shown instead, so
            they give no information on recordings that were never shown.
        clipped: number of used exposures with a weight above the clip.
        mean_weight: Σ w / n; a value clearly below 1 means that the new policy shows recordings that the old
            one could not show, that it shows fewer recordings, or that weights were clipped.
        effective: number of exposures of equal weight that would carry as much information (n_eff).
    """

    ips: Interval
    snips: Interval
    logged: Interval
    gain: Interval
    users: int
    used: int
    refused: int
    incomplete: int
    certain: int
    clipped: int
    mean_weight: float
    effective: float


def _is_probability(column: str, least: Column) -> Column:
    """Return whether a column is between a lower bound and 1; false for null and NaN.

    Spark orders NaN above every number, so the upper bound excludes it.

    Args:
        column: name of the column.
        least: condition of the lower bound, such as `F.col(column) > 0`.
    """
    return F.coalesce(least & (F.col(column) <= 1), F.lit(False))


def user_sums(exposures: DataFrame, clip: float | None = None) -> DataFrame:
    """Sum counts, rewards and weights over the exposures of each user.

    Args:
        exposures: one row for each logged exposure: `user_idx, recording_idx, propensity, target, reward`;
            `target` is the probability with which the new policy would show the recording.
        clip: the largest weight; None does not limit weights.

    Returns:
        One row for each user with any exposure: `user_idx` and the columns `COLUMNS` (double). No value is
        null, so the mean of every column is over the same users, and the ratio of two means is the ratio of
        the two sums.
    """
    randomised = _is_probability("propensity", F.col("propensity") > 0)
    known = _is_probability("target", F.col("target") >= 0) & F.col("reward").isNotNull() & ~F.isnan("reward")
    # The weight is null where the exposure is not used, so that nothing is divided by 0.
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


def estimate(result: BootstrapResult, level: float = 0.95) -> Estimate:
    """Compute the estimates and their intervals from resampled sums of users.

    The bootstrap draws users, not single exposures, because the exposures of one user resemble each other.

    Args:
        result: `combine_sums(resample(user_sums(…), COLUMNS).toArrow(), len(COLUMNS))`; see `bootstrap`.
        level: confidence level of the intervals.
    """
    mean = dict(zip(COLUMNS, result.mean, strict=True))
    draws = dict(zip(COLUMNS, result.draws.T, strict=True))
    all_ = {name: float(result.users[0] * value) for name, value in mean.items()}

    def both(above: str, below: str) -> tuple[float, Float64Array]:
        return float(_ratio(np.array([mean[above]]), np.array([mean[below]]))[0]), _ratio(
            draws[above], draws[below]
        )

    ips, snips, logged = both("weighted", "used"), both("weighted", "weight"), both("reward", "used")
    used, refused, incomplete, certain, clipped = (round(all_[name]) for name in COUNTS)
    return Estimate(
        ips=_interval(*ips, level),
        snips=_interval(*snips, level),
        logged=_interval(*logged, level),
        gain=_interval(snips[0] - logged[0], snips[1] - logged[1], level),
        users=round(float(result.users[0])),
        used=used,
        refused=refused,
        incomplete=incomplete,
        certain=certain,
        clipped=clipped,
        mean_weight=both("weight", "used")[0],
        effective=all_["weight"] ** 2 / all_["squares"] if all_["squares"] else 0.0,
    )


def _ratio(above: Float64Array, below: Float64Array) -> Float64Array:
    """Divide elementwise; NaN where the divisor is not above 0."""
    none: Float64Array = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=none, where=below > 0)


def _interval(value: float, drawn: Float64Array, level: float) -> Interval:
    some = drawn[~np.isnan(drawn)]  # the ratio of a draw without any used exposure is NaN
    if not len(some):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(some, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
