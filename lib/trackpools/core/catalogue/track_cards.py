"""Build `track_cards`: for each recording and market group, the track to play and a description.

The description (title, artists, year and so on) is that of the recording's preferred track, which may be
another than the track to play. A market group is one market, or several that the configuration puts together.
The column `market` holds the group; `*` is the group of users whose market is unknown.
"""

from datetime import datetime
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.catalogue.features import has_rights, preferred_tracks, version_order
from trackpools.core.log.audience import EVERYWHERE
from trackpools.core.rules.eligibility import is_heard

DESCRIPTION = (
    "title",
    "artist_ids",
    "artist_names",
    "original_year",
    "duration_ms",
    "tempo",
    "energy",
    "explicit",
    "language",
    "version_kind",
    "tags",
)


def build_cards(
    tracks: DataFrame,
    recording_ids: DataFrame,
    audience: DataFrame,
    interactions: DataFrame,
    *,
    as_of: datetime,
    groups: dict[str, str],
) -> DataFrame:
    """Build `tables.TRACK_CARDS`, one row for each recording × market group.

    The market groups are those of `audience`, and `*`. If a recording is not in the catalogue (for example
    because only a log was imported), its `track_id` is the id of the recording in every market, and its
    description is null. Its `clean_track_id` is null, because it is not known to be free of explicit words.

    Args:
        tracks: the catalogue, as `tables.TRACKS`.
        recording_ids: `recording_id, recording_idx` of all recordings.
        audience: `user_idx, market`, where `market` is the market group.
        interactions: one row for each user × recording that counts as taste; listeners are counted from it.
        as_of: moment of the build; a right counts if it holds on the day of this moment.
        groups: market → market group; a right in any market of a group holds for the whole group.
    """
    everywhere = (
        audience.select("market").union(audience.groupBy().agg(F.lit(EVERYWHERE).alias("market"))).distinct()
    )
    playable = _playable(tracks, everywhere, as_of, groups)
    spoken = preferred_tracks(tracks).select("recording_id", *DESCRIPTION)
    known = tracks.select(
        F.coalesce("recording_id", "track_id").alias("recording_id"), F.lit(True).alias("_known")
    ).distinct()
    grid = recording_ids.crossJoin(F.broadcast(everywhere)).join(known, "recording_id", "left")
    rows = grid.join(playable, ["recording_id", "market"], "left").join(spoken, "recording_id", "left")
    unknown = F.col("_known").isNull()
    listeners = _listeners(interactions, audience)
    rows = rows.join(listeners, ["recording_idx", "market"], "left").withColumns(
        {
            "track_id": F.when(unknown, F.col("recording_id")).otherwise(F.col("track_id")),
            "available": unknown | F.coalesce("available", F.lit(False)),
            "listeners": F.coalesce("listeners", F.lit(0)),
        }
    )
    return _ranked(rows)


def changed_cards(
    cards: DataFrame, tracks: DataFrame, *, as_of: datetime, groups: dict[str, str]
) -> DataFrame:
    """Find the cards that are out of date, and return them updated.

    A card is out of date if the present catalogue and the rights on the day of `as_of` give another
    `track_id`, `clean_track_id` or `available`. Only these columns are updated; the rest of a card stays as
    it was. The cards of a recording that is not in the catalogue are not changed.

    Args:
        cards: older result of `build_cards`.
        tracks: the present catalogue, as `tables.TRACKS`.
        as_of: a right counts if it holds on the day of this moment.
        groups: market → market group.

    Returns:
        The changed rows of `cards`, updated, and a column `worse boolean`: whether the old `track_id` or
        `clean_track_id` was removed or replaced, or every track of the recording was taken down.
    """
    markets = cards.select("market").distinct()
    told = ("track_id", "clean_track_id", "available")
    known = tracks.select(F.coalesce("recording_id", "track_id").alias("recording_id")).distinct()
    now = _playable(tracks, markets, as_of, groups).select(
        "recording_id", "market", *(F.col(name).alias(f"_{name}") for name in told)
    )
    both = (
        cards.join(known, "recording_id", "left_semi")
        .join(now, ["recording_id", "market"], "left")
        .fillna({"_available": False})
    )
    other = [~F.col(name).eqNullSafe(F.col(f"_{name}")) for name in told]
    lost = [F.col(name).isNotNull() & ~F.col(name).eqNullSafe(F.col(f"_{name}")) for name in told[:2]]
    changed = both.where(reduce(or_, other)).withColumn(
        "worse", reduce(or_, lost) | (F.col("available") & ~F.col("_available"))
    )
    return changed.withColumns({name: F.col(f"_{name}") for name in told}).select(*cards.columns, "worse")


