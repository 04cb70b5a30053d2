"""Pools measured by what was heard after them: means over users with intervals, by slice, and what the lists are like; kept in `pool_metrics`."""

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
from trackpools.core import exposure, interactions, pool_metrics, rules
from trackpools.core.audience import EVERYWHERE, audience, by_lot
from trackpools.core.list_traits import TRAITS, traits
from trackpools.core.relevant import numbered, relevant
from trackpools.core.resampling import resampled, total
from trackpools.core.slices import RUNGS, SEP, SLICES, slices
from trackpools.shell.kept import kept
from trackpools.shell.store import Store
from trackpools.shell.tracking import Tracker

ALL = "all"
Read = Callable[[str], DataFrame]


@dataclass(frozen=True)
class Measure:
    """One row of `pool_metrics`; `p` is that of no difference, where the metric is one (sign flips over users)."""

    metric: str
    slice: str
    value: float | None
    low: float | None = None
    high: float | None = None
    users: int | None = None
    p: float | None = None


@dataclass(frozen=True)
class Past:
    """The tables that pools were made of, and when.

    Attributes:
        read: a table by name, as it was.
        horizons: days after as_of in which is asked what was heard; 0 alone: held out by lot.
    """

    read: Read
    as_of: datetime
    config: Config
    horizons: tuple[int, ...]

    @property
    def heard(self) -> DataFrame:
        """`user_idx, recording_idx`."""
        return self.read("interactions").where(rules.is_heard()).select("user_idx", "recording_idx")

    def later(self, plays: DataFrame) -> DataFrame:
        """What was heard after as_of, as `relevant.relevant`; plays are the log's, with raw ids."""
        counts = plays.where(interactions.is_music() & interactions.is_public() & (F.col("plays") > 0))
        there = numbered(counts, self.read("tracks"), self.read("user_ids"), self.read("recording_ids"))
        return relevant(there, self.heard, self.as_of, self.horizons, self.config.daily.lean_back)

    def withheld(self, plays: DataFrame) -> DataFrame:
        """As `later`, of what was held out by lot from a log without times: `new_0d` is all of it that is not known otherwise, `again_0d` empty."""
        there = (
            numbered(plays, self.read("tracks"), self.read("user_ids"), self.read("recording_ids"))
            .select("user_idx", "recording_idx")
            .distinct()
        )
        new = there.join(self.heard, ["user_idx", "recording_idx"], "left_anti").groupBy("user_idx")
        return new.agg(F.array_sort(F.collect_list("recording_idx")).alias("new_0d")).withColumn(
            "again_0d", F.array().cast("array<int>")
        )

    def slices(self) -> DataFrame:
        """As `core.slices`."""
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
        """Some of the pools by lot, the same users of any pools: so many as `holdout.max_users`."""
        return pools.where(by_lot(pools.count(), self.config.holdout.max_users))


def values(
    past: Past, pools: DataFrame, later: DataFrame, sources: Mapping[int, str], horizons: Sequence[int]
) -> DataFrame:
    """A row a user who heard anything: what `pool_metrics.accuracy` gives, and the slices; of who has no number nothing is known."""
    return (
        pool_metrics.accuracy(pools, later, horizons, sources)
        .join(past.slices(), "user_idx", "left")
        .fillna(RUNGS[-1], ["rung"])
    )


def parts_of(rows: DataFrame) -> list[tuple[str, str]]:
    """(slice, value) that occur, in order."""
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
    """Mean and interval of each metric over users, and of some by slice; all in one pass.

    Args:
        paired: whether metrics are differences, of which is asked how likely chance alone made them.
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
    found = total(resampled(told, numbers).toArrow(), len(numbers))
    low, high = found.interval(level)
    return [
        Measure(metric, part, float(mean), float(a), float(b), int(users), float(p) if paired else None)
        if users
        else Measure(metric, part, None, users=0)
        for (metric, part), mean, a, b, users, p in zip(
            columns, found.mean, low, high, found.users, found.p_value(), strict=True
        )
    ]


def measured(
    past: Past,
    pools: DataFrame,
    later: DataFrame,
    sources: Mapping[int, str],
    tell: Callable[[str], None] = lambda _: None,
) -> list[Measure]:
    """Everything there is to say of pools of one moment: of accuracy where anything was heard later, of the lists in any case.

    Args:
        later: of `Past.later`, for `Past.horizons`.
        sources: bit → name.
    """
    horizons = past.horizons
    tell("measure: what was heard later, in the pools")
    with kept(values(past, pools, later, sources, horizons)) as rows:
        names = pool_metrics.names(horizons)
        told = means(
            rows, [*names, *pool_metrics.of_sources(horizons, sources)], _headline(horizons), parts_of(rows)
        )
        counted = rows.agg(
            F.count(F.lit(1)).alias("n"), F.count_if(~F.col("has_pool")).alias("without")
        ).first()
    assert counted is not None  # noqa: S101 - an aggregate has one row
    told += [
        Measure("users_with_plays", ALL, counted["n"]),
        Measure("users_without_pool", ALL, counted["without"]),
    ]
    tell("measure: what the lists are like")
    return told + of_lists(past, past.sampled(pools))


def _headline(horizons: Sequence[int]) -> list[str]:
    """The metrics that are told by slice."""
    days, deepest = max(horizons), max(pool_metrics.CUTS)
    return [
        f"new_{days}d_recall@{deepest}",
        f"again_{days}d_recall@{deepest}",
        f"new_{days}d_oracle_ndcg@{pool_metrics.ORACLE}",
    ]


def of_lists(past: Past, pools: DataFrame) -> list[Measure]:
    """Traits of pools, and how these share out the catalogue."""
    found = traits_of(past, pools)
    catalogue = past.read("recording_features").count()
    offered = [(row["pools"], row["recordings"]) for row in exposure.exposures(pools).collect()]
    return [
        *found,
        Measure("coverage", ALL, exposure.coverage(offered, catalogue)),
        Measure("gini", ALL, exposure.gini(offered, catalogue)),
    ]


def traits_of(past: Past, pools: DataFrame) -> list[Measure]:
    """Means of `list_traits.TRAITS`."""
    users = past.read("user_features").count()
    return means(traits(pools, past.heard, past.read("recording_facts"), max(users, 1), past.as_of), TRAITS)


def keep(store: Store, tracker: Tracker, found: Sequence[Measure], run_key: str, as_of: datetime) -> None:
    """Into `pool_metrics`, and to MLflow, which knows no @ and no =: gain/new_recall_at_500/market-SE."""
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
