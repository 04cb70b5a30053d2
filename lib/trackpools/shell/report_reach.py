"""How far pools reach into the catalogue, for the report: how evenly places in pools are shared out, and who gets what from where; bounded output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.decode import source_names
from trackpools.core.exposure import gini

POINTS = 200  # of a curve
NO_DECILE = "none"  # users without a play


@dataclass(frozen=True)
class Reach:
    """Aggregates over candidates and catalogue.

    Attributes:
        lorenz: points (share of recordings, share of places in pools), least exposed first, from (0, 0) to (1, 1) (Lorenz 1905).
        gini: 0 where all recordings are in as many pools, near 1 where a few are in all of them; those in none count too.
        by_source: activity decile → source → share of the catalogue's recordings that pools of the decile get from the source.
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
    """Of (pools, recordings) as `exposures` has them, and `long`: a row a user × candidate with `user_idx, recording, sources`."""
    return Reach(
        lorenz_curve(found, catalogue),
        gini(found, catalogue),
        _by_source(long, user_features, dictionary, catalogue),
    )


def lorenz_curve(
    found: Sequence[tuple[int, int]], catalogue: int, points: int = POINTS
) -> list[tuple[float, float]]:
    """Of (pools, recordings) and how many recordings there are; some `points` at most, none where no pool holds anything."""
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
        # not nearer to the last one than can be seen; the end is exact
        if n == everything or max(point[0] - curve[-1][0], point[1] - curve[-1][1]) >= 2 / points:
            curve.append(point)
    return curve


def _by_source(
    long: DataFrame, user_features: DataFrame, dictionary: Mapping[int, str], catalogue: int
) -> dict[str, dict[str, float]]:
    decile = user_features.select("user_idx", F.col("activity_decile").cast("string").alias("decile"))
    named = {f"source.{bit}": name for bit, name in dictionary.items()}
    # few pairs of decile and bitmap: distinct before a candidate becomes a row a source
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
