"""What the same people heard in one window: a listener's day, or all of a log that knows no days."""

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
    return ranked(scored.select(F.col("a").cast("long").alias("key"), F.col("b").alias("recording"), F.col("score").cast("float")), settings.list_length)


def _windows(inputs: ListInputs, days: int) -> DataFrame:
    """`user_idx, window int, item`: the last `days` days of a listener with music; where a log has no days, one window of all."""
    known = inputs.interactions.select("user_idx", "recording_idx", "last_day")
    dated = inputs.days.join(known.where("last_day IS NOT NULL"), ["user_idx", "recording_idx"], "left_semi")
    latest = Window.partitionBy("user_idx").orderBy(F.desc("day"))
    recent = dated.select("user_idx", F.unix_date("day").alias("window"), F.col("recording_idx").alias("item"), F.dense_rank().over(latest).alias("_n"))
    undated = known.where("last_day IS NULL").select("user_idx", F.lit(UNDATED).alias("window"), F.col("recording_idx").alias("item"))
    return recent.where(F.col("_n") <= days).drop("_n").unionByName(undated)


SOURCE = Source(
    "cooccurrence", 3, "new", "number {n} of what goes with what you play", "played {n} × and goes with what you play", lists=lists,
    seeds=recent_and_loved, keyed="recording",
)
