"""Measure pools beyond accuracy: novelty, popularity, diversity and fit to the user's tastes.

Each metric has one value for each user. `listeners` is the number of users who heard a recording.

- `novelty`  mean self-information −log₂(listeners / users) of the pool's recordings (Zhou et al. 2010); a
  recording without listeners counts as if it had one
- `popularity_lift`  mean listeners of the pool divided by mean listeners of the user's history, minus 1
  (Abdollahpouri et al. 2019)
- `diversity`  1 − mean cosine similarity over all pairs of the pool's recordings (Smyth & McClave 2001). It
  is computed from their sketches, the factors compressed to 16 numbers; recordings without one are left out
- `miscalibration`  Kullback-Leibler divergence Σ p ln(p / q) over tag groups, where p are their shares in the
  history, and q is 0.99 × their shares in the pool + 0.01 × p (Steck 2018)
- `fresh_28d`, `fresh_7d`  share of the pool's recordings that were released in the 28 or 7 days before
  `as_of`
- `tail`  share of the pool's recordings with fewer than 100 listeners
- `artist_concentration`  Σ share² over the artists of the pool (Herfindahl index); 1 means a single artist
- `fillable`  number of pairs (decade, tag group) of which the pool has at least 20 recordings, so that a
  prompt for such a pair can be filled
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.arrays.recording_table import AXES

TRAITS = (
    "novelty",
    "popularity_lift",
    "diversity",
    "miscalibration",
    "fresh_28d",
    "fresh_7d",
    "tail",
    "artist_concentration",
    "fillable",
)
TAIL, ENOUGH, SMOOTHING = 100, 20, 0.01  # constants of `tail`, `fillable` and `miscalibration`
UNIT = 127.0  # a sketch is a unit vector × this


def traits(pools: DataFrame, heard: DataFrame, facts: DataFrame, users: int, as_of: datetime) -> DataFrame:
    """Compute all metrics of the module docstring for each pool.

    Args:
        pools: `user_idx, candidates` as in `tables.POOLS`.
        heard: `user_idx, recording_idx`, the recordings that each user has heard.
        facts: rows of `tables.RECORDING_FACTS`.
        users: number of all users, for `novelty`.
        as_of: moment of the pools, for `fresh_28d` and `fresh_7d`.

    Returns:
        One row for each user with a pool that is not empty: `user_idx` and the columns `TRAITS` (double). A
        value is null if it is not defined, such as the diversity of a pool of one recording.
    """
    known = F.broadcast(
        facts.select(
            F.col("recording_idx").alias("recording"),
            "artist",
            "decade",
            "tag_group",
            "listeners",
            _axes().alias("axes"),
            F.datediff(F.lit(as_of.date()), "released").alias("age"),
        ).withColumn("own", F.aggregate("axes", F.lit(0.0), lambda total, x: total + x * x))
    )
    # The rows of a user are in one partition, so Spark does most of each grouping before a shuffle.
    long = pools.select("user_idx", F.explode("candidates.recording").alias("recording")).join(
        known, "recording", "left"
    )
    own = heard.select("user_idx", F.col("recording_idx").alias("recording")).join(known, "recording", "left")
    lists = long.groupBy("user_idx").agg(*_of_list(users))
    history = own.groupBy("user_idx").agg(F.avg(F.coalesce("listeners", F.lit(0))).alias("_own"))
    told = (
        lists.join(_concentration(long), "user_idx")
        .join(_fillable(long), "user_idx", "left")
        .join(_miscalibration(own, long), "user_idx", "left")
    )
    whole = told.join(history, "user_idx", "left").withColumn(
        "popularity_lift", F.col("_pool") / F.when(F.col("_own") > 0, F.col("_own")) - 1
    )
    return whole.withColumn("fillable", F.coalesce("fillable", F.lit(0.0))).select("user_idx", *TRAITS)


def _axes() -> Column:
    """Decode the int8 bytes of column `sketch` into `array<double>` [16] of length about 1; null for null."""
    byte = F.transform(
        F.sequence(F.lit(1), F.lit(AXES)),
        lambda i: F.conv(F.hex(F.col("sketch").substr(i, F.lit(1))), 16, 10).cast("double"),
    )
    signed = F.transform(byte, lambda value: F.when(value > 127, value - 256).otherwise(value) / UNIT)
    return F.when(F.col("sketch").isNotNull(), signed)


def _of_list(users: int) -> list[Column]:
    """Return the aggregates that need only a user's pool: five metrics, and `_pool`, the mean listeners."""
    listeners = F.greatest(F.coalesce("listeners", F.lit(0)), F.lit(1))
    placed = F.count("axes")
    squares = sum((F.pow(F.sum(F.get("axes", F.lit(i))), 2) for i in range(AXES)), start=F.lit(0.0))
    own = F.sum("own")
    pairs = F.when(placed > 1, placed * (placed - 1))
    return [
        F.avg(-F.log2(listeners / F.lit(float(users)))).alias("novelty"),
        F.avg(F.coalesce("listeners", F.lit(0))).alias("_pool"),
        (1 - (squares - own) / pairs).alias("diversity"),
        *(
            F.avg(F.coalesce(F.col("age").between(0, days), F.lit(False)).cast("double")).alias(
                f"fresh_{days}d"
            )
            for days in (28, 7)
        ),
        F.avg((F.coalesce("listeners", F.lit(0)) < TAIL).cast("double")).alias("tail"),
    ]


