"""What a pool is worth to its listener: how much of what they then heard is in it, and by whose proposal. Columns over one row a user."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.metrics import ideal
from trackpools.core.relevant import KINDS

CUTS = (100, 200, 500)
ORACLE = 30  # tracks of a playlist: nDCG of who picks the best of the pool


def names(horizons: Sequence[int]) -> list[str]:
    """The metrics of `accuracy`, in order."""
    told = [*(f"recall@{k}" for k in CUTS), "recall@all", f"oracle_ndcg@{ORACLE}"]
    return [f"{kind}_{days}d_{name}" for kind in KINDS for days in horizons for name in told]


def of_sources(horizons: Sequence[int], sources: Mapping[int, str]) -> list[str]:
    """The metrics of `accuracy` by source, in order."""
    return [
        f"new_{max(horizons)}d_recall_{how}:{name}" for how in ("by", "only_by") for name in sources.values()
    ]


def accuracy(
    pools: DataFrame, relevant: DataFrame, horizons: Sequence[int], sources: Mapping[int, str]
) -> DataFrame:
    """One row a user who heard anything later: `user_idx, has_pool` and a double for each of `names` and `of_sources`; null where nothing was relevant.

    The oracle's nDCG is that of the best order of the pool: what the fill can reach at most. A user without a pool has found nothing.
    `recall_by` a source counts hits that it proposed, `recall_only_by` those that no other did: what would be lost at first without it.

    Args:
        pools: `user_idx, candidates` as `tables.POOLS`.
        relevant: as `relevant.relevant`.
        sources: bit → name.
    """
    placed = _placed(pools, relevant, horizons)
    size = {name: F.max(f"{name}_size") for name in _wanted(horizons)}
    longest = f"new_{max(horizons)}d"

    def share(name: str, hit: Column) -> Column:
        return F.count_if(hit) / F.when(size[name] > 0, size[name])

    values = [
        value.alias(f"{name}_{kind}") for name in size for kind, value in _of(F.col(name), size[name]).items()
    ]
    by = [
        share(longest, F.col(longest) & told).alias(f"{longest}_recall_{how}:{name}")
        for how in ("by", "only_by")
        for bit, name in sources.items()
        for told in (F.col("by") == 1 << bit if how == "only_by" else F.col("by").bitwiseAND(1 << bit) != 0,)
    ]
    return placed.groupBy("user_idx").agg(F.max("has_pool").alias("has_pool"), *values, *by)


def _wanted(horizons: Sequence[int]) -> list[str]:
    return [f"{kind}_{days}d" for kind in KINDS for days in horizons]


def _placed(pools: DataFrame, relevant: DataFrame, horizons: Sequence[int]) -> DataFrame:
    """A row a user and relevant recording (of nulls where there is none): its `place` in the pool from 1, 0 where it is not there, `by` whom, of which kinds.

    No lambda over the pool: Spark interprets those, at a microsecond an element, and compiles a search.
    """
    lists = pools.select(
        "user_idx",
        F.col("candidates.recording").alias("_ranked"),
        F.col("candidates.sources").alias("_sources"),
    )
    # by hash: sorting the pools of everybody, four kilobytes each, would cost more than all that follows
    told = relevant.hint("shuffle_hash").join(lists, "user_idx", "left")
    wanted, longest = _wanted(horizons), max(horizons)
    new, again = (f"{kind}_{longest}d" for kind in KINDS)
    rows = told.select(
        "user_idx",
        "_ranked",
        "_sources",
        *wanted,
        F.posexplode_outer(F.concat(new, again)).alias("_at", "_item"),
    )
    is_new, place = (
        F.col("_at") < F.size(new),
        F.coalesce(F.array_position("_ranked", F.col("_item")), F.lit(0)),
    )
    found = rows.select(
        "user_idx",
        "_sources",
        F.col("_ranked").isNotNull().alias("has_pool"),
        place.alias("place"),
        *(F.size(name).alias(f"{name}_size") for name in wanted),
        *(
            (
                F.col("_item").isNotNull()
                & (is_new == F.lit(name.startswith("new")))
                & F.array_contains(name, F.col("_item"))
            ).alias(name)
            for name in wanted
        ),
    )
    by = F.when(F.col("place") > 0, F.get("_sources", (F.col("place") - 1).cast("int")))
    return found.select(
        "user_idx", "has_pool", "place", by.alias("by"), *(f"{name}_size" for name in wanted), *wanted
    )


def _of(is_relevant: Column, size: Column) -> dict[str, Column]:
    some, place = F.when(size > 0, size), F.col("place")
    hits = F.count_if(is_relevant & (place > 0))
    best = ideal(ORACLE, F.least(hits, F.lit(ORACLE)).cast("int"))
    return {
        **{f"recall@{k}": F.count_if(is_relevant & place.between(1, k)) / some for k in CUTS},
        "recall@all": hits / some,
        f"oracle_ndcg@{ORACLE}": F.when(
            some.isNotNull(), F.coalesce(best, F.lit(0.0)) / ideal(ORACLE, F.least(size, F.lit(ORACLE)))
        ),
    }