def _playable(tracks: DataFrame, everywhere: DataFrame, as_of: datetime, groups: dict[str, str]) -> DataFrame:
    """Choose the track to play for each recording and market.

    Of the tracks of the recording that may be played there, an original comes first, then the most popular
    track, then the one with the lowest `track_id`.

    Args:
        tracks: the catalogue, as `tables.TRACKS`.
        everywhere: `market`, all market groups.
        as_of: a right counts if it holds on the day of this moment.
        groups: market → market group.

    Returns:
        One row for each recording × market: `recording_id, market, track_id, clean_track_id, available`.
        `track_id` is null if no track may be played. `clean_track_id` is the choice among the tracks that are
        known to have no explicit words, and null if none of these may be played. `available` is false if
        every track of the recording was taken down.
    """
    grouped = tracks.withColumn("recording_id", F.coalesce("recording_id", "track_id"))
    if groups:
        market = F.create_map(*(F.lit(word) for pair in sorted(groups.items()) for word in pair))
        grouped = grouped.withColumn(
            "rights",
            F.transform(
                "rights", lambda r: r.withField("market", F.coalesce(market[r["market"]], r["market"]))
            ),
        )
    choice = F.struct(
        version_order().alias("version"),
        (-F.coalesce("popularity", F.lit(-1.0))).alias("popularity"),
        "track_id",
    )
    may = F.col("available") & has_rights("market", as_of.date())
    return (
        grouped.crossJoin(F.broadcast(everywhere))
        .groupBy("recording_id", "market")
        .agg(
            F.min(F.when(may, choice))["track_id"].alias("track_id"),
            F.min(F.when(may & F.coalesce(~F.col("explicit"), F.lit(False)), choice))["track_id"].alias(
                "clean_track_id"
            ),
            F.bool_or("available").alias("available"),
        )
    )


def _listeners(interactions: DataFrame, audience: DataFrame) -> DataFrame:
    """Count the users who heard each recording, for each market group.

    The rows of market `*` count all users, with and without a known market.

    Returns:
        `recording_idx, market, listeners`.
    """
    heard = (
        interactions.where(is_heard()).select("user_idx", "recording_idx").join(audience, "user_idx", "left")
    )
    count = F.count(F.lit(1)).cast("int").alias("listeners")
    world = heard.groupBy("recording_idx").agg(count).withColumn("market", F.lit(EVERYWHERE))
    return (
        heard.where(F.col("market") != EVERYWHERE)
        .groupBy("recording_idx", "market")
        .agg(count)
        .unionByName(world)
    )


def _ranked(rows: DataFrame) -> DataFrame:
    """Add `popularity` and `artist_rank`, both by the listeners in the market.

    `popularity` is the share of the other recordings that have fewer listeners. `artist_rank` is the rank
    (from 1) among the recordings of the same main artist; it is null if the artist is unknown.
    """
    histogram = rows.groupBy("market", "listeners").count()
    below = Window.partitionBy("market").orderBy("listeners").rowsBetween(Window.unboundedPreceding, -1)
    share = F.coalesce(F.sum("count").over(below), F.lit(0)) / F.greatest(
        F.sum("count").over(Window.partitionBy("market")) - 1, F.lit(1)
    )
    percentile = histogram.select("market", "listeners", share.cast("float").alias("popularity"))
    artist: Column = F.try_element_at("artist_ids", F.lit(1))
    # Recordings of unknown artist are partitioned by their own id, so that they do not fill one partition.
    within = Window.partitionBy(
        "market", F.coalesce(artist, F.concat(F.lit("recording:"), "recording_id"))
    ).orderBy(F.desc("listeners"), "recording_idx")
    rank = F.when(artist.isNotNull(), F.row_number().over(within))
    return rows.join(F.broadcast(percentile), ["market", "listeners"]).withColumn("artist_rank", rank)
