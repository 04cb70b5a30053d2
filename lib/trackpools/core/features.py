"""What listeners and recordings are like at as_of, and the cards that prompts and people read."""

from datetime import date, datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import WeightsConfig
from trackpools.core.rules import is_heard
from trackpools.core.weights import positive_weight

TOP_ARTISTS, TOP_TAGS, TOP_DECADES, TOP_LANGUAGES = 5, 5, 3, 2
WINDOWS = {"28d": 28, "180d": 180}
PLAYS_IN = (
    "p28d",
    "p180d",
    "plife",
)  # plays of a user × recording in the windows and ever, without the masked


def _total_plays() -> Column:
    return F.col("plays").cast("long") + F.col("counted") + F.when(F.col("rated").isNotNull(), 1).otherwise(0)


def recording_features(
    interactions: DataFrame, days: DataFrame, not_taste: DataFrame, weights: WeightsConfig, as_of: datetime
) -> DataFrame:
    """One row a recording; see `tables.RECORDING_FEATURES`. The weight is summed as a decimal, so order leaves no trace."""
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
    return not_taste.select("recording_idx", F.lit(True).alias("_odd"))


def user_features(
    interactions: DataFrame, days: DataFrame, facts: DataFrame, not_taste: DataFrame, as_of: datetime
) -> DataFrame:
    """One row a user; see `tables.USER_FEATURES`. Activity counts all that was heard, the profile only what is taste.

    Args:
        facts: `recording_idx, artist, tags, original_year, language`: what catalogues say of a recording.
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
    """User × recording heard: `first_day, plays, skips`, all plays ever (`total`) and in 28 days (`recent`), and those of taste by window (PLAYS_IN)."""
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
    """The nine inner deciles of plays a user, exact and so independent of partitions: one row `_at array<double>`."""
    return users.select("plays").agg(F.percentile("plays", [i / 10 for i in range(1, 10)]).alias("_at"))


def _tops(described: DataFrame) -> DataFrame:
    """`user_idx` and, for each kind and window, the names of most plays; ties by name. One pass over all kinds."""

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


def is_version() -> Column:
    """0 for an original, which an unknown kind is taken for, and 1 for a remaster, live or other version: what sorts versions of a recording."""
    return F.when(F.coalesce("version_kind", F.lit("original")) == "original", 0).otherwise(1)


def preferred(tracks: DataFrame) -> DataFrame:
    """The track that speaks for its recording: `recording_id` and the columns of the most original version."""
    order = Window.partitionBy("_recording").orderBy(
        is_version(), F.desc_nulls_last("popularity"), "track_id"
    )
    best = (
        tracks.withColumn("_recording", F.coalesce("recording_id", "track_id"))
        .withColumn("_n", F.row_number().over(order))
        .where("_n = 1")
    )
    return best.drop("_n", "recording_id").withColumnRenamed("_recording", "recording_id")


def facts(tracks: DataFrame, recording_ids: DataFrame) -> DataFrame:
    """`recording_idx, artist, tags, original_year, language` of the recordings in the catalogue."""
    named = F.coalesce(F.try_element_at("artist_names", F.lit(1)), F.try_element_at("artist_ids", F.lit(1)))
    return (
        preferred(tracks)
        .join(recording_ids, "recording_id")
        .select("recording_idx", named.alias("artist"), "tags", "original_year", "language")
    )


def rights_hold(market: str, day: date) -> Column:
    """May the track be played in the market column on the day? Nowhere restricted is everywhere; an unknown market gets only that."""
    day_ = F.lit(day)
    holds = F.exists(
        "rights",
        lambda r: (
            (r["market"] == F.col(market))
            & (r["from"].isNull() | (r["from"] <= day_))
            & (r["until"].isNull() | (r["until"] > day_))
        ),
    )
    # not the size of null: without ANSI mode, as sessions of others may run, that is -1
    return (
        F.col("rights").isNull()
        | F.coalesce(F.size("rights") == 0, F.lit(False))
        | F.coalesce(holds, F.lit(False))
    )


def rights_turning(tracks: DataFrame, one: date, other: date) -> DataFrame:
    """`track_id` of tracks with a right that begins or ends between two days, so that `rights_hold` may say otherwise on the later one."""
    first, last = F.lit(min(one, other)), F.lit(max(one, other))

    def between(day: Column) -> Column:
        return (day > first) & (day <= last)

    return tracks.where(F.exists("rights", lambda r: between(r["from"]) | between(r["until"]))).select(
        "track_id"
    )
