"""On which channel a release is published, and who reads it."""

from math import ceil

from pyspark.sql import Column

from trackpools.core.assemble import bucket_of

PROD, CANARY, SHADOW, BACKFILL = CHANNELS = ("prod", "canary", "shadow", "backfill")


def canary_buckets(share: float, buckets: int) -> int:
    """How many buckets follow a canary; at least one where the share is above 0."""
    return min(buckets, ceil(share * buckets))


def follows_canary(share: float, buckets: int) -> Column:
    """Whether a `user_idx` is read from the canary: the last buckets, for refreshes begin their turns at the first."""
    return bucket_of(buckets) >= buckets - canary_buckets(share, buckets)
