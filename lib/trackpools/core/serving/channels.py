"""The channels that releases are published on, and the choice of the users who read the canary.

A canary is a release that only a share of the users read, to try it out.
"""

from math import ceil

from pyspark.sql import Column

from trackpools.core.pools.batch import bucket_of

PROD, CANARY, SHADOW, BACKFILL = CHANNELS = ("prod", "canary", "shadow", "backfill")


def canary_buckets(share: float, buckets: int) -> int:
    """Return how many buckets of users read the canary; at least one if the share is above 0.

    Args:
        share: share of the users who read the canary, 0 to 1.
        buckets: number of all buckets; a bucket is one of the partitions of the table `pools`.
    """
    return min(buckets, ceil(share * buckets))


def follows_canary(share: float, buckets: int) -> Column:
    """Return whether the pool of a `user_idx` is read from the canary; see `canary_buckets`.

    The last buckets are those of the canary, because refreshes rewrite buckets in turn from the first one.
    """
    return bucket_of(buckets) >= buckets - canary_buckets(share, buckets)
