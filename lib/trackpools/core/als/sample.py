"""What is trained on where not everything is: a sample of users, and the recordings that hold most of what is played."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import TrainConfig

CLASSES = 16  # classes of weight an octave: recordings of one class enter together, which no order of a sum can change
PARTS = 1_000_000  # of users; the smallest share that can be asked for


def is_sample(config: TrainConfig) -> bool:
    """Whether less than everything is trained on."""
    return config.user_fraction < 1 or config.play_coverage < 1 or config.min_listeners > 1


def sampled(training: DataFrame, config: TrainConfig) -> DataFrame:
    """Rows of `train.user_fraction` of the users, and of the recordings of `covering`; which users depends on `train.seed`."""
    part = F.pmod(F.xxhash64(F.lit(config.seed), "user_idx"), F.lit(PARTS))
    users = (
        training.where(part < max(1, round(config.user_fraction * PARTS)))
        if config.user_fraction < 1
        else training
    )
    if config.play_coverage == 1 and config.min_listeners == 1:
        return users
    return users.join(
        covering(training, config.play_coverage, config.min_listeners), "recording_idx", "left_semi"
    )


def covering(training: DataFrame, share: float, listeners: int) -> DataFrame:
    """`recording_idx`: the fewest recordings that hold `share` of the positive weight, those with fewer `listeners` left out after that.

    Fewest to within a class: recordings are taken by weight, in classes of a sixteenth of an octave.
    """
    weight = F.sum(F.col("positive").cast("decimal(20,6)")).cast("double")
    counted = (
        training.where("positive > 0")
        .groupBy("recording_idx")
        .agg(weight.alias("weight"), F.count(F.lit(1)).alias("listeners"))
    )
    counted = counted.withColumn("class", _class(F.col("weight")))
    classes = counted.groupBy("class").agg(
        F.sum(F.col("weight").cast("decimal(38,6)")).cast("double").alias("weight")
    )
    heavier = Window.partitionBy(F.lit(0)).orderBy(F.desc("class")).rowsBetween(Window.unboundedPreceding, -1)
    everything = Window.partitionBy(F.lit(0))
    before = F.coalesce(F.sum("weight").over(heavier), F.lit(0.0))
    needed = (
        classes.select("class", (before < share * F.sum("weight").over(everything)).alias("needed"))
        .where("needed")
        .select("class")
    )
    return (
        counted.where(F.col("listeners") >= listeners)
        .join(F.broadcast(needed), "class", "left_semi")
        .select("recording_idx")
    )


def _class(weight: Column) -> Column:
    return F.coalesce(
        F.floor(CLASSES * F.log2(weight)), F.lit(-(2**31))
    )  # a sum that rounds to 0 has no logarithm
