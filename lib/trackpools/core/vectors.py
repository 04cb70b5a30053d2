"""Vectors that somebody brings, `of string (user | track), id string, vector array<float>`, as vectors of our users and recordings."""

from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config_sources import VectorsSourceConfig
from trackpools.core.als.factors import FACTORS, as_table, matrix, unit
from trackpools.core.ids import recording_of

BLOCK = 4096
LOVED = 50  # recordings that stand for a listener who has no vector: more say little more, and each costs a vector on the network


def recording_vectors(
    vectors: DataFrame, tracks: DataFrame, recording_ids: DataFrame, settings: VectorsSourceConfig
) -> DataFrame:
    """`idx int, factors array<float>`: of a recording the vector of its first track that has one; of unit length where the metric is cosine."""
    recordings = recording_of(tracks)
    told = vectors.where("of = 'track'").join(recordings, F.col("id") == F.col("track_id"), "left")
    one = told.groupBy(F.coalesce("recording_id", "id").alias("recording_id")).agg(
        F.min_by("vector", "id").alias("factors")
    )
    rows = one.join(recording_ids, "recording_id").select(F.col("recording_idx").alias("idx"), "factors")
    return rows.select("idx", unit().alias("factors")) if settings.metric == "cosine" else rows


def user_vectors(
    vectors: DataFrame, user_ids: DataFrame, recordings: DataFrame, interactions: DataFrame
) -> DataFrame:
    """`idx int, factors array<float>`: a user's own, or else the mean of the vectors of what they love, by its weight.

    Args:
        recordings: of `recording_vectors`.
        interactions: `user_idx, recording_idx, weight` of what is taste.
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
    rows = rows.sort_by([("user_idx", "ascending"), ("recording_idx", "ascending")])
    users, owner = np.unique(rows["user_idx"].to_numpy(), return_inverse=True)
    weight, y = rows["weight"].to_numpy(), matrix(rows["factors"]).astype(np.float64)
    total = np.zeros((len(users), y.shape[1]))
    np.add.at(total, owner, weight[:, None] * y)
    made: pa.Table = as_table(users, (total / np.bincount(owner, weight)[:, None]).astype(np.float32))
    return made
