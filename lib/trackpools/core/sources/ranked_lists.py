"""Build ranked lists by key from rows."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.sources.packed_items import pack_items


def rank_by_key(rows: DataFrame, n: int, *order: Column) -> DataFrame:
    """Select and pack the n best recordings of each key.

    Args:
        rows: `key long, recording int`, and `score float` if no order is given.
        n: the greatest number of recordings of a list.
        order: columns to rank by; the score of a recording is then `rank_score` of its rank. Without columns,
            rows are ranked by falling score, then by recording, and keep their score.

    Returns:
        `key long, recordings binary, scores binary`, one row for each key.
    """
    best_first = Window.partitionBy("key").orderBy(*(order or (F.desc("score"), F.col("recording"))))
    top = rows.withColumn("_rank", F.row_number().over(best_first)).where(F.col("_rank") <= n)
    score = rank_score(F.col("_rank")) if order else F.col("score")
    listed = F.array_sort(F.collect_list(F.struct("_rank", "recording", score.cast("float").alias("score"))))
    items = F.transform(
        listed, lambda row: F.struct(row["recording"].alias("recording"), row["score"].alias("score"))
    )
    return pack_items(top.groupBy("key").agg(items.alias("items")))


def rank_score(rank: Column) -> Column:
    """Return a score that is 1 at rank 1 and falls with the rank: 60 / (59 + rank).

    The score has no unit, so that the scores of different lists can be added.
    """
    return F.lit(60.0) / (F.lit(59.0) + rank)
