"""The channels that releases are published on, and the choice of the users who read the canary.

A canary is a release on trial: only the users in a share of the buckets read it.
"""

from decimal import Decimal
from math import ceil

from pyspark.sql import Column

from trackpools.core.pools.batch import bucket_of

PROD, CANARY, SHADOW, BACKFILL = CHANNELS = ("prod", "canary", "shadow", "backfill")


def canary_buckets(share: float, buckets: int) -> int:
    """Return the number of buckets whose users read the canary; at least one if the share is above 0.

    Args:
        share: share of all buckets whose users read the canary, 0 to 1; the number of buckets is rounded up.
        buckets: number of all buckets; a bucket is one of the partitions of the table `pools`.
    """
    exact = Decimal(str(share)) * buckets  # in floats, 0.07 · 100 is above 7 and would give 8 buckets
    return min(buckets, ceil(exact))


def follows_canary(share: float, buckets: int) -> Column:
    """Return a condition: whether the pool of a `user_idx` is read from the canary; see `canary_buckets`.

    The canary has the last buckets. Refreshes rewrite the buckets in turn, from the first one, so they reach
    those of the canary last.
    """
    return bucket_of(buckets) >= buckets - canary_buckets(share, buckets)
