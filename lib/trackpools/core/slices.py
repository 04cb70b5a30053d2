"""Whom a mean hides: users by how active, where, how well known to the model, and how near the mainstream."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SLICES = ("activity_decile", "market", "rung", "mainstreamness")
RUNGS = ("factors", "history", "declared", "nothing")  # what is known of a user, best first
MARKETS = 12  # the largest; all others are one
SEP = "="


def slices(
    everybody: DataFrame, features: DataFrame, factors: DataFrame, heard: DataFrame, popularity: DataFrame
) -> DataFrame:
    """`user_idx` and `SLICES`, strings, as of the pools; null where it is not known.

    Args:
        everybody: `user_idx, market, declared_tags`, as `audience.audience`.
        features: as `tables.USER_FEATURES`.
        factors: `idx` of users with factors.
        heard: `user_idx, recording_idx`.
        popularity: `recording_idx, popularity`, percentile over all markets.
    """
    share = (
        heard.join(popularity, "recording_idx").groupBy("user_idx").agg(F.avg("popularity").alias("share"))
    )
    thirds = share.agg(F.percentile_approx("share", [1 / 3, 2 / 3], 1000).alias("thirds"))
    near = share.crossJoin(F.broadcast(thirds)).select(
        "user_idx",
        F.when(F.col("share") <= F.get("thirds", F.lit(0)), "low")
        .when(F.col("share") <= F.get("thirds", F.lit(1)), "middle")
        .otherwise("high")
        .alias("mainstreamness"),
    )
    largest = (
        everybody.groupBy("market")
        .count()
        .orderBy(F.desc("count"), "market")
        .limit(MARKETS)
        .select("market", F.lit(True).alias("_large"))
    )
    trained = factors.select(F.col("idx").alias("user_idx"), F.lit(True).alias("_factors"))
    decile = features.select(
        "user_idx",
        F.col("activity_decile").cast("string").alias("activity_decile"),
        F.lit(True).alias("_history"),
    )
    rows = everybody.join(F.broadcast(largest), "market", "left")
    for known in (trained, decile, near):
        rows = rows.join(known, "user_idx", "left")
    rung = (
        F.when(F.col("_factors"), "factors")
        .when(F.col("_history"), "history")
        .when(F.size("declared_tags") > 0, "declared")
        .otherwise("nothing")
    )
    market = F.when(F.col("_large"), F.col("market")).otherwise("others")
    return rows.select(
        "user_idx", "activity_decile", market.alias("market"), rung.alias("rung"), "mainstreamness"
    )
