"""Ranked lists by key, out of rows."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.sources.items import packed


def ranked(rows: DataFrame, n: int, *order: Column) -> DataFrame:
    """`key long, recordings binary, scores binary`: the n best of each key.

    Args:
        rows: `key, recording int`, and `score float` where no order is given.
        order: what ranks them, then the score is `by_rank`; by default score descending, then recording.
    """
    best_first = Window.partitionBy("key").orderBy(*(order or (F.desc("score"), F.col("recording"))))
    top = rows.withColumn("_rank", F.row_number().over(best_first)).where(F.col("_rank") <= n)
    score = by_rank(F.col("_rank")) if order else F.col("score")
    listed = F.array_sort(F.collect_list(F.struct("_rank", "recording", score.cast("float").alias("score"))))
    items = F.transform(
        listed, lambda row: F.struct(row["recording"].alias("recording"), row["score"].alias("score"))
    )
    return packed(top.groupBy("key").agg(items.alias("items")))


def by_rank(rank: Column) -> Column:
    """A score that falls with the rank (from 1) and knows no units, so that lists of different things can be added."""
    return F.lit(60.0) / (F.lit(59.0) + rank)
