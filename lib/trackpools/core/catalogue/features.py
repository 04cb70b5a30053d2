"""Compute features of users and recordings at `as_of`, and facts of the catalogue such as rights."""

from datetime import date, datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import WeightsConfig
from trackpools.core.log.confidence import positive_weight
from trackpools.core.rules.eligibility import is_heard

TOP_ARTISTS, TOP_TAGS, TOP_DECADES, TOP_LANGUAGES = 5, 5, 3, 2
WINDOWS = {"28d": 28, "180d": 180}
# Columns with a user's plays of a recording in 28 days, in 180 days and over all time, without masked plays.
PLAYS_IN = (
    "p28d",
    "p180d",
    "plife",
)


def _total_plays() -> Column:
    """Return the plays of an interaction: timed plays, imported totals, and 1 if it has a rating."""
    return F.col("plays").cast("long") + F.col("counted") + F.when(F.col("rated").isNotNull(), 1).otherwise(0)


def recording_features(
    interactions: DataFrame, days: DataFrame, not_taste: DataFrame, weights: WeightsConfig, as_of: datetime
) -> DataFrame:
    """Compute `tables.RECORDING_FEATURES`, one row for each recording.

    The weight is summed as a decimal, so that the order of the rows does not change the result. A recording
    of non-taste audio gets the weight 0.

    Args:
        interactions: one row for each user × recording.
        days: one row for each user × recording × day, with `plays`.
        not_taste: `recording_idx` of non-taste audio.
        weights: settings of the weight of an interaction; see `confidence.positive_weight`.
        as_of: the moment to compute for; `plays_28d` counts the 28 days that end with its day.
    """
    since = F.lit((as_of - timedelta(days=28)).date())
    recent = days.where(F.col("day") > since).groupBy("recording_idx").agg(F.sum("plays").alias("plays_28d"))
    summed = interactions.groupBy("recording_idx").agg(
        F.count_if(is_heard()).cast("int").alias("listeners"),
        F.sum(_total_plays()).alias("plays"),
        F.sum(positive_weight(as_of, weights).cast("decimal(20,6)")).cast("double").alias("weight"),
        F.when(F.sum("plays") > 0, F.sum("skips") / F.sum("plays")).cast("float").alias("skip_rate"),
        F.min("first_day").alias("first_day"),
        F.max("last_day").alias("last_day"),
    )
    described = (
        summed.join(recent, "recording_idx", "left")
        .fillna({"plays_28d": 0})
        .join(_odd(not_taste), "recording_idx", "left")
    )
    return described.withColumn("weight", F.when(F.col("_odd"), 0.0).otherwise(F.col("weight"))).drop("_odd")


def _odd(not_taste: DataFrame) -> DataFrame:
    """Return the recordings of non-taste audio, to be joined from the left: `recording_idx, _odd` (true)."""
    return not_taste.select("recording_idx", F.lit(True).alias("_odd"))


def user_features(
    interactions: DataFrame, days: DataFrame, facts: DataFrame, not_taste: DataFrame, as_of: datetime
) -> DataFrame:
    """Compute `tables.USER_FEATURES`, one row for each user who heard anything.

    The column `profile` counts only plays that show taste. All other columns count everything that the user
    heard.

    Args:
        interactions: one row for each user × recording.
        days: one row for each user × recording × day, with `plays` and `masked`.
        facts: result of `catalogue_facts`: `recording_idx, artist, tags, original_year, language`.
        not_taste: `recording_idx` of non-taste audio.
        as_of: the moment to compute for; windows of days end with its day.
    """
    met = _met(interactions, days, not_taste, as_of.date())
    active = days.groupBy("user_idx").agg(F.count_distinct("day").cast("int").alias("active_days"))
    fresh = F.when(F.col("first_day") > F.lit(as_of.date() - timedelta(days=28)), F.col("p28d")).otherwise(0)
    base = met.groupBy("user_idx").agg(
        F.count(F.lit(1)).cast("int").alias("recordings"),
        F.sum("total").alias("plays"),
        F.sum("recent").alias("plays_28d"),
        F.when(F.sum("plays") > 0, F.sum("skips") / F.sum("plays")).cast("float").alias("skip_rate"),
        F.when(F.sum("p28d") > 0, F.sum(fresh) / F.sum("p28d")).cast("float").alias("novelty"),
    )
    profile = F.struct(
        *(
            F.coalesce(f"artists_{w}", F.array().cast("array<string>")).alias(f"artists_{w}")
            for w in ("28d", "180d", "life")
        ),
        *(
            F.coalesce(f"tags_{w}", F.array().cast("array<string>")).alias(f"tags_{w}")
            for w in ("28d", "180d", "life")
        ),
        F.transform(
            F.coalesce("decades_life", F.array().cast("array<string>")), lambda d: d.cast("int")
        ).alias("decades"),
        F.coalesce("languages_life", F.array().cast("array<string>")).alias("languages"),
        "novelty",
    )
    base = base.join(_tops(met.join(facts, "recording_idx", "left")), "user_idx", "left")
    return (
        base.join(active, "user_idx", "left")
        .fillna({"active_days": 0})
        .crossJoin(F.broadcast(_thresholds(base)))
        .withColumn(
            "activity_decile", (1 + F.size(F.filter("_at", lambda at: at < F.col("plays")))).cast("byte")
        )
        .withColumn("profile", profile)
    )


