"""Count the users who had two items in the same window, and score the pairs of items by lift.

An item is a recording or an artist; a window groups the items of one user, for example by day.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.arrays.packing import BlockAssignment, pack_rows, unpack_values

BLOCKS = BlockAssignment(256)  # pairs are counted in blocks of this many users
ROWS = {"user_idx": np.int32, "window": np.int32, "item": np.int32}


def pair_counts(rows: DataFrame, cap: int) -> DataFrame:
    """Count the distinct users who had both items of a pair in one window.

    Args:
        rows: `user_idx int, window int, item int`, without duplicate rows.
        cap: the greatest number of items of a window. A larger window keeps only the `cap` items of least
            hash: a user who hears very much in one window says little about what belongs together.

    Returns:
        `a int, b int, users long`, with a row for each of the two orders of a pair.
    """
    pairs = (
        pack_rows(rows, BLOCKS, ROWS).groupBy("block").applyInArrow(_pairs(cap), "a int, b int, users long")
    )
    half = pairs.groupBy("a", "b").agg(F.sum("users").alias("users"))
    return half.unionByName(half.select(F.col("b").alias("a"), F.col("a").alias("b"), "users"))


def shrunk_lift(rows: DataFrame, cap: int, shrink: float) -> DataFrame:
    """Score pairs of items by their lift, shrunk towards 0 for pairs that few users have.

    The score is n_ab / (n_ab + shrink) · ln(1 + n_ab · N / (n_a · n_b)). Here n_ab is the number of users
    with the pair (see `pair_counts`), n_a and n_b are the numbers of users with each item, and N is the
    number of users in `rows`.

    Args:
        rows, cap: as in `pair_counts`.
        shrink: the number of users at which a pair keeps half of its lift.

    Returns:
        `a int, b int, score double`, with a row for each of the two orders of a pair.
    """
    of_item = rows.select("user_idx", "item").distinct().groupBy("item").agg(F.count(F.lit(1)).alias("n"))
    all_users = F.broadcast(rows.groupBy().agg(F.count_distinct("user_idx").alias("all_users")))
    a, b = (of_item.select(F.col("item").alias(side), F.col("n").alias(f"n_{side}")) for side in ("a", "b"))
    both = pair_counts(rows, cap).join(a, "a").join(b, "b").crossJoin(all_users)
    lift = F.log1p(F.col("users") * F.col("all_users") / (F.col("n_a") * F.col("n_b")))
    return both.select("a", "b", (F.col("users") / (F.col("users") + F.lit(shrink)) * lift).alias("score"))


def _pairs(cap: int) -> Callable[[Any], Any]:
    def run(rows: Any) -> Any:
        user, window, item = (unpack_values(rows[name], kind).astype(np.int64) for name, kind in ROWS.items())
        order = np.lexsort((_mixed(item), window, user))
        user, window, item = user[order], window[order], item[order]
        new = (np.diff(user, prepend=-1) != 0) | (np.diff(window, prepend=np.iinfo(np.int64).min + 1) != 0)
        group = np.cumsum(new) - 1
        place = np.arange(len(user)) - np.flatnonzero(new)[group] if len(user) else group
        kept = place < cap
        user, group, item, place = user[kept], group[kept], item[kept], place[kept]
        # pair each item with the items before it in its window; `place` is the number of these
        later = np.repeat(np.arange(len(item)), place)
        earlier = (
            np.arange(len(later))
            - np.repeat(np.cumsum(place) - place, place)
            + np.repeat(np.arange(len(item)) - place, place)
        )
        pairs = np.minimum(item[later], item[earlier]) << 32 | np.maximum(item[later], item[earlier])
        by_user = np.split(pairs, np.flatnonzero(np.diff(user[later])) + 1)
        found, users = np.unique(np.concatenate([np.unique(own) for own in by_user]), return_counts=True)
        return pa.table(
            {
                "a": pa.array(found >> 32, pa.int32()),
                "b": pa.array(found & 0xFFFFFFFF, pa.int32()),
                "users": pa.array(users, pa.int64()),
            }
        )

    return run


def _mixed(item: Any) -> Any:
    return item * 0x9E3779B1 & 0xFFFFFFFF
