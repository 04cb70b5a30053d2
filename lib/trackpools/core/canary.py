"""A canary against leakage: plays and acts that nobody could know of yet, planted in memory, and the question whether any trace of them is in what was made.

Planted are a recording played only after as_of (future), one played before it but received later (late), a like given after as_of (liked), and plays
after as_of of recordings that everybody knows: features that count these give themselves away by their last day.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

USERS, NAME = 50, "trackpools-canary"
DAYED = ("plays_daily", "interactions", "recording_features")  # tables that say when something was last heard


def planted(plays: DataFrame, as_of: datetime) -> dict[str, DataFrame]:
    """Rows to be read with `plays` and `signals`: by the first users of the log, by id."""
    some = plays.select("user_id").distinct().orderBy("user_id").limit(USERS)
    after, before = as_of + timedelta(hours=1), as_of - timedelta(days=2)

    def play(kind: str, at: datetime, received: datetime | None = None) -> DataFrame:
        return some.select(
            _key(kind),
            "user_id",
            F.lit(f"{NAME}-{kind}").alias("track_id"),
            F.lit(at).alias("played_at"),
            F.lit(received).cast("timestamp").alias("received_at"),
            *_rest(),
        )

    known = plays.select("track_id").distinct().orderBy("track_id").limit(USERS)
    more = some.crossJoin(known).select(
        _key("more"),
        "user_id",
        "track_id",
        F.lit(after).alias("played_at"),
        F.lit(None).cast("timestamp").alias("received_at"),
        *_rest(),
    )
    likes = some.select(
        "user_id",
        F.lit(f"{NAME}-liked").alias("track_id"),
        F.lit("like").alias("kind"),
        F.lit(after).alias("at"),
    )
    return {"plays": play("future", after).union(play("late", before, after)).union(more), "signals": likes}


def _key(kind: str) -> Column:
    return F.concat(F.lit(f"{NAME}-{kind}-"), F.monotonically_increasing_id().cast("string")).alias(
        "play_key"
    )


def _rest() -> list[Column]:
    return [
        F.lit(240_000).cast("long").alias("ms_played"),
        F.lit("play").alias("kind"),
        F.lit(1).alias("plays"),
    ]


def traces(made: Mapping[str, DataFrame], as_of: datetime) -> dict[str, DataFrame]:
    """Sentence → a frame that has rows only where the canary left a trace.

    Args:
        made: `recording_ids` and any of `DAYED`, `recording_factors` and `pools`.
    """
    numbered = made["recording_ids"].where(F.col("recording_id").startswith(NAME))
    told = {"a recording that nobody could know of has a number (recording_ids)": numbered}
    for name in DAYED:
        if name in made:
            day = "day" if name == "plays_daily" else "last_day"
            told[f"{name} knows a day after as_of"] = made[name].where(F.col(day) > F.lit(as_of.date()))
    if "recording_factors" in made:
        told["it was trained on (recording_factors)"] = made["recording_factors"].join(
            numbered, F.col("idx") == F.col("recording_idx"), "left_semi"
        )
    if "pools" in made:
        offered = made["pools"].select(F.explode("candidates.recording").alias("recording_idx"))
        told["it is in a pool"] = offered.join(numbered, "recording_idx", "left_semi")
    return told
