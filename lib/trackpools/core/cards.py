"""`track_cards`: for every recording and market group, what to play and what to say of it."""

from datetime import datetime
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.audience import EVERYWHERE
from trackpools.core.features import is_version, preferred, rights_hold
from trackpools.core.rules import is_heard

WORDS = (
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


def cards(
    tracks: DataFrame,
    recording_ids: DataFrame,
    audience: DataFrame,
    interactions: DataFrame,
    *,
    as_of: datetime,
    groups: dict[str, str],
) -> DataFrame:
    """One row a recording × market group; see `tables.TRACK_CARDS`.

    A recording that no catalogue knows (a log alone was imported) is taken as its own track, without restrictions: nothing
    is known against it, and everything told of it stays null.

    Args:
        audience: `user_idx, market` (group).
        groups: market → group, so that rights by market hold for its group.
    """
    everywhere = (
        audience.select("market").union(audience.groupBy().agg(F.lit(EVERYWHERE).alias("market"))).distinct()
    )
    playable = _playable(tracks, everywhere, as_of, groups)
    spoken = preferred(tracks).select("recording_id", *WORDS)
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


def played_now(cards: DataFrame, tracks: DataFrame, *, as_of: datetime, groups: dict[str, str]) -> DataFrame:
    """Of older cards, those that play something else now, by today's catalogue and rights; all else told of a recording stays as it was.

    Returns:
        As `cards`, with `worse boolean`: something that could be played no longer can.
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
    """`recording_id, market, track_id, clean_track_id, available`: the most original version that may be played there."""
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
        is_version().alias("version"),
        (-F.coalesce("popularity", F.lit(-1.0))).alias("popularity"),
        "track_id",
    )
    may = F.col("available") & rights_hold("market", as_of.date())
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
    """Distinct listeners of a recording in each market group, and in all of them as `*`."""
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
    """Add `popularity`, the share of the market's recordings with fewer listeners, and `artist_rank`."""
    histogram = rows.groupBy("market", "listeners").count()
    below = Window.partitionBy("market").orderBy("listeners").rowsBetween(Window.unboundedPreceding, -1)
    share = F.coalesce(F.sum("count").over(below), F.lit(0)) / F.greatest(
        F.sum("count").over(Window.partitionBy("market")) - 1, F.lit(1)
    )
    percentile = histogram.select("market", "listeners", share.cast("float").alias("popularity"))
    artist: Column = F.try_element_at("artist_ids", F.lit(1))
    # recordings of unknown artist are spread by their own id, not piled into one partition
    within = Window.partitionBy(
        "market", F.coalesce(artist, F.concat(F.lit("recording:"), "recording_id"))
    ).orderBy(F.desc("listeners"), "recording_idx")
    rank = F.when(artist.isNotNull(), F.row_number().over(within))
    return rows.join(F.broadcast(percentile), ["market", "listeners"]).withColumn("artist_rank", rank)
