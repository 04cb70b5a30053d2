"""Fold plays into days, and days into one row for each user × recording, with forward decay."""

from datetime import date, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import DailyConfig, WeightsConfig
from trackpools.config.data import TasteConfig
from trackpools.core.contracts.ids import recording_of
from trackpools.core.log.confidence import landmark_factor
from trackpools.core.log.non_taste import excluded_in, mask_reason, masked_completions

DAY_MS = (
    86_400_000  # longest length of a play that counts, so that a broken clock cannot overflow a day's sum
)


def is_known_by(as_of: datetime, known_as_of: datetime) -> Column:
    """Return whether a play happened before `as_of` and was received before `known_as_of`.

    A play without a time of receipt counts as received when it was played. A total without a time of play
    counts as happened; if it has no time of receipt either, it is always known.
    """
    happened = F.col("played_at").isNull() | (F.col("played_at") < F.lit(as_of))
    received = F.coalesce("received_at", "played_at")
    return happened & (received.isNull() | (received < F.lit(known_as_of)))


def is_music() -> Column:
    """Return whether a play is of music.

    Podcasts, audiobooks and all other content types are not music. A play without a content type counts as
    music.
    """
    return F.coalesce("content_type", F.lit("music")) == "music"


def is_public() -> Column:
    """Return whether a play was outside of a private session."""
    return ~F.coalesce("private", F.lit(False))


def with_idx(rows: DataFrame, tracks: DataFrame, user_ids: DataFrame, recording_ids: DataFrame) -> DataFrame:
    """Replace the raw ids of rows by their numbers.

    Rows with an id that has no number are left out. The stage `ids` runs before, and numbers every user and
    every recording that counts.

    Args:
        rows: `user_id, track_id, …`.
        tracks: the catalogue, which maps tracks to recordings. A track that is not in it is a recording of
            its own.
        user_ids: `user_id, user_idx`.
        recording_ids: `recording_id, recording_idx`.

    Returns:
        The rows with `user_idx, recording_idx` instead of `user_id, track_id`.
    """
    return (
        rows.join(recording_of(tracks), "track_id", "left")
        .withColumn("recording_id", F.coalesce("recording_id", "track_id"))
        .join(recording_ids, "recording_id")
        .join(user_ids, "user_id")
        .drop("user_id", "track_id", "recording_id")
    )


def is_early_skip(daily: DailyConfig) -> Column:
    """Return whether the user left a play within the skip window in a lean-back context.

    In a lean-back context, the user did not choose the track.
    """
    lean_back = F.coalesce(F.col("context_type").isin(daily.lean_back), F.lit(False))
    return lean_back & F.coalesce(F.col("ms_played") < daily.early_skip_ms, F.lit(False))


def plays_daily(plays: DataFrame, daily: DailyConfig, taste: TasteConfig, since: date | None) -> DataFrame:
    """Count plays by user, recording and UTC day.

    Only music outside of private sessions counts. Plays of a day are capped, to limit bots. Completions in
    loops and in excluded contexts are counted in `masked`.

    Args:
        plays: rows of `plays` with `user_idx, recording_idx`; only timed plays of kind `play` are counted.
        daily: settings of caps and skips.
        taste: settings of non-taste.
        since: the first day to compute; None computes all days.

    Returns:
        One row for each user × recording × day, with the columns of `tables.PLAYS_DAILY`: `user_idx,
        recording_idx, day, plays, completions, early_skips, masked, ms, masked_as`.
    """
    counts = (F.col("kind") == "play") & F.col("played_at").isNotNull() & (F.col("plays") > 0)
    timed = plays.where(counts & is_music() & is_public()).withColumn("day", F.to_date("played_at"))
    if since is not None:
        timed = timed.where(F.col("day") >= F.lit(since))
    skip = is_early_skip(daily)
    excluded = {
        context: F.sum(F.when(~skip & there, F.col("plays")).otherwise(0))
        for context, there in excluded_in(taste).items()
    }
    days = timed.groupBy("user_idx", "recording_idx", "day").agg(
        F.sum("plays").alias("plays"),
        F.sum(F.when(skip, 0).otherwise(F.col("plays"))).alias("completions"),
        F.sum(F.when(skip, F.col("plays")).otherwise(0)).alias("early_skips"),
        F.sum(F.least(F.coalesce("ms_played", F.lit(0)), F.lit(DAY_MS))).alias("ms"),
        F.array(
            *(
                F.struct(plays.alias("plays"), F.lit(context).alias("context"))
                for context, plays in excluded.items()
            )
        ).alias("_excluded"),
    )
    return _capped(
        days.withColumns({"masked": masked_completions(taste), "masked_as": mask_reason(taste)}), daily
    )


