"""ALS by pyspark.ml on any classic cluster: ν = 1, blocks fixed by configuration."""

import atexit
import shutil
import tempfile
from functools import cache

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.shell.cluster import master, set_checkpoint_dir


def fit(training: DataFrame, config: TrainConfig, rank: int) -> tuple[DataFrame, DataFrame, list[float]]:
    """`(users, recordings, [])`; frames are `idx int, factors array<float>`. MLlib tells no loss between iterations.

    MLlib computes c = 1 + α·|rating| and p = [rating > 0], so negative evidence enters as −w⁻·β/α; its λ is multiplied
    by the number of positives, which is ν = 1.
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
    # the order inside a block is the order of its sums: sort, so that equal input gives equal factors
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
    """A folder of this process: without a place to cut the lineage, ten iterations overflow a 1 MB thread stack and end the JVM."""
    folder = tempfile.mkdtemp(prefix="trackpools-checkpoints-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
