"""Whose pools a refresh makes again, and why."""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

REASONS = {
    "changed": "played, or said something",
    "new": "were not known before",
    "profile": "have another profile",
    "expired": "had a pool that is out of date",
    "withdrawn": "had something in it that may not be played any more",
}


def turn(refresh: int, buckets: int, rota: int) -> list[int]:
    """Which buckets of the pools a refresh (1, 2, …) rewrites: after `rota` of them all had their turn."""
    size = -(-buckets // rota)
    return sorted({((refresh - 1) * size + i) % buckets for i in range(size)})


def concerned(found: Mapping[str, DataFrame]) -> DataFrame:
    """`user_idx, reason`, each pair once.

    Args:
        found: reason → frame with `user_idx`.
    """
    return reduce(
        DataFrame.unionByName,
        [users.select("user_idx", F.lit(reason).alias("reason")) for reason, users in found.items()],
    ).distinct()


def later_than(user_ids: DataFrame, known: int) -> DataFrame:
    """`user_idx` of whoever came after the first `known`: the numbers are dense."""
    return user_ids.where(F.col("user_idx") >= known).select("user_idx")


def reprofiled(before: DataFrame, now: DataFrame, user_ids: DataFrame) -> DataFrame:
    """`user_idx` of whose row of `users` is not what it was."""
    return now.exceptAll(before).select("user_id").distinct().join(user_ids, "user_id").select("user_idx")


def expired(pools: DataFrame, as_of: datetime) -> DataFrame:
    """`user_idx` of pools that are out of date."""
    return pools.where(F.col("valid_until") <= F.lit(as_of)).select("user_idx")


def holders(pools: DataFrame, recordings: DataFrame) -> DataFrame:
    """`user_idx` of pools with any of the `recording_idx` in it or in its reserve."""
    held = pools.select(
        "user_idx", F.explode(F.concat("candidates.recording", "reserve.recording")).alias("recording_idx")
    )
    return held.join(F.broadcast(recordings), "recording_idx", "left_semi").select("user_idx").distinct()


def unknown_share(weighed: DataFrame, recordings: DataFrame) -> DataFrame:
    """One row `unknown double`: of the evidence of taste, the share that is of recordings without factors, which the model cannot use.

    Args:
        weighed: `recording_idx, positive double`.
        recordings: `idx int` of those with factors.
    """
    known = recordings.select(F.col("idx").alias("recording_idx"), F.lit(1).alias("known"))
    both = weighed.join(known, "recording_idx", "left")
    missing = F.sum(F.when(F.col("known").isNull(), F.col("positive")).otherwise(0.0))
    return both.agg((missing / F.nullif(F.sum("positive"), F.lit(0.0))).alias("unknown"))