def _capped(days: DataFrame, daily: DailyConfig) -> DataFrame:
    """Cap the plays of a user on a day: first of each recording, then of all recordings together.

    If a user has more plays on a day than the second cap, the plays of every recording are scaled down.
    Counts are rounded up, so that every heard recording keeps a play.
    """
    user_day = Window.partitionBy("user_idx", "day")
    own = F.least("plays", F.lit(daily.max_plays_recording_day))
    total = F.sum(own).over(user_day)
    # Whole numbers are multiplied before they are divided: 58 · (30/58) is above 30 in floating point and
    # would be rounded up.
    capped = F.when(total <= daily.max_plays_day, own).otherwise(F.ceil(own * daily.max_plays_day / total))
    parts = {
        name: F.ceil(F.col(name) * F.col("_capped") / F.col("plays")).cast("int")
        for name in ("completions", "early_skips", "masked")
    }
    return days.withColumn("_capped", capped).select(
        "user_idx",
        "recording_idx",
        "day",
        F.col("_capped").cast("int").alias("plays"),
        *(part.alias(name) for name, part in parts.items()),
        F.col("ms").cast("long").alias("ms"),
        "masked_as",
    )


def spread_artist_signals(signals: DataFrame, tracks: DataFrame) -> DataFrame:
    """Replace each signal on an artist (`artist:<id>`) by one signal on each track of the artist."""
    is_artist = F.startswith("track_id", F.lit("artist:"))
    by_artist = tracks.select(F.explode("artist_ids").alias("_artist"), F.col("track_id").alias("_track"))
    spread = (
        signals.where(is_artist)
        .withColumn("_artist", F.substring("track_id", F.lit(8), F.length("track_id")))
        .join(by_artist, "_artist")
    )
    return signals.where(~is_artist).unionByName(
        spread.withColumn("track_id", F.col("_track")).drop("_artist", "_track")
    )


def explicit_acts(signals: DataFrame) -> DataFrame:
    """Return the last explicit act of each user on each recording.

    An undo cancels the acts before it. Of acts at the same moment, the one whose kind is last in alphabetical
    order counts, so that the result is defined.

    Args:
        signals: `user_idx, recording_idx, kind, at`.

    Returns:
        One row for each user × recording: `user_idx, recording_idx`, `likes` (int: 1 for a like or save, −1
        for a dislike, else 0), `blocked` (boolean).
    """
    last = Window.partitionBy("user_idx", "recording_idx").orderBy(F.desc("at"), F.desc("kind"))
    word = signals.withColumn("_n", F.row_number().over(last)).where("_n = 1")
    likes = F.when(F.col("kind").isin("like", "save"), 1).when(F.col("kind") == "dislike", -1).otherwise(0)
    return word.select(
        "user_idx", "recording_idx", likes.alias("likes"), (F.col("kind") == "block").alias("blocked")
    )


def interactions(days: DataFrame, untimed: DataFrame, acts: DataFrame, weights: WeightsConfig) -> DataFrame:
    """Fold days, totals, ratings and explicit acts into one row for each user × recording.

    Args:
        days: `plays_daily` up to as_of.
        untimed: plays of kind count or rating, with `user_idx, recording_idx`.
        acts: the result of `explicit_acts`.
        weights: the settings of forward decay.

    Returns:
        The columns of `tables.INTERACTIONS`, one row for each pair with any play, total, rating or act.
    """
    key = ["user_idx", "recording_idx"]
    factor, liked = landmark_factor(F.col("day"), weights), F.col("completions") - F.col("masked")
    # The sum of floats depends on the order of the terms, and that order depends on the partitions. So each
    # day holds sums of integers, and the days are added in the order of time.
    timed = days.groupBy(*key).agg(
        F.array_sort(
            F.collect_list(F.struct("day", factor.alias("f"), liked.alias("liked"), "early_skips"))
        ).alias("_days"),
        F.sum("plays").alias("plays"),
        F.sum("early_skips").alias("skips"),
        F.min("day").alias("first_day"),
        F.max("day").alias("last_day"),
    )
    masses = (
        _ordered_sum(name).alias(mass) for name, mass in (("liked", "mass"), ("early_skips", "skip_mass"))
    )
    timed = timed.select(*key, *masses, "plays", "skips", "first_day", "last_day")
    rating_day = F.when(F.col("kind") == "rating", F.to_date("played_at"))
    totals = untimed.groupBy(*key).agg(
        F.sum(F.when(F.col("kind") == "count", F.col("plays")).otherwise(0)).alias("counted"),
        F.max(F.when(F.col("kind") == "rating", F.least("plays", F.lit(1)))).alias("rated"),
        F.min(rating_day).alias("_first"),
        F.max(rating_day).alias("_last"),
    )
    zero: dict[str, bool | float | int | str] = {
        "mass": 0.0,
        "skip_mass": 0.0,
        "plays": 0,
        "skips": 0,
        "counted": 0,
        "likes": 0,
        "blocked": False,
    }
    return (
        timed.join(totals, key, "full")
        .join(acts, key, "full")
        .withColumns(
            {"first_day": F.least("first_day", "_first"), "last_day": F.greatest("last_day", "_last")}
        )
        .drop("_first", "_last")
        .fillna(zero)
    )


def _ordered_sum(name: str) -> Column:
    return F.aggregate("_days", F.lit(0.0), lambda total, day: total + day["f"] * day[name])
