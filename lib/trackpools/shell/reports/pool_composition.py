"""Measure for the report what pools consist of: sources, kinds of music, artists and popularity.

The result does not grow with the number of users.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.log.audience import EVERYWHERE
from trackpools.core.rules.eligibility import is_heard

ENOUGH = 20  # so many fitting recordings in a pool are enough for the playlist of one prompt
# Values of n for the share of a pool that its n most frequent artists have.
FIRST = (1, 2, 3, 5, 10, 20, 50, 100)
BINS = 20  # number of bins for a percentile of popularity
Read = Callable[[str], DataFrame]


@dataclass(frozen=True)
class PoolComposition:
    """Aggregates over the candidates of pools.

    Attributes:
        alone: Source → share of all candidates that only this source proposes. Without the source, pools
            would lose these candidates.
        overlap: Source → other source → share of the first source's candidates that the other source proposes
            too.
        served: Decade → kind of music → share of pools with at least `ENOUGH` recordings of this decade and
            kind.
        artists: Rows (n, 10 %, 50 %, 90 % quantile). The quantiles are over users, of the share of a user's
            pool that its n most frequent artists have.
        popularity: Rows (popularity of what users hear, popularity of their pools, number of users). Each
            popularity is the middle of a bin of 1/20 that holds the user's mean popularity percentile.
    """

    alone: Mapping[str, float] = field(default_factory=dict)
    overlap: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    served: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    artists: Sequence[tuple[int, float, float, float]] = ()
    popularity: Sequence[tuple[float, float, int]] = ()


def measure_composition(long: DataFrame, read: Read, dictionary: Mapping[int, str]) -> PoolComposition:
    """Measure the composition of pools.

    Args:
        long: `user_idx, recording, sources`: one row for each user and candidate.
        read: Table name → frame, called for recording_facts, track_cards and interactions.
        dictionary: Bit of `sources` → name of the source.
    """
    bitmaps = {row["sources"]: int(row["count"]) for row in long.groupBy("sources").count().collect()}
    facts = read("recording_facts").select(
        F.col("recording_idx").alias("recording"), "decade", "group_name", "artist"
    )
    known = long.join(facts, "recording", "left")
    return PoolComposition(
        _alone(bitmaps, dictionary),
        _overlap(bitmaps, dictionary),
        _served(known),
        _artists(known),
        _popularity(long, read),
    )


def _alone(bitmaps: Mapping[int, int], dictionary: Mapping[int, str]) -> dict[str, float]:
    total = sum(bitmaps.values())
    shares = {
        name: bitmaps.get(1 << bit, 0) / total
        for bit, name in dictionary.items()
        if any(told >> bit & 1 for told in bitmaps)
    }
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _overlap(bitmaps: Mapping[int, int], dictionary: Mapping[int, str]) -> dict[str, dict[str, float]]:
    def proposed(*bits: int) -> int:
        return sum(n for told, n in bitmaps.items() if all(told >> bit & 1 for bit in bits))

    there = [bit for bit in sorted(dictionary) if proposed(bit)]
    return {
        dictionary[one]: {dictionary[other]: proposed(one, other) / proposed(one) for other in there}
        for one in there
    }


def _served(known: DataFrame) -> dict[str, dict[str, float]]:
    pools = known.select("user_idx").distinct().count()
    cells = (
        known.where("decade IS NOT NULL AND group_name IS NOT NULL")
        .groupBy("user_idx", "decade", "group_name")
        .count()
    )
    found = (
        cells.groupBy("decade", "group_name")
        .agg(F.sum("count").alias("held"), F.count_if(F.col("count") >= ENOUGH).alias("full"))
        .collect()
    )
    kinds: dict[str, int] = {}
    for row in found:
        kinds[row["group_name"]] = kinds.get(row["group_name"], 0) + row["held"]
    shown = sorted(kinds, key=lambda kind: (-kinds[kind], kind))[:12]
    share = {(row["decade"], row["group_name"]): row["full"] / pools for row in found}
    return {
        f"{decade}s": {kind: share.get((decade, kind), 0.0) for kind in shown}
        for decade in sorted({row["decade"] for row in found})
    }


def _artists(known: DataFrame) -> list[tuple[int, float, float, float]]:
    counted = known.groupBy("user_idx", F.coalesce("artist", -1 - F.col("recording")).alias("artist")).count()
    most, size = (
        Window.partitionBy("user_idx").orderBy(F.desc("count"), "artist"),
        Window.partitionBy("user_idx"),
    )
    placed = counted.select(
        "user_idx", "count", F.row_number().over(most).alias("place"), F.sum("count").over(size).alias("size")
    )
    of_user = placed.groupBy("user_idx").agg(
        *((F.sum(F.when(F.col("place") <= n, F.col("count"))) / F.first("size")).alias(str(n)) for n in FIRST)
    )
    row = of_user.agg(
        *(F.percentile_approx(str(n), [0.1, 0.5, 0.9], 1000).alias(str(n)) for n in FIRST)
    ).first()
    return [(n, *row[str(n)]) for n in FIRST] if row is not None and row["1"] is not None else []


def _popularity(long: DataFrame, read: Read) -> list[tuple[float, float, int]]:
    world = (
        read("track_cards")
        .where(F.col("market") == EVERYWHERE)
        .select(F.col("recording_idx").alias("recording"), "popularity")
    )
    pools = long.join(world, "recording").groupBy("user_idx").agg(F.avg("popularity").alias("pool"))
    met = read("interactions").where(is_heard()).select("user_idx", F.col("recording_idx").alias("recording"))
    own = met.join(world, "recording").groupBy("user_idx").agg(F.avg("popularity").alias("own"))
    bins = [
        F.least(F.floor(F.col(name) * BINS), F.lit(BINS - 1)).cast("int").alias(name)
        for name in ("own", "pool")
    ]
    found = own.join(pools, "user_idx").select(*bins).groupBy("own", "pool").count().collect()
    return sorted(((row["own"] + 0.5) / BINS, (row["pool"] + 0.5) / BINS, int(row["count"])) for row in found)
