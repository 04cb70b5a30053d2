"""Aggregates over whole tables: broken rules of pools, ids and rights, last activity, and overlap."""

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def pool_violations(pools: DataFrame, k: int) -> DataFrame:
    """Count the pools that break each rule of `pool_promises`.

    Args:
        pools: rows of `tables.POOLS`.
        k: size of a full pool.

    Returns:
        One row: `rows`, the number of pools, and one count for each rule, named as in `pool_promises`.
    """
    return pools.agg(
        F.count(F.lit(1)).alias("rows"), *(broken.alias(name) for name, broken in pool_promises(k).items())
    )


def pool_promises(k: int) -> dict[str, Column]:
    """Return one aggregate for each rule of pools: the violation in words → the number of pools with it.

    The rules use `array_min` and `array_max` instead of lambdas over candidates. Spark compiles these
    functions, but it interprets lambdas, which takes about one microsecond for each element.

    Args:
        k: size of a full pool.
    """
    size = F.size("candidates")
    dropped = F.aggregate(F.map_values("drops"), F.lit(0), lambda total, n: total + n)
    recordings, spare = F.col("candidates.recording"), F.col("reserve.recording")
    least, greatest = (
        {name: end(f"candidates.{name}") for name in ("sources", "propensity", "score")}
        for end in (F.array_min, F.array_max)
    )
    nowhere = F.lit(-1e30).cast("float")
    broken = {
        "a pool whose size plus drops is not the number of emitted candidates": dropped + size
        != F.col("emitted"),
        f"a pool of more than k={k} candidates": size > k,
        "a short pool without a shortfall, or a full pool with one": (size < k)
        != F.col("shortfall").isNotNull(),
        "a pool that holds a recording twice": F.size(F.array_distinct(recordings)) != size,
        "a reserve that holds a recording twice, or a recording of the pool": F.size(
            F.array_distinct(F.concat(recordings, spare))
        )
        != F.size(F.array_distinct(recordings)) + F.size(spare),
        "a propensity that is missing, 0 or less, or above 1": _holds_null("propensity", nowhere)
        | (least["propensity"] < 1e-9)
        | (greatest["propensity"] > 1),
        "a candidate without a source": _holds_null("sources", F.lit(-1)) | (least["sources"] <= 0),
        # Spark orders NaN above every number, so the greatest score is NaN if any score is.
        "a score that is not a finite number": _holds_null("score", nowhere)
        | (least["score"] == -math.inf)
        | (greatest["score"] == math.inf)
        | F.isnan(greatest["score"]),
    }
    return {name: F.count_if(rule) for name, rule in broken.items()}


def _holds_null(name: str, nowhere: Column) -> Column:
    """Return a condition: whether the field `name` is null in any candidate of the row.

    `array_contains`, asked for a value that occurs nowhere, returns null if the array holds a null, else
    false.
    """
    return F.array_contains(f"candidates.{name}", nowhere).isNull() & F.col("candidates").isNotNull()


def last_activity(plays: DataFrame) -> DataFrame:
    """Find the latest times in the log; the default `as_of` is derived from them.

    Args:
        plays: `played_at timestamp, received_at timestamp`, one row for each play.

    Returns:
        One row `last_played timestamp, last_received timestamp`. A play whose `received_at` is null counts as
        received when it was played.
    """
    return plays.agg(
        F.max("played_at").alias("last_played"),
        F.max(F.coalesce("received_at", "played_at")).alias("last_received"),
    )


def id_violations(ids: DataFrame, id_name: str, idx_name: str) -> DataFrame:
    """Count what breaks the numbering: each id has its own number, from 0 on and without gaps.

    Args:
        ids: table with the columns `id_name` and `idx_name`.
        id_name: name of the column with the string id.
        idx_name: name of the column with the number.

    Returns:
        One row: `rows`, and the counts `an id twice`, `an idx twice` and `a gap in the idx`. A negative
        idx counts as a gap. These three counts are 0 for a valid table.
    """
    rows, idx = F.count(F.lit(1)), F.col(idx_name)
    span = F.coalesce(F.max(idx).cast("long") - F.least(F.min(idx), F.lit(0)) + 1, F.lit(0))
    return ids.agg(
        rows.alias("rows"),
        (rows - F.count_distinct(id_name)).alias("an id twice"),
        (rows - F.count_distinct(idx_name)).alias("an idx twice"),
        (span - F.count_distinct(idx_name) + F.count_if(idx < 0)).alias("a gap in the idx"),
    )


def rights_violations(pools: DataFrame, users: DataFrame, cards: DataFrame) -> DataFrame:
    """Count the recordings that pools offer where they may not be played, once for each market and policy.

    Args:
        pools: `user_idx, candidates` as in `tables.POOLS`.
        users: `user_idx, market, clean`; `clean` is true if the user must not get explicit tracks.
        cards: rows of `tables.TRACK_CARDS`.

    Returns:
        One row `violations`: the number of distinct combinations (market, clean, recording) that are offered,
        but that have no playable track.
    """
    people = pools.join(users.select("user_idx", "market", "clean"), "user_idx")
    offered = people.select(
        "market", "clean", F.explode("candidates.recording").alias("recording_idx")
    ).distinct()
    playable = F.when(F.col("clean"), F.col("clean_track_id")).otherwise(
        F.col("track_id")
    ).isNotNull() & F.col("available")
    told = offered.join(
        cards.select("recording_idx", "market", "track_id", "clean_track_id", "available"),
        ["recording_idx", "market"],
        "left",
    )
    return told.agg(F.count_if(~F.coalesce(playable, F.lit(False))).alias("violations"))


def overlap(old: DataFrame, new: DataFrame) -> DataFrame:
    """Compute how much of the old pools is in the new ones.

    Returns:
        One row `overlap`: the share of the old pool's recordings that is in the new pool, as the mean over
        the users who have both pools and whose old pool is not empty. It is null if there are no such users.
    """
    before, after = (
        pools.select("user_idx", F.col("candidates.recording").alias(name))
        for pools, name in ((old, "before"), (new, "after"))
    )
    both = before.where(F.size("before") > 0).join(after, "user_idx")
    return both.agg(F.avg(F.size(F.array_intersect("before", "after")) / F.size("before")).alias("overlap"))
