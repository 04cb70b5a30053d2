"""What a pool is like beside being right: how new, how popular, how varied, how true to the listener's tastes. One row a user.

- `novelty`  mean self-information −log₂(listeners / users) of its recordings (Zhou et al. 2010)
- `popularity_lift`  mean listeners of the pool over those of the listener's own history, less 1 (Abdollahpouri et al. 2019)
- `diversity`  1 − mean cosine of two of its recordings, by sketch (Smyth & McClave 2001)
- `miscalibration`  Kullback-Leibler divergence of kinds of music, history against pool, smoothed by 0.01 (Steck 2018)
- `fresh_28d`, `fresh_7d`  share released within so many days; `tail`  share with under 100 listeners
- `artist_concentration`  Σ share² of its artists (Herfindahl): 1 is one artist
- `fillable`  cells of decade × kind of music with 20 recordings, from which a prompt can be filled
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.shelf import AXES

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
TAIL, ENOUGH, SMOOTHING = 100, 20, 0.01
UNIT = 127.0  # length of a sketch


def traits(pools: DataFrame, heard: DataFrame, facts: DataFrame, users: int, as_of: datetime) -> DataFrame:
    """`user_idx` and `TRAITS`, doubles; null where nothing tells, such as the diversity of one recording.

    Args:
        pools: `user_idx, candidates` as `tables.POOLS`; empty pools have no row in the result.
        heard: `user_idx, recording_idx` of the listeners' histories.
        facts: as `tables.RECORDING_FACTS`.
        users: all there are, for the self-information.
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
    # rows of a user lie together, so most of each grouping is done before anything is sent
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
    """array<double> [16] of a sketch, which is int8: about of length 1."""
    byte = F.transform(
        F.sequence(F.lit(1), F.lit(AXES)),
        lambda i: F.conv(F.hex(F.col("sketch").substr(i, F.lit(1))), 16, 10).cast("double"),
    )
    signed = F.transform(byte, lambda value: F.when(value > 127, value - 256).otherwise(value) / UNIT)
    return F.when(F.col("sketch").isNotNull(), signed)


def _of_list(users: int) -> list[Column]:
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
    n = long.groupBy("user_idx", F.coalesce("artist", -1 - F.col("recording")).alias("artist")).count()
    count = F.col("count")
    return n.groupBy("user_idx").agg(
        (F.sum(count * count) / F.pow(F.sum(count), 2)).alias("artist_concentration")
    )


def _fillable(long: DataFrame) -> DataFrame:
    cells = (
        long.where("decade IS NOT NULL AND tag_group IS NOT NULL")
        .groupBy("user_idx", "decade", "tag_group")
        .count()
    )
    return cells.groupBy("user_idx").agg(
        F.count_if(F.col("count") >= ENOUGH).cast("double").alias("fillable")
    )


def _miscalibration(own: DataFrame, long: DataFrame) -> DataFrame:
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
