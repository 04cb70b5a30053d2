"""The engine `mllib`: ALS by `pyspark.ml`, in any classic Spark session (not Spark Connect).

The number of blocks is `train.blocks`, so the result does not depend on the cluster.
"""

import atexit
import shutil
import tempfile
from functools import cache

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.shell.spark.context import master, set_checkpoint_dir


def fit(training: DataFrame, config: TrainConfig, rank: int) -> tuple[DataFrame, DataFrame, list[float]]:
    """Train with the engine `mllib`.

    In MLlib, the confidence c is 1 + α·|rating|, and the preference p is 1 if the rating is positive, else 0.
    So an interaction with positive evidence w⁺ gets the rating w⁺, and one with only negative evidence w⁻
    gets the rating −w⁻·β/α. MLlib multiplies λ by the number of positive ratings of a user or recording;
    this is what `train.nu` = 1 stands for.

    Args:
        training: `user_idx int, recording_idx int, positive double, negative double`.
        config: the `train` section.
        rank: number of factors.

    Returns:
        `(users, recordings, [])`; both frames are `idx int, factors array<float>`. The loss curve is empty,
        because MLlib reports no loss between iterations.
    """
    folder = config.checkpoint_dir
    if folder is None and master(training.sparkSession).startswith("local"):
        folder = _scratch()
    if folder is not None:
        set_checkpoint_dir(training.sparkSession, folder)
    rating = F.when(F.col("positive") > 0, F.col("positive")).otherwise(
        -F.col("negative") * (config.beta / config.alpha)
    )
    ratings = training.select("user_idx", "recording_idx", rating.cast("float").alias("rating")).where(
        "rating <> 0"
    )
    # MLlib adds up floats in the order of the rows of a block. The rows are sorted here, so that equal input
    # always gives equal factors.
    ratings = ratings.repartition(config.blocks, "user_idx").sortWithinPartitions("user_idx", "recording_idx")
    als = ALS(
        rank=rank,
        maxIter=config.iterations,
        regParam=config.regularisation,
        alpha=config.alpha,
        implicitPrefs=True,
        seed=config.seed,
        numUserBlocks=config.blocks,
        numItemBlocks=config.blocks,
        userCol="user_idx",
        itemCol="recording_idx",
        ratingCol="rating",
        checkpointInterval=5,
    )
    model = als.fit(ratings)
    users, recordings = (
        side.select(F.col("id").alias("idx"), F.col("features").alias("factors"))
        for side in (model.userFactors, model.itemFactors)
    )
    return users, recordings, []


@cache
def _scratch() -> str:
    """Create the checkpoint folder of this process; it is deleted when the process ends.

    MLlib saves its state in this folder every few iterations, which cuts the lineage of its RDDs. Otherwise
    the lineage grows: after ten iterations it overflows a thread stack of 1 MB, which ends the JVM.
    """
    folder = tempfile.mkdtemp(prefix="trackpools-checkpoints-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
