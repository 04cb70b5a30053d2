"""The source `cooccurrence`: recordings that the same users heard within one window.

A window is one day of a user. All interactions of a user without a known day are one more window.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config.sources import CooccurrenceSourceConfig
from trackpools.core.sources.item_pairs import shrunk_lift
from trackpools.core.sources.ranked_lists import rank_by_key
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.user_block import recent_and_loved

UNDATED = -1  # the window of interactions without a known day


def lists(inputs: ListInputs, settings: CooccurrenceSourceConfig) -> DataFrame:
    """List, for each recording, the recordings of greatest shrunk lift; see `item_pairs.shrunk_lift`.

    Returns:
        `key long` (the recording_idx), `recordings binary, scores binary`; the score is the shrunk lift.
    """
    scored = shrunk_lift(_windows(inputs, settings.days), settings.window, settings.shrink)
    return rank_by_key(
        scored.select(
            F.col("a").cast("long").alias("key"), F.col("b").alias("recording"), F.col("score").cast("float")
        ),
        settings.list_length,
    )


def _windows(inputs: ListInputs, days: int) -> DataFrame:
    """Find the windows of each user.

    They are the last `days` days on which the user played or rated music, and the window UNDATED with all
    interactions without a day.

    Returns:
        `user_idx int, window int, item int`, one row for each recording in a window. `window` is a number of
        days since 1970, or UNDATED; `item` is the `recording_idx`.
    """
    item = F.col("recording_idx").alias("item")
    played = inputs.days.join(
        inputs.interactions.where("plays > 0"), ["user_idx", "recording_idx"], "left_semi"
    )
    others = inputs.interactions.where("plays = 0")  # without a timed play, so not in `plays_daily`
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
