"""Questions to a whole table, each answered in one pass: do pools and ids keep their promises, when was the last play."""

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def pool_violations(pools: DataFrame, k: int) -> DataFrame:
    """One row of counts: `rows` and how many of them break each promise of a pool."""
    return pools.agg(
        F.count(F.lit(1)).alias("rows"), *(broken.alias(name) for name, broken in pool_promises(k).items())
    )


def pool_promises(k: int) -> dict[str, Column]:
    """What breaks a promise of a pool, and how many rows do: an aggregate.

    No lambda over candidates: Spark interprets those, at a microsecond an element, and compiles searches for the least and the greatest.
    """
    size = F.size("candidates")
    dropped = F.aggregate(F.map_values("drops"), F.lit(0), lambda total, n: total + n)
    recordings, spare = F.col("candidates.recording"), F.col("reserve.recording")
    least, greatest = (
        {name: end(f"candidates.{name}") for name in ("sources", "propensity", "score")}
        for end in (F.array_min, F.array_max)
    )
    broken = {
        "drops + pool size differ from emitted": dropped + size != F.col("emitted"),
        f"more than k={k} candidates": size > k,
        "short without a shortfall, or full with one": (size < k) != F.col("shortfall").isNotNull(),
        "a recording twice": F.size(F.array_distinct(recordings)) != size,
        "a reserve that holds a recording of the pool, or one twice": F.size(
            F.array_distinct(F.concat(recordings, spare))
        )
        != F.size(F.array_distinct(recordings)) + F.size(spare),
        "a propensity that is not above 0 and at most 1": _holds_null("propensity")
        | (least["propensity"] < 1e-9)
        | (greatest["propensity"] > 1),
        "a candidate without a source": least["sources"] <= 0,
        # Spark holds NaN above every number
        "a score that is not a finite number": _holds_null("score")
        | (least["score"] == -math.inf)
        | (greatest["score"] == math.inf)
        | F.isnan(greatest["score"]),
    }
    return {name: F.count_if(rule) for name, rule in broken.items()}


def _holds_null(name: str) -> Column:
    """Whether any candidate lacks it: a search for what is nowhere answers null where there are nulls, else false."""
    return (
        F.array_contains(f"candidates.{name}", F.lit(-1e30).cast("float")).isNull()
        & F.col("candidates").isNotNull()
    )


def activity(plays: DataFrame) -> DataFrame:
    """One row `last_played, last_received timestamp`: what a default as_of is made of."""
    return plays.agg(
        F.max("played_at").alias("last_played"),
        F.max(F.coalesce("received_at", "played_at")).alias("last_received"),
    )


def id_violations(ids: DataFrame, id_name: str, idx_name: str) -> DataFrame:
    """One row of counts: `rows` and in how many ways the ids are not dense and one to one."""
    rows = F.count(F.lit(1))
    return ids.agg(
        rows.alias("rows"),
        (rows - F.count_distinct(id_name)).alias("an id twice"),
        (rows - F.count_distinct(idx_name)).alias("an idx twice"),
        (F.coalesce(F.max(idx_name).cast("long") + 1, F.lit(0)) - rows).alias("a gap in the idx"),
    )


def rights_violations(pools: DataFrame, everybody: DataFrame, cards: DataFrame) -> DataFrame:
    """One row `violations`: recordings in pools × kinds of users (market, clean) who may not play them, each once.

    Args:
        everybody: `user_idx, market, clean`.
        cards: as `tables.TRACK_CARDS`.
    """
    people = pools.join(everybody.select("user_idx", "market", "clean"), "user_idx")
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
    """One row `overlap`: mean share of a user's old pool that is in the new one; of users with both, and something in the old."""
    before, after = (
        pools.select("user_idx", F.col("candidates.recording").alias(name))
        for pools, name in ((old, "before"), (new, "after"))
    )
    both = before.where(F.size("before") > 0).join(after, "user_idx")
    return both.agg(F.avg(F.size(F.array_intersect("before", "after")) / F.size("before")).alias("overlap"))
