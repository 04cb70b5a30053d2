"""Takedowns: what operators have switched off, so that it is withheld when pools are served.

A takedown is a switch that is off. It applies to every reader and every release, without a new run. Stored
pools are not rewritten.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.serving.decode import dictionary_entries
from trackpools.errors import ConfigError, StoppedError

KINDS = {
    "all": "everything",
    "market": "a market group, as in track_cards",
    "model": "a model_version, as in releases",
    "source": "a candidate source",
    "label": "a label of tracks",
    "artist": "an artist id or name of tracks",
    "track": "a track id",
}
ALL = "*"  # the value of `all`
RULE = "switched_off"  # the rule under which `drops` and `shortfall` count what takedowns removed


def require_known(kind: str, value: str) -> None:
    """Refuse a switch that could never take effect.

    Raises:
        ConfigError: if the kind is unknown, the value is empty, or kind `all` has a value other than `ALL`.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"there is no switch of kind {kind!r:.40}; the kinds are {', '.join(f'{name} ({what})' for name, what in KINDS.items())}"
        )
    if not value.strip() or (kind == "all" and value != ALL):
        raise ConfigError(
            f"a switch of kind {kind} {'takes no value' if kind == 'all' else 'needs a value'}; got {value!r:.40}"
        )


@dataclass(frozen=True)
class Takedowns:
    """Everything that is switched off.

    Attributes:
        pairs: (kind, value) of each switch that is off; kinds are the keys of `KINDS`.
    """

    pairs: frozenset[tuple[str, str]] = frozenset()

    def __getitem__(self, kind: str) -> list[str]:
        """Return the values of a kind that are switched off, sorted."""
        return sorted(value for of, value in self.pairs if of == kind)

    @property
    def digest(self) -> str:
        """SHA-256 of the set of pairs, as 64 hexadecimal digits."""
        return sha256(json.dumps(sorted(self.pairs)).encode()).hexdigest()

    @property
    def has_tracks(self) -> bool:
        """Whether any track, artist or label is switched off."""
        return any(kind in {"track", "artist", "label"} for kind, _ in self.pairs)

    def raise_if_stopped(self, model_version: str, market: str | None = None) -> None:
        """Refuse to serve if everything, the model or the market is switched off.

        If `market` is None, no switch of a market is checked.

        Raises:
            StoppedError: if such a switch is off; the error names each of them.
        """
        bound = [
            f"{kind} {value}"
            for kind, value in (("all", ALL), ("model", model_version), ("market", market))
            if (kind, value) in self.pairs
        ]
        if bound:
            raise StoppedError(
                "serving is switched off; `trackpools switch list` shows since when and why, and `trackpools switch on …` switches it on again",
                bound,
            )

    def source_bitmap(self, dictionary: Mapping[str, str]) -> int:
        """Return the bitmap of the sources that are switched off; a release's dictionary names the bits."""
        return sum(
            1 << bit for bit, name in dictionary_entries(dictionary, "source") if name in self["source"]
        )


def withheld_recordings(cards: DataFrame, tracks: DataFrame, takedowns: Takedowns) -> DataFrame:
    """Return the recordings that takedowns withhold in each market group.

    A recording is withheld in a group if its card there has a track (`track_id` or `clean_track_id`) that is
    switched off, or whose artist or label is switched off.

    Args:
        cards: rows of `tables.TRACK_CARDS` of the release.
        tracks: the latest rows of `tables.TRACKS`, because a label may have been added after the release.
        takedowns: what is switched off.

    Returns:
        One row for each market group with such recordings: `market, gone array<int>` (`recording_idx`).
    """
    if "label" not in tracks.columns:  # older versions of trackpools wrote the table without this column
        tracks = tracks.withColumn("label", F.lit(None).cast("string"))
    artists, theirs = (
        F.array(*(F.lit(one) for one in takedowns["artist"])).cast("array<string>"),
        F.coalesce("artist_ids", F.array().cast("array<string>")),
    )
    # Artists are matched by name too, because operators never see an artist id that was derived from a name.
    named = F.coalesce("artist_names", F.array().cast("array<string>"))
    bound = tracks.where(
        F.arrays_overlap(theirs, artists)
        | F.arrays_overlap(named, artists)
        | F.coalesce(F.col("label").isin(*takedowns["label"]), F.lit(False))
    )
    played = cards.select(
        "market", "recording_idx", F.explode(F.array("track_id", "clean_track_id")).alias("track_id")
    )
    known = played.join(F.broadcast(bound.select("track_id", F.lit(True).alias("_off"))), "track_id", "left")
    return (
        known.where(F.col("_off") | F.col("track_id").isin(*takedowns["track"]))
        .groupBy("market")
        .agg(F.collect_set("recording_idx").alias("gone"))
    )


