"""Divide users into slices, because an overall mean may hide that one group of users loses.

There are four kinds of slices: by activity, by market, by what is known of the user (`rung`), and by how
popular the recordings are that the user has heard (`mainstreamness`).
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SLICES = ("activity_decile", "market", "rung", "mainstreamness")
RUNGS = ("factors", "history", "declared", "nothing")  # what is known of a user, from most to least
# This many markets, those with the most users, are slices of their own. All other markets are one slice.
MARKETS = 12
SEP = "="  # between kind and value in the name of a slice, such as market=DE


def slices(
    everybody: DataFrame, features: DataFrame, factors: DataFrame, heard: DataFrame, popularity: DataFrame
) -> DataFrame:
    """Assign each user to one slice of each kind, by what was known when the pools were built.

    Args:
        everybody: all users: `user_idx, market, declared_tags`, result of `core.log.audience.audience`.
        features: rows of `tables.USER_FEATURES`.
        factors: `idx`, the `user_idx` of the users with factors.
        heard: `user_idx, recording_idx`, the recordings that each user has heard.
        popularity: `recording_idx, popularity`, the percentile (0 to 1) over all markets together.

    Returns:
        One row for each user: `user_idx` and the columns `SLICES` (string). `activity_decile` is null for a
        user who has no row in `features`. `mainstreamness` is low, middle or high: users are divided into
        thirds by the mean popularity of their heard recordings. It is null for a user who has heard no
        recording of known popularity.
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