def _met(interactions: DataFrame, days: DataFrame, not_taste: DataFrame, today: date) -> DataFrame:
    """Count the plays of each user × recording that the user heard, one row for each pair.

    Returns:
        `user_idx, recording_idx, first_day, plays, skips`; `total`, all plays over all time; `recent`, all
        plays in the last 28 days; and `PLAYS_IN`, the plays in each window that count as taste. For non-taste
        audio, `PLAYS_IN` are 0.
    """
    key = ["user_idx", "recording_idx"]

    def since(window: str, plays: Column) -> Column:
        return F.sum(
            F.when(F.col("day") > F.lit(today - timedelta(days=WINDOWS[window])), plays).otherwise(0)
        )

    taste = F.col("plays") - F.col("masked")
    windows = (since(name, taste).alias(f"p{name}") for name in WINDOWS)
    counted = days.groupBy(*key).agg(
        *windows, since("28d", F.col("plays")).alias("recent"), F.sum("masked").alias("_masked")
    )
    heard = interactions.where(is_heard()).select(
        *key, "first_day", "plays", "skips", _total_plays().alias("total")
    )
    met = (
        heard.join(counted, key, "left")
        .fillna(0, ["p28d", "p180d", "recent", "_masked"])
        .join(_odd(not_taste), "recording_idx", "left")
    )
    met = met.withColumn("plife", F.col("total") - F.col("_masked"))
    return met.withColumns({name: F.when(F.col("_odd"), 0).otherwise(F.col(name)) for name in PLAYS_IN}).drop(
        "_odd", "_masked"
    )


def _thresholds(users: DataFrame) -> DataFrame:
    """Compute the nine numbers of plays that divide the users into ten groups of equal size.

    They are exact percentiles, so they do not depend on partitions.

    Returns:
        One row `_at array<double>`, ascending.
    """
    return users.select("plays").agg(F.percentile("plays", [i / 10 for i in range(1, 10)]).alias("_at"))


def _tops(described: DataFrame) -> DataFrame:
    """List each user's most played artists, tags, decades and languages, in one pass over all of them.

    Args:
        described: user × recording with `PLAYS_IN` and the columns of `catalogue_facts`.

    Returns:
        One row for each user: `user_idx` and arrays of strings. For each window there are two arrays, such as
        `artists_28d` and `tags_28d`; `decades_life` and `languages_life` are over all time. The name with the
        most plays comes first, and names with equally many plays are ordered by name.
    """

    def named(kind: str, value: Column) -> Column:
        return F.struct(F.lit(kind).alias("kind"), value.cast("string").alias("value"))

    decade = F.floor(F.col("original_year") / 10) * 10
    single = F.array(
        named("artists", F.col("artist")), named("decades", decade), named("languages", F.col("language"))
    )
    tags = F.transform(F.coalesce("tags", F.array().cast("array<string>")), lambda tag: named("tags", tag))
    pairs = described.select("user_idx", *PLAYS_IN, F.inline(F.concat(single, tags))).where(
        F.col("value").isNotNull()
    )
    counted = pairs.groupBy("user_idx", "kind", "value").agg(
        *(F.sum(plays).alias(plays) for plays in PLAYS_IN)
    )

    def top(kind: str, plays: str, n: int) -> Column:
        counts = (F.col("kind") == kind) & (F.col(plays) > 0)
        ranked = F.array_sort(
            F.collect_list(
                F.when(counts, F.struct((-F.col(plays)).alias("n"), F.col("value").alias("value")))
            )
        )
        return F.transform(F.slice(ranked, 1, n), lambda one: one["value"]).alias(
            f"{kind}_{plays.removeprefix('p')}"
        )

    recent = [
        top(kind, plays, n)
        for kind, n in (("artists", TOP_ARTISTS), ("tags", TOP_TAGS))
        for plays in PLAYS_IN
    ]
    return counted.groupBy("user_idx").agg(
        *recent, top("decades", "plife", TOP_DECADES), top("languages", "plife", TOP_LANGUAGES)
    )


