"""Detect leakage of future data: plant rows that cannot be known yet, and look for traces of them.

The rows are planted in memory only. There are four kinds. `future` are plays of a recording that is played
only after as_of. `late` are plays of a recording that is played before as_of but received after it. `liked`
are likes given after as_of. `more` are plays after as_of of recordings that the log holds already; a table
that counts these plays holds a day after as_of.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

USERS, NAME = 50, "trackpools-canary"
DAYED = ("plays_daily", "interactions", "recording_features")  # tables with the (last) day of plays


def plant(plays: DataFrame, as_of: datetime) -> dict[str, DataFrame]:
    """Return the rows to plant: table (`plays` or `signals`) → rows to read in addition to the table.

    The planted rows are of the first `USERS` users of the log, by id.
    """
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


def find_traces(tables: Mapping[str, DataFrame], as_of: datetime) -> dict[str, DataFrame]:
    """Return a frame for each possible trace; the frame has rows only if planted rows left that trace.

    Args:
        tables: `recording_ids` and any of `DAYED`, `recording_factors` and `pools`, by name.
        as_of: the moment that was passed to `plant`.

    Returns:
        Sentence that describes the trace → frame.
    """
    numbered = tables["recording_ids"].where(F.col("recording_id").startswith(NAME))
    told = {"recording_ids numbers a recording that could not be known yet": numbered}
    for name in DAYED:
        if name in tables:
            day = "day" if name == "plays_daily" else "last_day"
            told[f"{name} holds a day after as_of"] = tables[name].where(F.col(day) > F.lit(as_of.date()))
    if "recording_factors" in tables:
        told["recording_factors holds a recording that could not be known yet"] = tables[
            "recording_factors"
        ].join(numbered, F.col("idx") == F.col("recording_idx"), "left_semi")
    if "pools" in tables:
        offered = tables["pools"].select(F.explode("candidates.recording").alias("recording_idx"))
        told["a pool holds a recording that could not be known yet"] = offered.join(
            numbered, "recording_idx", "left_semi"
        )
    return told