def apply_takedowns(
    pools: DataFrame,
    listeners: DataFrame,
    withheld: DataFrame,
    takedowns: Takedowns,
    dictionary: Mapping[str, str],
) -> DataFrame:
    """Remove from pools what is switched off, and fill the gaps from the reserves of the pools.

    A candidate is removed if its recording is withheld in the user's market, or if all sources that proposed
    it are switched off. If the reserve is too small for the gaps, the pool gets a shortfall under `RULE`.
    Users of a market that is switched off get no pool.

    Args:
        pools: rows of `tables.POOLS`.
        listeners: `user_idx, market` of the users.
        withheld: the result of `withheld_recordings`.
        takedowns: what is switched off.
        dictionary: the dictionary of the release, which names the bits of sources.

    Returns:
        Rows with the columns of `pools`.
    """
    there = listeners.where(~F.col("market").isin(*takedowns["market"])).select("user_idx", "market")
    rows = pools.join(there, "user_idx").join(F.broadcast(withheld), "market", "left")
    out, bits = F.coalesce("gone", F.array().cast("array<int>")), takedowns.source_bitmap(dictionary)

    def stays(one: Column) -> Column:
        return ~F.array_contains(out, one["recording"]) & (one["sources"].bitwiseAND(F.lit(~bits)) != 0)

    left, spare = (
        F.filter("candidates", stays),
        F.filter(F.coalesce("reserve", F.slice("candidates", 1, 0)), stays),
    )
    before, lost = F.size("candidates"), F.size("candidates") - F.size(left)
    filled = F.least(lost, F.size(spare))
    told = rows.withColumns({"_lost": lost, "_filled": filled, "_k": before - lost + filled})
    short = F.struct(
        F.coalesce("shortfall.wanted", before).alias("wanted"),
        F.col("_k").alias("got"),
        F.lit(RULE).alias("rule"),
    )
    return told.withColumns(
        {
            "candidates": F.slice(F.concat(left, spare), 1, before),
            "reserve": F.slice(spare, filled + 1, F.size(spare) + 1),
            "drops": _drops(),
            "shortfall": F.when(F.col("_filled") < F.col("_lost"), short).otherwise(F.col("shortfall")),
        }
    ).select(*pools.columns)


def _drops() -> Column:
    """Return the column `drops` after takedowns.

    The sum of its counts and the size of the pool is still the column `emitted`. Removed candidates are
    counted under `RULE`. The candidates that moved up from the reserve are no longer counted under
    `below_cut`.
    """
    others = F.filter(F.map_entries("drops"), lambda one: one["key"] != "below_cut")

    def told(rule: str, count: Column) -> Column:
        entry = F.array(F.struct(F.lit(rule).alias("key"), count.cast("int").alias("value")))
        return F.when(count > 0, entry).otherwise(F.slice(entry, 1, 0))

    below = F.coalesce(F.try_element_at("drops", F.lit("below_cut")), F.lit(0)) - F.col("_filled")
    return F.map_from_entries(F.concat(others, told("below_cut", below), told(RULE, F.col("_lost"))))
