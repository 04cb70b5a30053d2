"""What the same people heard in one window: a listener's day of plays or ratings, or all of a log that knows no days."""

from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.listeners import recent_and_loved
from trackpools.core.sources.pairing import shrunk_lift
from trackpools.core.sources.ranking import ranked
from trackpools.core.sources.source import Source

UNDATED = -1


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """By recording_idx: recordings of greatest shrunk lift, see `pairing.shrunk_lift`."""
    scored = shrunk_lift(_windows(inputs, settings.days), settings.window, settings.shrink)
    return ranked(
        scored.select(
            F.col("a").cast("long").alias("key"), F.col("b").alias("recording"), F.col("score").cast("float")
        ),
        settings.list_length,
    )


def _windows(inputs: ListInputs, days: int) -> DataFrame:
    """`user_idx, window int, item`: the last `days` days of a listener with music or ratings; of what has no day, one window of all."""
    item = F.col("recording_idx").alias("item")
    played = inputs.days.join(
        inputs.interactions.where("plays > 0"), ["user_idx", "recording_idx"], "left_semi"
    )
    others = inputs.interactions.where("plays = 0")  # ratings and totals: they stand in no day's plays
    rated = others.where("last_day IS NOT NULL").select(
        "user_idx", F.unix_date("last_day").alias("window"), item
    )
    dated = played.select("user_idx", F.unix_date("day").alias("window"), item).unionByName(rated)
    recent = (
        dated.withColumn("_n", F.dense_rank().over(Window.partitionBy("user_idx").orderBy(F.desc("window"))))
        .where(F.col("_n") <= days)
        .drop("_n")
    )
    return recent.unionByName(
        others.where("last_day IS NULL").select("user_idx", F.lit(UNDATED).alias("window"), item)
    )


SOURCE = Source(
    "cooccurrence",
    3,
    "new",
    "number {n} of what goes with what you play",
    "played {n} × and goes with what you play",
    lists=lists,
    seeds=recent_and_loved,
    keyed="recording",
)
