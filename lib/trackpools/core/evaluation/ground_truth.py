"""Find the recordings that users heard after `as_of`, to evaluate the pools built for `as_of`.

There are two kinds. `new` recordings are those that the user chose and had never heard before. `again` are
those that the user had heard before.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.contracts.ids import recording_of

KINDS = ("new", "again")


def assign_idx(
    plays: DataFrame, tracks: DataFrame, user_ids: DataFrame, recording_ids: DataFrame
) -> DataFrame:
    """Replace the string ids of plays by `user_idx, recording_idx`.

    Plays of a user or recording without a number are kept, with a hash below 0 as the number. No pool could
    have proposed such a recording, so it counts as a miss.

    Args:
        plays: plays with `user_id, track_id`.
        tracks: catalogue with `track_id, recording_id`.
        user_ids: `user_id, user_idx`.
        recording_ids: `recording_id, recording_idx`.

    Returns:
        The plays with `user_idx, recording_idx` in place of `user_id, track_id`.
    """
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
    """Hash an id to an int below 0; the numbers of known users and recordings are 0 or above."""
    return (-1 - F.pmod(F.xxhash64(name), F.lit(2**31 - 1))).cast("int")


def relevant_recordings(
    plays: DataFrame, heard: DataFrame, as_of: datetime, horizons: Sequence[int], lean_back: Sequence[str]
) -> DataFrame:
    """Collect the recordings that each user heard within each horizon after `as_of`.

    A recording is `new` if the user had never heard it before `as_of` and chose it after `as_of`. A play by
    radio or autoplay does not count as chosen. A recording is `again` if the user had heard it before
    `as_of`, whether or not the user chose it now.

    Args:
        plays: result of `assign_idx`, with `played_at` and `context_type`.
        heard: `user_idx, recording_idx` heard before `as_of`, each pair once.
        as_of: start of all horizons.
        horizons: lengths in days after `as_of`.
        lean_back: values of `context_type` in which the user does not choose the track.

    Returns:
        One row for each user who heard anything within the longest horizon: `user_idx`, and for each kind and
        horizon a sorted array of `recording_idx`, such as `new_7d` and `again_7d`.
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
