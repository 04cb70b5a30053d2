"""Plays → days → one row per user × recording, with forward decay."""

from datetime import date, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import DailyConfig, WeightsConfig
from trackpools.config_taste import TasteConfig
from trackpools.core.ids import recording_of
from trackpools.core.taste import excluded_in, masked, masked_as
from trackpools.core.weights import landmark_factor

DAY_MS = 86_400_000  # no play lasts longer; a broken clock must not overflow the sum of a day


def known_by(as_of: datetime, known_as_of: datetime) -> Column:
    """Plays that had happened by `as_of` and had been received by `known_as_of`; untimed totals always."""
    happened = F.col("played_at").isNull() | (F.col("played_at") < F.lit(as_of))
    received = F.coalesce("received_at", "played_at")
    return happened & (received.isNull() | (received < F.lit(known_as_of)))


def is_music() -> Column:
    """Podcasts, audiobooks and whatever else the log says is no music are not."""
    return F.coalesce("content_type", F.lit("music")) == "music"


def is_public() -> Column:
    """Not played in a private session."""
    return ~F.coalesce("private", F.lit(False))


def with_idx(rows: DataFrame, tracks: DataFrame, user_ids: DataFrame, recording_ids: DataFrame) -> DataFrame:
    """Rows of `user_id, track_id, …` with `user_idx, recording_idx` instead of the raw ids; inner, as ids come first."""
    return (
        rows.join(recording_of(tracks), "track_id", "left")
        .withColumn("recording_id", F.coalesce("recording_id", "track_id"))
        .join(recording_ids, "recording_id")
        .join(user_ids, "user_id")
        .drop("user_id", "track_id", "recording_id")
    )


def is_early_skip(daily: DailyConfig) -> Column:
    """Left within the skip window in a context where the listener did not choose the track."""
    lean_back = F.coalesce(F.col("context_type").isin(daily.lean_back), F.lit(False))
    return lean_back & F.coalesce(F.col("ms_played") < daily.early_skip_ms, F.lit(False))


def plays_daily(plays: DataFrame, daily: DailyConfig, taste: TasteConfig, since: date | None) -> DataFrame:
    """One row a user × recording × UTC day, bots capped, loops and excluded contexts masked; only music, and none of private sessions.

    Args:
        plays: timed plays with `user_idx, recording_idx`.
        since: first day to compute; None is all.
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
    return _capped(days.withColumns({"masked": masked(taste), "masked_as": masked_as(taste)}), daily)


def _capped(days: DataFrame, daily: DailyConfig) -> DataFrame:
    """Scale a recording's day, then a user's day, down to the caps; rounded up, so nothing heard is forgotten."""
    user_day = Window.partitionBy("user_idx", "day")
    own = F.least("plays", F.lit(daily.max_plays_recording_day))
    total = F.sum(own).over(user_day)
    # whole numbers are multiplied before they are divided: 58 · (30/58) is above 30 in floating point, and would be rounded up
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


def on_tracks(signals: DataFrame, tracks: DataFrame) -> DataFrame:
    """Signals with those on an artist (`artist:<id>`) spread over the artist's tracks."""
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
    """The last word a user spoke on a recording: `user_idx, recording_idx, likes int, blocked boolean`.

    An undo takes back what came before it; of acts at one instant the kind decides, so the answer is defined.
    """
    last = Window.partitionBy("user_idx", "recording_idx").orderBy(F.desc("at"), F.desc("kind"))
    word = signals.withColumn("_n", F.row_number().over(last)).where("_n = 1")
    likes = F.when(F.col("kind").isin("like", "save"), 1).when(F.col("kind") == "dislike", -1).otherwise(0)
    return word.select(
        "user_idx", "recording_idx", likes.alias("likes"), (F.col("kind") == "block").alias("blocked")
    )


def interactions(days: DataFrame, untimed: DataFrame, acts: DataFrame, weights: WeightsConfig) -> DataFrame:
    """One row a user × recording ever met, from days, from totals and ratings, and from explicit acts.

    Args:
        days: `plays_daily` up to as_of.
        untimed: plays of kind count or rating, with `user_idx, recording_idx`.
        acts: result of `explicit_acts`.
    """
    key = ["user_idx", "recording_idx"]
    factor, liked = landmark_factor(F.col("day"), weights), F.col("completions") - F.col("masked")
    # sums of floats depend on the order, and the order on the partitions: sum integers a day, then days in day order
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
