"""Turn imported vectors of users and tracks into vectors of numbered users and recordings.

The input has one row for each vector: `of string (user | track), id string, vector array<float>`.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config.sources import VectorsSourceConfig
from trackpools.core.als.factors import FACTORS, as_table, factor_matrix, unit_factors
from trackpools.core.contracts.ids import recording_of

BLOCK = 4096  # users (consecutive numbers) whose vectors are computed in one Arrow group
# For a user without an imported vector, the vectors of at most this many recordings are averaged. More would
# change the mean little, and each of them sends a vector over the network.
LOVED = 50


def recording_vectors(
    vectors: DataFrame, tracks: DataFrame, recording_ids: DataFrame, settings: VectorsSourceConfig
) -> DataFrame:
    """Choose one vector for each recording: of its tracks with a vector, that of the lowest track id.

    Args:
        vectors: imported vectors, see the module docstring.
        tracks: catalogue with `track_id, recording_id`.
        recording_ids: `recording_id, recording_idx`.
        settings: configuration of the source; if its `metric` is cosine, vectors are scaled to unit length.

    Returns:
        One row for each recording with a vector: `idx int, factors array<float>`.
    """
    recordings = recording_of(tracks)
    told = vectors.where("of = 'track'").join(recordings, F.col("id") == F.col("track_id"), "left")
    one = told.groupBy(F.coalesce("recording_id", "id").alias("recording_id")).agg(
        F.min_by("vector", "id").alias("factors")
    )
    rows = one.join(recording_ids, "recording_id").select(F.col("recording_idx").alias("idx"), "factors")
    return rows.select("idx", unit_factors().alias("factors")) if settings.metric == "cosine" else rows


def user_vectors(
    vectors: DataFrame, user_ids: DataFrame, recordings: DataFrame, interactions: DataFrame
) -> DataFrame:
    """Choose one vector for each user: the imported one, else a mean over the user's recordings.

    The mean is over the user's recordings that have a vector, at most `LOVED` of them: those with the
    greatest weights. Each vector counts with the weight of its recording.

    Args:
        vectors: imported vectors, see the module docstring.
        user_ids: `user_id, user_idx`.
        recordings: result of `recording_vectors`.
        interactions: `user_idx, recording_idx, weight` of the interactions that count as taste; weights are
            above 0.

    Returns:
        One row for each user with a vector: `idx int, factors array<float>`.
    """
    told = (
        vectors.where("of = 'user'")
        .join(user_ids, F.col("id") == F.col("user_id"))
        .select(F.col("user_idx").alias("idx"), F.col("vector").alias("factors"))
    )
    others = interactions.join(told.select(F.col("idx").alias("user_idx")), "user_idx", "left_anti")
    known = others.join(
        recordings.select(F.col("idx").alias("recording_idx"), "factors"), "recording_idx", "left_semi"
    )
    best = Window.partitionBy("user_idx").orderBy(F.desc("weight"), "recording_idx")
    loved = known.select(
        "user_idx", "recording_idx", "weight", F.row_number().over(best).alias("place")
    ).where(F.col("place") <= LOVED)
    rows = loved.join(recordings.withColumnRenamed("idx", "recording_idx"), "recording_idx")
    block = F.floor(F.col("user_idx") / BLOCK).cast("int").alias("block")
    return told.unionByName(
        rows.select(block, "user_idx", "recording_idx", "weight", "factors")
        .groupBy("block")
        .applyInArrow(_means, FACTORS)
    )


def _means(rows: Any) -> Any:
    """Compute the weighted mean vector of each user of one block: an Arrow table `idx, factors`."""
    rows = rows.sort_by([("user_idx", "ascending"), ("recording_idx", "ascending")])
    users, owner = np.unique(rows["user_idx"].to_numpy(), return_inverse=True)
    weight, y = rows["weight"].to_numpy(), factor_matrix(rows["factors"]).astype(np.float64)
    total = np.zeros((len(users), y.shape[1]))
    np.add.at(total, owner, weight[:, None] * y)
    made: pa.Table = as_table(users, (total / np.bincount(owner, weight)[:, None]).astype(np.float32))
    return made
