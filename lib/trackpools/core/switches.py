"""What is withheld while pools are served: rows that hold at once for every reader, whatever the release; no pool is rewritten for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.decode import named
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
RULE = "switched_off"  # in drops and shortfalls, as the rules of a pool


def require_known(kind: str, value: str) -> None:
    """Refuse a switch that could never hold.

    Raises:
        ConfigError: for a kind that nobody knows, or a value that is empty, or any of `all`.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"no switch is of kind {kind!r:.40}; there are: {', '.join(f'{name} ({what})' for name, what in KINDS.items())}"
        )
    if not value.strip() or (kind == "all" and value != ALL):
        raise ConfigError(
            f"a switch of kind {kind} needs {'no value' if kind == 'all' else 'the value that it is about'}; got {value!r:.40}"
        )


@dataclass(frozen=True)
class Off:
    """What is switched off: pairs of kind and value."""

    pairs: frozenset[tuple[str, str]] = frozenset()

    def __getitem__(self, kind: str) -> list[str]:
        """The values of a kind, in order."""
        return sorted(value for of, value in self.pairs if of == kind)

    @property
    def of_tracks(self) -> bool:
        """Whether some tracks are off, by themselves, their artist or their label."""
        return any(kind in {"track", "artist", "label"} for kind, _ in self.pairs)

    def require_on(self, model_version: str, market: str | None = None) -> None:
        """Refuse to serve what is off as a whole.

        Raises:
            StoppedError: naming the switch.
        """
        bound = [
            f"{kind} {value}"
            for kind, value in (("all", ALL), ("model", model_version), ("market", market))
            if (kind, value) in self.pairs
        ]
        if bound:
            raise StoppedError(
                "serving is switched off; `trackpools switch list` says since when and why, `trackpools switch on …` lifts it",
                bound,
            )

    def sources(self, dictionary: Mapping[str, str]) -> int:
        """Bitmap of the sources that are off, in a release's bits."""
        return sum(1 << bit for bit, name in named(dictionary, "source") if name in self["source"])


def withheld(cards: DataFrame, tracks: DataFrame, off: Off) -> DataFrame:
    """`market, gone array<int>`: recordings of a market group one of whose tracks to play is off, by itself, its artist or its label.

    Args:
        cards: as `tables.TRACK_CARDS`, of the release.
        tracks: as `tables.TRACKS`, the latest: a label may have been told after the release.
    """
    if "label" not in tracks.columns:  # of an older trackpools
        tracks = tracks.withColumn("label", F.lit(None).cast("string"))
    artists, theirs = (
        F.array(*(F.lit(one) for one in off["artist"])).cast("array<string>"),
        F.coalesce("artist_ids", F.array().cast("array<string>")),
    )
    named = F.coalesce(
        "artist_names", F.array().cast("array<string>")
    )  # an id made of a name is told nowhere
    bound = tracks.where(
        F.arrays_overlap(theirs, artists)
        | F.arrays_overlap(named, artists)
        | F.coalesce(F.col("label").isin(*off["label"]), F.lit(False))
    )
    played = cards.select(
        "market", "recording_idx", F.explode(F.array("track_id", "clean_track_id")).alias("track_id")
    )
    known = played.join(F.broadcast(bound.select("track_id", F.lit(True).alias("_off"))), "track_id", "left")
    return (
        known.where(F.col("_off") | F.col("track_id").isin(*off["track"]))
        .groupBy("market")
        .agg(F.collect_set("recording_idx").alias("gone"))
    )


def served(
    pools: DataFrame, listeners: DataFrame, gone: DataFrame, off: Off, dictionary: Mapping[str, str]
) -> DataFrame:
    """The pools without what is off, filled from their reserves as far as these reach, and short by `RULE` beyond; users of a market that is off have none.

    Args:
        pools: as `tables.POOLS`.
        listeners: `user_idx, market`.
        gone: of `withheld`.
    """
    there = listeners.where(~F.col("market").isin(*off["market"])).select("user_idx", "market")
    rows = pools.join(there, "user_idx").join(F.broadcast(gone), "market", "left")
    out, bits = F.coalesce("gone", F.array().cast("array<int>")), off.sources(dictionary)

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
    """What was taken out is counted, and what came up from the reserve no longer is below the cut: all that was emitted still adds up."""
    others = F.filter(F.map_entries("drops"), lambda one: one["key"] != "below_cut")

    def told(rule: str, count: Column) -> Column:
        entry = F.array(F.struct(F.lit(rule).alias("key"), count.cast("int").alias("value")))
        return F.when(count > 0, entry).otherwise(F.slice(entry, 1, 0))

    below = F.coalesce(F.try_element_at("drops", F.lit("below_cut")), F.lit(0)) - F.col("_filled")
    return F.map_from_entries(F.concat(others, told("below_cut", below), told(RULE, F.col("_lost"))))
