"""Measure for the report how many different recordings pools use.

One measure is how evenly the places in pools are spread over recordings. The other one is the share of
recordings that each source brings into pools, by activity of the users. The output does not grow with the
number of users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.evaluation.exposure import gini
from trackpools.core.serving.decode import source_names

POINTS = 200  # approximate number of points of a curve
NO_DECILE = "none"  # stands for the activity decile of users who have none, because they have no plays


@dataclass(frozen=True)
class Reach:
    """How many recordings pools use, and how evenly. A place is one candidate in one pool.

    Attributes:
        lorenz: The Lorenz curve (Lorenz 1905): points (share of recordings, share of places in pools) from
            (0, 0) to (1, 1). The recordings that are in the fewest pools come first.
        gini: Gini coefficient: 0 if all recordings are in equally many pools, near 1 if a few recordings take
            almost all places. Recordings that are in no pool are included.
        by_source: Activity decile → source → share of all recordings that this source brought into some pool
            of the decile.
    """

    lorenz: Sequence[tuple[float, float]] = ()
    gini: float = 0.0
    by_source: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def reach_of(
    found: Sequence[tuple[int, int]],
    long: DataFrame,
    user_features: DataFrame,
    dictionary: Mapping[int, str],
    catalogue: int,
) -> Reach:
    """Compute the reach of pools.

    Args:
        found: Pairs (number of pools, number of recordings in exactly that many pools), see
            `exposure.exposures`.
        long: `user_idx, recording, sources`: one row for each user and candidate.
        user_features: The table `user_features`.
        dictionary: Bit of `sources` → name of the source.
        catalogue: Number of recordings that could be in a pool; shares refer to it.
    """
    return Reach(
        lorenz_curve(found, catalogue),
        gini(found, catalogue),
        _by_source(long, user_features, dictionary, catalogue),
    )


def lorenz_curve(
    found: Sequence[tuple[int, int]], catalogue: int, points: int = POINTS
) -> list[tuple[float, float]]:
    """Compute the Lorenz curve of places in pools.

    Args:
        found: Pairs (number of pools, number of recordings in exactly that many pools).
        catalogue: Number of recordings that could be in a pool.
        points: Approximate limit of the number of points.

    Returns:
        Points as in `Reach.lorenz`; empty if no pool has a candidate.
    """
    rows = sorted(found)
    offered, places = sum(n for _, n in rows), sum(pools * n for pools, n in rows)
    if not places:
        return []
    below = max(catalogue - offered, 0)
    everything = below + offered
    curve, n, held = [(0.0, 0.0), (below / everything, 0.0)], below, 0
    for pools, recordings in rows:
        n, held = n + recordings, held + pools * recordings
        point = (n / everything, held / places)
        # A point is left out if it is too close to the last one to be visible; the end of the curve is exact.
        if n == everything or max(point[0] - curve[-1][0], point[1] - curve[-1][1]) >= 2 / points:
            curve.append(point)
    return curve


def _by_source(
    long: DataFrame, user_features: DataFrame, dictionary: Mapping[int, str], catalogue: int
) -> dict[str, dict[str, float]]:
    decile = user_features.select("user_idx", F.col("activity_decile").cast("string").alias("decile"))
    named = {f"source.{bit}": name for bit, name in dictionary.items()}
    # There are few different pairs of decile and sources, so duplicates are removed before a row is repeated
    # for each of its sources.
    some = (
        long.join(decile, "user_idx", "left")
        .select(F.coalesce("decile", F.lit(NO_DECILE)).alias("decile"), "sources", "recording")
        .distinct()
    )
    rows = some.select(
        "decile", F.explode(source_names(F.col("sources"), named)).alias("source"), "recording"
    ).distinct()
    found = {
        (row["decile"], row["source"]): row["count"]
        for row in rows.groupBy("decile", "source").count().collect()
    }
    told = {source for _, source in found}
    shown = [name for _, name in sorted(dictionary.items()) if name in told]
    deciles = sorted({one for one, _ in found}, key=lambda name: (not name.isdigit(), name.zfill(2)))
    return {one: {name: found.get((one, name), 0) / max(catalogue, 1) for name in shown} for one in deciles}