def _concentration(long: DataFrame) -> DataFrame:
    """Compute `user_idx, artist_concentration`; each recording of unknown artist counts as an artist."""
    n = long.groupBy("user_idx", F.coalesce("artist", -1 - F.col("recording")).alias("artist")).count()
    count = F.col("count")
    return n.groupBy("user_idx").agg(
        (F.sum(count * count) / F.pow(F.sum(count), 2)).alias("artist_concentration")
    )


def _fillable(long: DataFrame) -> DataFrame:
    """Compute `user_idx, fillable` for the users whose pool has any decade and tag group."""
    cells = (
        long.where("decade IS NOT NULL AND tag_group IS NOT NULL")
        .groupBy("user_idx", "decade", "tag_group")
        .count()
    )
    return cells.groupBy("user_idx").agg(
        F.count_if(F.col("count") >= ENOUGH).cast("double").alias("fillable")
    )


def _miscalibration(own: DataFrame, long: DataFrame) -> DataFrame:
    """Compute `user_idx, miscalibration` for users with tag groups in both history and pool.

    Args:
        own: `user_idx, tag_group` of each recording in the histories.
        long: `user_idx, tag_group` of each recording in the pools.
    """

    def kinds(rows: DataFrame, name: str) -> DataFrame:
        return rows.where("tag_group IS NOT NULL").select("user_idx", "tag_group", F.lit(name).alias("of"))

    counts = (
        kinds(own, "own")
        .union(kinds(long, "pool"))
        .groupBy("user_idx", "tag_group")
        .agg(F.count_if(F.col("of") == "own").alias("p"), F.count_if(F.col("of") == "pool").alias("q"))
    )
    row = F.collect_list(F.struct("p", "q"))
    totals = counts.groupBy("user_idx").agg(row.alias("rows"), F.sum("p").alias("ps"), F.sum("q").alias("qs"))

    def term(total: Column, one: Column) -> Column:
        p, q = one["p"] / F.col("ps"), one["q"] / F.col("qs")
        return total + F.when(one["p"] > 0, p * F.log(p / ((1 - SMOOTHING) * q + SMOOTHING * p))).otherwise(
            0.0
        )

    value = F.aggregate("rows", F.lit(0.0), term)
    return totals.where("ps > 0 AND qs > 0").select("user_idx", value.alias("miscalibration"))
