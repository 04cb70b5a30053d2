"""Select the users whose pools a refresh rebuilds, with the reason for each."""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

REASONS = {
    "changed": "have new plays or signals",
    "new": "are new",
    "profile": "have a changed profile",
    "expired": "had a pool that was due to be rebuilt, or had expired",
    "withdrawn": "had a recording in the pool that may no longer be played",
}


def rota_buckets(refresh: int, buckets: int, rota: int) -> list[int]:
    """Return the buckets (partitions of the table `pools`) that a refresh rewrites.

    Successive refreshes rewrite the buckets in turn.

    Args:
        refresh: the number of the refresh, from 1.
        buckets: the number of all buckets.
        rota: the number of refreshes after which every bucket was rewritten.
    """
    size = -(-buckets // rota)
    return sorted({((refresh - 1) * size + i) % buckets for i in range(size)})


def users_to_refresh(users_by_reason: Mapping[str, DataFrame]) -> DataFrame:
    """Return the users to refresh: `user_idx, reason`, one row for each user × reason.

    Args:
        users_by_reason: reason (a key of `REASONS`) → frame with `user_idx`.
    """
    return reduce(
        DataFrame.unionByName,
        [
            users.select("user_idx", F.lit(reason).alias("reason"))
            for reason, users in users_by_reason.items()
        ],
    ).distinct()


def new_users(user_ids: DataFrame, n_known: int) -> DataFrame:
    """Return the `user_idx` of all users but the first `n_known`, because numbers are dense from 0."""
    return user_ids.where(F.col("user_idx") >= n_known).select("user_idx")


def users_with_new_profile(before: DataFrame, now: DataFrame, user_ids: DataFrame) -> DataFrame:
    """Return the `user_idx` of the users whose row in the table `users` has changed or is new.

    Args:
        before: older rows of `tables.USERS`.
        now: newer rows of the same table.
        user_ids: `user_id, user_idx`.
    """
    return now.exceptAll(before).select("user_id").distinct().join(user_ids, "user_id").select("user_idx")


def users_with_due_pools(pools: DataFrame, as_of: datetime) -> DataFrame:
    """Return the `user_idx` of the pools that are due to be rebuilt at `as_of`, or have expired.

    A full run makes all pools at the same moment, so all would expire at the same moment, too. To spread the
    work, each user has a moment of their own, by a hash of `user_idx`, that comes again after each lifetime of
    a pool (`valid_until` − `as_of`). A pool is due if this moment has come since the pool was made. So about
    the same number of pools is due every day, and each comes due before it expires.

    Args:
        pools: rows of `pools`.
        as_of: the moment of the refresh.
    """
    made, until = (F.unix_seconds(F.col(name)) for name in ("as_of", "valid_until"))
    now, lifetime = F.unix_seconds(F.lit(as_of)), F.greatest(until - made, F.lit(1))
    phase = F.pmod(F.xxhash64("user_idx", F.lit("due")), lifetime)
    before, after = (F.floor((moment - phase) / lifetime) for moment in (made, now))
    return pools.where((after > before) | (until <= now)).select("user_idx")


def users_with_recordings(pools: DataFrame, recordings: DataFrame) -> DataFrame:
    """Return the `user_idx` of the users with any of the recordings in the pool or in its reserve.

    Args:
        pools: rows of `pools`.
        recordings: `recording_idx`.
    """
    held = pools.select(
        "user_idx", F.explode(F.concat("candidates.recording", "reserve.recording")).alias("recording_idx")
    )
    return held.join(F.broadcast(recordings), "recording_idx", "left_semi").select("user_idx").distinct()


def unknown_share(weighed: DataFrame, recordings: DataFrame) -> DataFrame:
    """Return the share of the positive weight that falls on recordings without factors.

    The model cannot use this part of the evidence.

    Args:
        weighed: one row for each user × recording: `recording_idx, positive` (double, the positive weight).
        recordings: `idx` (int), the recordings with factors.

    Returns:
        One row with the column `unknown` (double); null if the weights sum to 0.
    """
    known = recordings.select(F.col("idx").alias("recording_idx"), F.lit(1).alias("known"))
    both = weighed.join(known, "recording_idx", "left")
    missing = F.sum(F.when(F.col("known").isNull(), F.col("positive")).otherwise(0.0))
    return both.agg((missing / F.nullif(F.sum("positive"), F.lit(0.0))).alias("unknown"))