def version_order() -> Column:
    """Return the sort key of a recording's tracks: 0 if `version_kind` is original or unknown, else 1."""
    return F.when(F.coalesce("version_kind", F.lit("original")) == "original", 0).otherwise(1)


def preferred_tracks(tracks: DataFrame) -> DataFrame:
    """Choose the track that represents each recording, one row for each recording.

    An original or a track of unknown kind comes first, then the most popular track, then the one with the
    lowest `track_id`.

    Args:
        tracks: the catalogue, as `tables.TRACKS`.

    Returns:
        The columns of `tracks` of the chosen track; `recording_id` is the track's own id where it was null.
    """
    order = Window.partitionBy("_recording").orderBy(
        version_order(), F.desc_nulls_last("popularity"), "track_id"
    )
    best = (
        tracks.withColumn("_recording", F.coalesce("recording_id", "track_id"))
        .withColumn("_n", F.row_number().over(order))
        .where("_n = 1")
    )
    return best.drop("_n", "recording_id").withColumnRenamed("_recording", "recording_id")


def catalogue_facts(tracks: DataFrame, recording_ids: DataFrame) -> DataFrame:
    """Select facts of each recording from its preferred track in the catalogue.

    Returns:
        One row for each recording of the catalogue that has a number: `recording_idx, artist, tags,
        original_year, language`. `artist` is the name of the first artist, or its id if it has no name.
    """
    named = F.coalesce(F.try_element_at("artist_names", F.lit(1)), F.try_element_at("artist_ids", F.lit(1)))
    return (
        preferred_tracks(tracks)
        .join(recording_ids, "recording_id")
        .select("recording_idx", named.alias("artist"), "tags", "original_year", "language")
    )


def has_rights(market: str, day: date) -> Column:
    """Return whether a track may be played in a market on a day.

    A track without any entry in `rights` may be played everywhere. If the market is null, only such tracks
    may be played.

    Args:
        market: name of the column with the market.
        day: the day of play; a right holds from its day `from` to the day before `until`.
    """
    day_ = F.lit(day)
    holds = F.exists(
        "rights",
        lambda r: (
            (r["market"] == F.col(market))
            & (r["from"].isNull() | (r["from"] <= day_))
            & (r["until"].isNull() | (r["until"] > day_))
        ),
    )
    # Null is tested apart from the size, because in a session without ANSI mode the size of null is -1, and
    # callers may use such a session.
    return (
        F.col("rights").isNull()
        | F.coalesce(F.size("rights") == 0, F.lit(False))
        | F.coalesce(holds, F.lit(False))
    )


def tracks_with_changed_rights(tracks: DataFrame, earlier: date, later: date) -> DataFrame:
    """Find tracks for which `has_rights` may differ between two days.

    Args:
        tracks: the catalogue, with `track_id` and `rights`.
        earlier, later: the two days, in any order.

    Returns:
        `track_id` of the tracks with a right whose `from` or `until` is after the earlier day and not after
        the later one.
    """
    first, last = F.lit(min(earlier, later)), F.lit(max(earlier, later))

    def between(day: Column) -> Column:
        return (day > first) & (day <= last)

    return tracks.where(F.exists("rights", lambda r: between(r["from"]) | between(r["until"]))).select(
        "track_id"
    )
