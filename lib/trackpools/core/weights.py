"""Forward decay (Cormode et al. 2009) and the weights derived from it when interactions are read."""

from datetime import date, datetime

from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.config import WeightsConfig
from trackpools.errors import ConfigError

MAX_EXPONENT = 1000.0  # 2^1000 is near the end of float64; sums need the rest


def landmark_factor(day: Column, weights: WeightsConfig) -> Column:
    """2^((day − landmark)/half-life): grows with the day, so a day's contribution never changes."""
    return F.pow(F.lit(2.0), F.datediff(day, F.lit(weights.landmark)) / F.lit(weights.half_life_days))


def as_of_factor(as_of: datetime, weights: WeightsConfig) -> float:
    """2^(−(as_of − landmark)/half-life), which turns masses at the landmark into masses at `as_of`.

    Raises:
        ConfigError: where the span in half-lives would leave float64, with the arithmetic.
    """
    return float(2.0 ** -_half_lives(as_of.date(), weights))


def _half_lives(day: date, weights: WeightsConfig) -> float:
    halves = (day - weights.landmark).days / weights.half_life_days
    if abs(halves) > MAX_EXPONENT:
        raise ConfigError(
            f"weights.half_life_days={weights.half_life_days} puts {day} {abs(halves):.0f} half-lives from weights.landmark={weights.landmark}, "
            f"beyond float64 ({MAX_EXPONENT:.0f}); take a longer half-life or a nearer landmark"
        )
    return halves


def positive_weight(as_of: datetime, weights: WeightsConfig) -> Column:
    """w⁺ ≥ 0 of an interactions row: ln(1 + decayed plays / saturation) + ln(1 + untimed plays) + 1 if rated well or liked.

    Zero for a row the user blocked or disliked: those are negative evidence.
    """
    timed = F.log1p(F.col("mass") * F.lit(as_of_factor(as_of, weights)) / F.lit(weights.saturation))
    liked = F.coalesce("rated", F.lit(0)).cast("double") + F.greatest("likes", F.lit(0)).cast("double")
    return F.when(F.col("blocked") | (F.col("likes") < 0), 0.0).otherwise(
        timed + F.log1p(F.col("counted").cast("double")) + liked
    )


def negative_weight(as_of: datetime, weights: WeightsConfig) -> Column:
    """w⁻ ≥ 0 of an interactions row: decayed early skips in lean-back contexts, saturated, and 1 for a dislike or block."""
    skipped = F.log1p(F.col("skip_mass") * F.lit(as_of_factor(as_of, weights)) / F.lit(weights.saturation))
    return skipped + F.when(F.col("blocked") | (F.col("likes") < 0), 1.0).otherwise(0.0)
