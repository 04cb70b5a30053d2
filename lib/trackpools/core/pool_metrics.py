"""What a pool is worth to its listener: how much of what they then heard is in it, and by whose proposal. Columns over one row a user."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.metrics import hits, ideal, metric
from trackpools.core.relevant import KINDS

CUTS = (100, 200, 500)
ORACLE = 30  # tracks of a playlist: nDCG of who picks the best of the pool


def names(horizons: Sequence[int]) -> list[str]:
    """The metrics of `accuracy`, in order."""
    told = [*(f"recall@{k}" for k in CUTS), "recall@all", f"oracle_ndcg@{ORACLE}"]
    return [f"{kind}_{days}d_{name}" for kind in KINDS for days in horizons for name in told]


def of_sources(horizons: Sequence[int], sources: Mapping[int, str]) -> list[str]:
    """The metrics of `accuracy` by source, in order."""
    return [f"new_{max(horizons)}d_recall_{how}:{name}" for how in ("by", "only_by") for name in sources.values()]


def accuracy(pools: DataFrame, relevant: DataFrame, horizons: Sequence[int], sources: Mapping[int, str]) -> DataFrame:
    """One row a user who heard anything later: `user_idx, has_pool` and a double for each of `names` and `of_sources`; null where nothing was relevant.

    The oracle's nDCG is that of the best order of the pool: what the fill can reach at most. A user without a pool has found nothing.
    `recall_by` a source counts hits that it proposed, `recall_only_by` those that no other did: what would be lost at first without it.

    Args:
        pools: `user_idx, candidates` as `tables.POOLS`.
        relevant: as `relevant.relevant`.
        sources: bit → name.
    """
    told = relevant.join(pools.select("user_idx", "candidates"), "user_idx", "left")
    ranked = F.transform("candidates", lambda c: c["recording"])
    wanted = [f"{kind}_{days}d" for kind in KINDS for days in horizons]
    ranks = told.withColumns({f"_{name}": hits(ranked, F.col(name)) for name in wanted})
    longest = f"new_{max(horizons)}d"
    found = ranks.withColumn("_by", F.transform(f"_{longest}", lambda rank: F.get("candidates", (rank - 1).cast("int"))["sources"]))
    values = [value.alias(f"{name}_{kind}") for name in wanted for kind, value in _of(F.col(f"_{name}"), F.size(name)).items()]
    return found.select("user_idx", F.col("candidates").isNotNull().alias("has_pool"), *values, *_by_source(longest, sources))


def _of(ranks: Column, relevant: Column) -> dict[str, Column]:
    some = F.when(relevant > 0, relevant)
    best = ideal(ORACLE, F.least(F.size(ranks), F.lit(ORACLE)))
    return {
        **{f"recall@{k}": metric(f"recall@{k}", ranks, relevant) for k in CUTS},
        "recall@all": F.size(ranks) / some,
        f"oracle_ndcg@{ORACLE}": F.when(some.isNotNull(), F.coalesce(best, F.lit(0.0)) / ideal(ORACLE, F.least(relevant, F.lit(ORACLE)))),
    }


def _by_source(longest: str, sources: Mapping[int, str]) -> list[Column]:
    relevant = F.size(longest)
    some = F.when(relevant > 0, relevant)

    def share(name: str, bit: int, *, alone: bool) -> Column:
        mine = F.filter("_by", lambda told: told == 1 << bit if alone else told.bitwiseAND(1 << bit) != 0)
        return (F.size(mine) / some).alias(f"{longest}_recall_{'only_by' if alone else 'by'}:{name}")

    return [share(name, bit, alone=alone) for alone in (False, True) for bit, name in sources.items()]
