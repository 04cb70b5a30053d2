"""Select the training sample: a random part of the users, and the recordings with most of the weight."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import TrainConfig

# Number of classes of weight between a weight and its double. All recordings of a class are selected
# together, so the order in which recordings are added up cannot change the selection.
CLASSES = 16
PARTS = 1_000_000  # users are hashed into this many parts, so 1 / PARTS is the smallest share of users


def is_sample(config: TrainConfig) -> bool:
    """Return whether the configuration selects only a part of the data for training."""
    return config.user_fraction < 1 or config.play_coverage < 1 or config.min_listeners > 1


def sample_training(training: DataFrame, config: TrainConfig) -> DataFrame:
    """Return the rows whose user is in the sample and whose recording `covering` selects.

    The sample has about the share `train.user_fraction` of the users; `train.seed` and the hash of `user_idx`
    determine who is in it. The recordings are selected by the rows of all users.

    Args:
        training: `user_idx, recording_idx, positive, negative`, one row for each interaction.
        config: the `train` section.
    """
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
    """Return `recording_idx` of the heaviest recordings that together hold `share` of the positive weight.

    The recordings are divided into classes by the sum of their positive weights; a class spans a factor of
    2^(1/16). Whole classes are selected, from the heaviest on, until they hold the share. So somewhat
    more recordings than needed may be selected, but less than a class more. After that, recordings with fewer
    than `listeners` listeners are left out.

    Args:
        training: `recording_idx, positive`, one row for each user × recording.
        share: above 0, at most 1.
        listeners: least number of users with positive weight.
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
    # A sum that rounds to 0 has no logarithm, so it is in the lowest class.
    return F.coalesce(F.floor(CLASSES * F.log2(weight)), F.lit(-(2**31)))
