"""The most heard recordings of the user's market: the answer for whoever is new, and company for everybody else."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.sources.inputs import SourceInputs
from trackpools.core.sources.items import packed

BIT = 1


def candidates(inputs: SourceInputs) -> DataFrame:
    """One row a user; see `sources`. Only what may be played in the market, clean versions for who asked for them.

    Ordered by listeners in the market, then everywhere, then idx: a market of few listeners is filled from the world.
    """
    everywhere = inputs.cards.where("market = '*'").select("recording_idx", F.col("listeners").alias("_world"))
    charts = inputs.cards.join(everywhere, "recording_idx", "left")
    lists = _lists(charts.where("track_id IS NOT NULL"), inputs.config.sources.popular.k, clean=False).unionByName(
        _lists(charts.where("clean_track_id IS NOT NULL"), inputs.config.sources.popular.k, clean=True)
    )
    return inputs.users.join(F.broadcast(packed(lists)), ["market", "clean"]).select(
        "user_idx", F.lit(BIT).cast("byte").alias("source"), "recordings", "scores", F.lit(0).alias("masked")
    )


def _lists(charts: DataFrame, k: int, *, clean: bool) -> DataFrame:
    """`market, clean, items`: one row a market."""
    best_first = Window.partitionBy("market").orderBy(F.desc("listeners"), F.desc_nulls_last("_world"), "recording_idx")
    top = charts.withColumn("_rank", F.row_number().over(best_first)).where(F.col("_rank") <= k)
    rows = F.array_sort(F.collect_list(F.struct("_rank", "recording_idx", F.col("listeners").cast("float").alias("listeners"))))
    items = F.transform(rows, lambda row: F.struct(row["recording_idx"].alias("recording"), row["listeners"].alias("score")))
    return top.groupBy("market").agg(items.alias("items")).withColumn("clean", F.lit(clean))
