"""Compute forward decay (Cormode et al. 2009) and the weights of interactions that follow from it.

With forward decay, a play counts 2^((its day − landmark)/half-life), which never changes; the landmark is a
fixed day of the configuration. The sum over the plays of an interaction is its mass. When interactions are
read, one factor for all rows converts the masses to a moment `as_of`, so that a play of that day counts 1.
The weights are computed from the converted masses.
"""

from datetime import date, datetime

from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.config import WeightsConfig
from trackpools.errors import ConfigError

MAX_EXPONENT = 1000.0  # 2^1000 is near the end of float64; the rest of the range is left for sums


def landmark_factor(day: Column, weights: WeightsConfig) -> Column:
    """Return 2^((day − landmark)/half-life): how much a play of the day adds to a mass.

    The result grows with the day and does not depend on `as_of`, so the part of a day in a mass never
    changes.
    """
    return F.pow(F.lit(2.0), F.datediff(day, F.lit(weights.landmark)) / F.lit(weights.half_life_days))


def as_of_factor(as_of: datetime, weights: WeightsConfig) -> float:
    """Return 2^(−(as_of − landmark)/half-life), the factor that converts masses to the moment `as_of`.

    Raises:
        ConfigError: if `as_of` is more than `MAX_EXPONENT` half-lives from the landmark, because float64
            could not hold the masses; the text shows the arithmetic.
    """
    return float(2.0 ** -_half_lives(as_of.date(), weights))


def _half_lives(day: date, weights: WeightsConfig) -> float:
    halves = (day - weights.landmark).days / weights.half_life_days
    if abs(halves) > MAX_EXPONENT:
        raise ConfigError(
            f"with weights.half_life_days={weights.half_life_days}, {day} is {abs(halves):.1f} half-lives from weights.landmark={weights.landmark}, "
            f"more than the {MAX_EXPONENT:.0f} that float64 holds safely; set a longer half-life or a nearer landmark"
        )
    return halves


def positive_weight(as_of: datetime, weights: WeightsConfig) -> Column:
    """Return the positive weight w⁺ ≥ 0 (double) of an interactions row at `as_of`.

    It is ln(1 + decayed plays / saturation) + ln(1 + untimed plays) + 1 for a good rating + 1 for a like,
    where the decayed plays are the mass, converted to `as_of`. It is zero if the user blocked or disliked the
    recording, because that is negative evidence.
    """
    timed = F.log1p(F.col("mass") * F.lit(as_of_factor(as_of, weights)) / F.lit(weights.saturation))
    liked = F.coalesce("rated", F.lit(0)).cast("double") + F.greatest("likes", F.lit(0)).cast("double")
    return F.when(F.col("blocked") | (F.col("likes") < 0), 0.0).otherwise(
        timed + F.log1p(F.col("counted").cast("double")) + liked
    )


def negative_weight(as_of: datetime, weights: WeightsConfig) -> Column:
    """Return the negative weight w⁻ ≥ 0 (double) of an interactions row at `as_of`.

    It is ln(1 + decayed early skips in lean-back contexts / saturation) + 1 for a dislike or a block.
    """
    skipped = F.log1p(F.col("skip_mass") * F.lit(as_of_factor(as_of, weights)) / F.lit(weights.saturation))
    return skipped + F.when(F.col("blocked") | (F.col("likes") < 0), 1.0).otherwise(0.0)
