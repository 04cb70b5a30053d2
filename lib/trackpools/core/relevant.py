"""What listeners heard after a moment: what a pool of that moment is measured by. New to them and chosen, or heard again."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.ids import recording_of

KINDS = ("new", "again")


def numbered(plays: DataFrame, tracks: DataFrame, user_ids: DataFrame, recording_ids: DataFrame) -> DataFrame:
    """Plays with `user_idx, recording_idx`; who or what has no number gets one below 0, and stays: nobody could have proposed it, which is a miss."""
    known = plays.join(recording_of(tracks), "track_id", "left").withColumn(
        "recording_id", F.coalesce("recording_id", "track_id")
    )
    told = known.join(recording_ids, "recording_id", "left").join(user_ids, "user_id", "left")
    return told.withColumns(
        {
            "recording_idx": F.coalesce("recording_idx", _unknown("recording_id")),
            "user_idx": F.coalesce("user_idx", _unknown("user_id")),
        }
    ).drop("user_id", "track_id", "recording_id")


def _unknown(name: str) -> Column:
    return (-1 - F.pmod(F.xxhash64(name), F.lit(2**31 - 1))).cast("int")


def relevant(
    plays: DataFrame, heard: DataFrame, as_of: datetime, horizons: Sequence[int], lean_back: Sequence[str]
) -> DataFrame:
    """One row a user who heard anything: `user_idx` and for each horizon `new_7d, again_7d, …`, each an array of recording_idx.

    New is what they never heard before and chose themselves, not a radio or an autoplay; again is whatever they had heard before.

    Args:
        plays: numbered, with `played_at` and `context_type`.
        heard: `user_idx, recording_idx` heard before as_of, each once.
        horizons: days after as_of.
        lean_back: contexts in which the listener does not choose.
    """
    later = plays.where(
        (F.col("played_at") >= F.lit(as_of))
        & (F.col("played_at") < F.lit(as_of + timedelta(days=max(horizons))))
    )
    chosen = ~F.coalesce(F.col("context_type").isin(*lean_back), F.lit(False))
    first = later.groupBy("user_idx", "recording_idx").agg(
        F.min("played_at").alias("any"), F.min(F.when(chosen, F.col("played_at"))).alias("chosen")
    )
    told = first.join(
        heard.select("user_idx", "recording_idx", F.lit(True).alias("_heard")),
        ["user_idx", "recording_idx"],
        "left",
    )

    def within(kind: str, days: int) -> Column:
        is_new = F.col("_heard").isNull()
        at = F.when(is_new, F.col("chosen")) if kind == "new" else F.when(~is_new, F.col("any"))
        return F.array_sort(
            F.collect_list(F.when(at < F.lit(as_of + timedelta(days=days)), F.col("recording_idx")))
        ).alias(f"{kind}_{days}d")

    return told.groupBy("user_idx").agg(*(within(kind, days) for kind in KINDS for days in horizons))
