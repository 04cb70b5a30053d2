"""Measure how much of what a user heard later is in the user's pool, and which source proposed it.

Every metric is a column of a frame with one row for each user.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.evaluation.ground_truth import KINDS
from trackpools.core.evaluation.metrics import ideal_dcg

CUTS = (100, 200, 500)
ORACLE = 30  # tracks in a playlist; the oracle nDCG is the nDCG of the best possible playlist from the pool


def metric_names(horizons: Sequence[int]) -> list[str]:
    """Return the names of the metrics of `accuracy` for whole pools, in column order.

    Args:
        horizons: lengths in days of the periods after `as_of` that are evaluated.
    """
    told = [*(f"recall@{k}" for k in CUTS), "recall@all", f"oracle_ndcg@{ORACLE}"]
    return [f"{kind}_{days}d_{name}" for kind in KINDS for days in horizons for name in told]


def source_metric_names(horizons: Sequence[int], sources: Mapping[int, str]) -> list[str]:
    """Return the names of the metrics of `accuracy` for single sources, in column order.

    Args:
        horizons: lengths in days of periods after `as_of`; for single sources, only the longest is evaluated.
        sources: bit → name of each source.
    """
    return [
        f"new_{max(horizons)}d_recall_{how}:{name}" for how in ("by", "only_by") for name in sources.values()
    ]


def accuracy(
    pools: DataFrame, relevant: DataFrame, horizons: Sequence[int], sources: Mapping[int, str]
) -> DataFrame:
    """Measure how much of what each user heard later was in the pool.

    A hit is a relevant recording that is in the pool. The oracle nDCG is the nDCG of a playlist that begins
    with all hits; no playlist from the pool can reach more. For each source, `recall_by` counts only the hits
    that the source proposed, and `recall_only_by` only those that no other source proposed. Without the
    source, the latter would not be in the pool, and other candidates would have their places.

    Args:
        pools: `user_idx, candidates` as in `tables.POOLS`.
        relevant: result of `ground_truth.relevant_recordings`.
        horizons: lengths in days of the periods after `as_of` that are evaluated.
        sources: bit → name of each source.

    Returns:
        One row for each user of `relevant`: `user_idx int, has_pool boolean` and one double for each name of
        `metric_names` and `source_metric_names`. A metric is null if no recording of its kind and horizon is
        relevant to the user. For a user without a pool, all other metrics are 0.
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
    """Look up the place of every relevant recording in the user's pool.

    The lookup uses `array_position`, which Spark compiles. A lambda over the pool would be interpreted, and
    would take a microsecond for each element.

    Returns:
        One row for each user × relevant recording; a user without relevant recordings has one row. Besides
        `user_idx` and `has_pool`, the columns are these. `place` is the recording's place in the pool, from
        1; 0 if it is not in the pool. `by` is the bitmap of the sources that proposed it; null if it is not
        in the pool. For each kind and horizon there are two columns: for example, `new_7d` is whether the
        recording is relevant, and `new_7d_size` is the number of relevant recordings of the user.
    """
    lists = pools.select(
        "user_idx",
        F.col("candidates.recording").alias("_ranked"),
        F.col("candidates.sources").alias("_sources"),
    )
    # The hint avoids a sort: to sort all pools, of four kilobytes each, would cost more than everything
    # below.
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
    """Return metric name → aggregate, for one kind and horizon; the aggregates are null if `size` is 0."""
    some, place = F.when(size > 0, size), F.col("place")
    hits = F.count_if(is_relevant & (place > 0))
    best = ideal_dcg(ORACLE, F.least(hits, F.lit(ORACLE)).cast("int"))
    return {
        **{f"recall@{k}": F.count_if(is_relevant & place.between(1, k)) / some for k in CUTS},
        "recall@all": hits / some,
        f"oracle_ndcg@{ORACLE}": F.when(
            some.isNotNull(), F.coalesce(best, F.lit(0.0)) / ideal_dcg(ORACLE, F.least(size, F.lit(ORACLE)))
        ),
    }
