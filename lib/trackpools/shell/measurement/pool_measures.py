"""Measure pools by what users heard after the pools were built; write the results to `pool_metrics`.

Metrics are means over users, with confidence intervals, in total and in slices (groups of users). Traits of
the pools that need no later plays, such as diversity, are measured too.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.evaluation import exposure, pool_metrics
from trackpools.core.evaluation.beyond_accuracy import TRAITS, traits
from trackpools.core.evaluation.bootstrap import combine_sums, resample
from trackpools.core.evaluation.ground_truth import assign_idx, relevant_recordings
from trackpools.core.evaluation.slices import RUNGS, SEP, SLICES, slices
from trackpools.core.log import interactions
from trackpools.core.log.audience import EVERYWHERE, audience, is_sampled
from trackpools.core.rules import eligibility
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.store import Store
from trackpools.shell.tracking.tracker import Tracker

ALL = "all"
Read = Callable[[str], DataFrame]


@dataclass(frozen=True)
class Measure:
    """One row of `pool_metrics`.

    Attributes:
        metric: Name of the metric.
        slice: The slice of users, or `ALL`.
        value: The mean over users, or another value; None if no user has a value.
        low: Lower end of the confidence interval, or of the allowed range.
        high: Upper end of the confidence interval, or of the allowed range.
        users: Number of users with a value.
        p: If the metric is a difference, the p-value of the hypothesis that there is no difference, by a
            sign-flip test over users. It is not stored in the table.
    """

    metric: str
    slice: str
    value: float | None
    low: float | None = None
    high: float | None = None
    users: int | None = None
    p: float | None = None


@dataclass(frozen=True)
class EvaluationWindow:
    """The tables from which pools were built, and the periods in which the pools are measured.

    Attributes:
        read: Table name → frame, at the version from which the pools were built.
        as_of: Only plays before this moment were known when the pools were built.
        config: The merged configuration.
        horizons: Lengths of the periods in days; all periods begin at `as_of`. `(0,)` means that the test
            plays were held out at random from a log without times.
    """

    read: Read
    as_of: datetime
    config: Config
    horizons: tuple[int, ...]

    @property
    def heard(self) -> DataFrame:
        """The recordings that each user had heard before `as_of`: `user_idx, recording_idx`."""
        return self.read("interactions").where(eligibility.is_heard()).select("user_idx", "recording_idx")

    def later(self, plays: DataFrame) -> DataFrame:
        """Return what each user heard after `as_of`, see `ground_truth.relevant_recordings`.

        Args:
            plays: Plays of the log, with raw ids.
        """
        counts = plays.where(interactions.is_music() & interactions.is_public() & (F.col("plays") > 0))
        there = assign_idx(counts, self.read("tracks"), self.read("user_ids"), self.read("recording_ids"))
        return relevant_recordings(there, self.heard, self.as_of, self.horizons, self.config.daily.lean_back)

    def withheld(self, plays: DataFrame) -> DataFrame:
        """Return the columns of `later` for plays that were held out at random from a log without times.

        `new_0d` has the user's held-out recordings, without those that the user also heard in the rest of the
        log. `again_0d` is empty.

        Args:
            plays: The held-out plays, with raw ids.
        """
        there = (
            assign_idx(plays, self.read("tracks"), self.read("user_ids"), self.read("recording_ids"))
            .select("user_idx", "recording_idx")
            .distinct()
        )
        new = there.join(self.heard, ["user_idx", "recording_idx"], "left_anti").groupBy("user_idx")
        return new.agg(F.array_sort(F.collect_list("recording_idx")).alias("new_0d")).withColumn(
            "again_0d", F.array().cast("array<int>")
        )

    def slices(self) -> DataFrame:
        """Return to which slices each user belongs, see `core.evaluation.slices.slices`."""
        config = self.config
        everybody = audience(
            self.read("user_ids"), self.read("users"), config.cards.market_groups, config.taste.minor_bands
        )
        popularity = (
            self.read("track_cards")
            .where(F.col("market") == EVERYWHERE)
            .select("recording_idx", "popularity")
        )
        return slices(
            everybody, self.read("user_features"), self.read("user_factors"), self.heard, popularity
        )

    def sampled(self, pools: DataFrame) -> DataFrame:
        """Return the pools of a sample of about `holdout.max_users` users.

        The sample depends only on `user_idx` and the number of pools, so two frames with equally many pools
        of the same users give the same sample.
        """
        return pools.where(is_sampled(pools.count(), self.config.holdout.max_users))


def values(
    past: EvaluationWindow,
    pools: DataFrame,
    later: DataFrame,
    sources: Mapping[int, str],
    horizons: Sequence[int],
) -> DataFrame:
    """Return the metrics and the slices of each user who heard anything.

    Args:
        past: What was known when the pools were built.
        pools: The pools, as in `tables.POOLS`.
        later: Result of `EvaluationWindow.later`.
        sources: Bit of `sources` → name of the source.
        horizons: Lengths of the periods in days.

    Returns:
        One row for each user of `later`: the columns of `pool_metrics.accuracy`, and the slices. For a user
        who was unknown when the pools were built, `rung` is `nothing` and the other slices are null.
    """
    return (
        pool_metrics.accuracy(pools, later, horizons, sources)
        .join(past.slices(), "user_idx", "left")
        .fillna(RUNGS[-1], ["rung"])
    )


def parts_of(rows: DataFrame) -> list[tuple[str, str]]:
    """Return every pair (kind of slice, value) that occurs in `rows`, ordered by kind as in `SLICES`."""
    pairs = F.explode(
        F.array(*(F.struct(F.lit(name).alias("name"), F.col(name).alias("value")) for name in SLICES))
    ).alias("s")
    found = rows.select(pairs).select("s.name", "s.value").where("value IS NOT NULL").distinct().collect()
    return sorted(
        ((row["name"], row["value"]) for row in found),
        key=lambda one: (SLICES.index(one[0]), one[1].zfill(3)),
    )


def means(
    rows: DataFrame,
    metrics: Sequence[str],
    by_slice: Sequence[str] = (),
    parts: Sequence[tuple[str, str]] = (),
    *,
    level: float = 0.95,
    paired: bool = False,
) -> list[Measure]:
    """Compute the mean over users and its bootstrap interval for each metric, in one pass over the rows.

    Args:
        rows: One row for each user: `user_idx`, the metrics, and the slices. Users for whom a metric is null
            are left out of its mean.
        metrics: Columns that are averaged over all users.
        by_slice: Columns that are also averaged in each slice.
        parts: The slices as pairs (kind, value), see `parts_of`.
        level: Confidence level of the intervals.
        paired: Whether the metrics are differences; if so, `Measure.p` is set.
    """
    columns = {(name, ALL): F.col(f"`{name}`") for name in metrics}
    columns |= {
        (name, f"{of}{SEP}{value}"): F.when(F.col(of) == F.lit(value), F.col(f"`{name}`"))
        for name in by_slice
        for of, value in parts
    }
    numbers = [f"c{i}" for i in range(len(columns))]
    told = rows.select(
        "user_idx", *(column.alias(number) for column, number in zip(columns.values(), numbers, strict=True))
    )
    found = combine_sums(resample(told, numbers).toArrow(), len(numbers))
    low, high = found.interval(level)
    return [
        Measure(metric, part, float(mean), float(a), float(b), int(users), float(p) if paired else None)
        if users
        else Measure(metric, part, None, users=0)
        for (metric, part), mean, a, b, users, p in zip(
            columns, found.mean, low, high, found.users, found.p_value(), strict=True
        )
    ]


def measure_pools(
    past: EvaluationWindow,
    pools: DataFrame,
    later: DataFrame,
    sources: Mapping[int, str],
    progress: Callable[[str], None] = lambda _: None,
) -> list[Measure]:
    """Compute all measures of pools: accuracy by what was heard later, and traits of the lists.

    Args:
        past: What was known when the pools were built.
        pools: The pools, as in `tables.POOLS`.
        later: Result of `EvaluationWindow.later` or `EvaluationWindow.withheld`.
        sources: Bit of `sources` → name of the source.
        progress: Called with one line before each step.
    """
    horizons = past.horizons
    progress("measure: find what was heard later in the pools")
    with persisted(values(past, pools, later, sources, horizons)) as rows:
        names = pool_metrics.metric_names(horizons)
        told = means(
            rows,
            [*names, *pool_metrics.source_metric_names(horizons, sources)],
            _headline(horizons),
            parts_of(rows),
        )
        counted = rows.agg(
            F.count(F.lit(1)).alias("n"), F.count_if(~F.col("has_pool")).alias("without")
        ).first()
    assert counted is not None  # noqa: S101 - an aggregate has one row
    told += [
        Measure("users_with_plays", ALL, counted["n"]),
        Measure("users_without_pool", ALL, counted["without"]),
    ]
    progress("measure: compute the traits of the lists")
    return told + measure_lists(past, past.sampled(pools))


def _headline(horizons: Sequence[int]) -> list[str]:
    """Return the names of the metrics that are also measured in each slice."""
    days, deepest = max(horizons), max(pool_metrics.CUTS)
    return [
        f"new_{days}d_recall@{deepest}",
        f"again_{days}d_recall@{deepest}",
        f"new_{days}d_oracle_ndcg@{pool_metrics.ORACLE}",
    ]


def measure_lists(past: EvaluationWindow, pools: DataFrame) -> list[Measure]:
    """Measure the traits of pools, and `coverage` and `gini`.

    `coverage` is the share of the recordings with interactions that are in at least one pool. `gini` measures
    how unevenly the places in pools are spread over these recordings, see `core.evaluation.exposure`.
    """
    found = measure_traits(past, pools)
    catalogue = past.read("recording_features").count()
    offered = [(row["pools"], row["recordings"]) for row in exposure.exposures(pools).collect()]
    return [
        *found,
        Measure("coverage", ALL, exposure.coverage(offered, catalogue)),
        Measure("gini", ALL, exposure.gini(offered, catalogue)),
    ]


def measure_traits(past: EvaluationWindow, pools: DataFrame) -> list[Measure]:
    """Compute the means over users of `beyond_accuracy.TRAITS`."""
    users = past.read("user_features").count()
    return means(traits(pools, past.heard, past.read("recording_facts"), max(users, 1), past.as_of), TRAITS)


def save_measures(
    store: Store, tracker: Tracker, found: Sequence[Measure], run_key: str, as_of: datetime
) -> None:
    """Write measures to the table `pool_metrics` and to MLflow.

    MLflow's name of a measure consists of metric and slice, without the characters `@`, `:` and `=`, which
    MLflow does not allow. An example is `gain/new_28d_recall_at_500/market-SE`.

    Args:
        store: The store that holds `pool_metrics`.
        tracker: The tracker of the run.
        found: The measures.
        run_key: Identity of the work that is measured.
        as_of: The `as_of` of the measured pools.
    """
    n = len(found)
    columns: dict[str, Any] = {
        "run_key": pa.array([run_key] * n),
        "metric": pa.array([one.metric for one in found]),
        "slice": pa.array([one.slice for one in found]),
        **{
            name: pa.array([getattr(one, name) for one in found], pa.float64())
            for name in ("value", "low", "high")
        },
        "users": pa.array([one.users for one in found], pa.int64()),
        "as_of": pa.array([as_of] * n, pa.timestamp("us", "UTC")),
    }
    store.upsert(
        t.POOL_METRICS,
        store.spark.createDataFrame(pa.table(columns)),
        {"stage": "measure", "run_key": run_key},
    )
    names = {
        f"{one.metric.replace('@', '_at_').replace(':', '/')}/{re.sub('[^A-Za-z0-9_.-]', '-', one.slice)}": one.value
        for one in found
    }
    tracker.metrics({name: value for name, value in names.items() if value is not None})
