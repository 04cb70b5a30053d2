"""Compute the numbers of a release's report with Spark; the result is small for a release of any size."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.evaluation.exposure import coverage, exposures
from trackpools.core.log.audience import first_buckets
from trackpools.shell.measurement.release_drift import Drift, Older, drift_of
from trackpools.shell.reports.catalogue_reach import Reach, reach_of
from trackpools.shell.reports.pool_composition import PoolComposition, measure_composition

# Approximate limit of the users whose pools are read for the coverage of recordings; with K = 500, their
# pools hold 100 M candidates.
EXPOSED_USERS = 200_000
# Approximate limit of the users whose candidates are read one by one; with K = 500, their pools hold 10 M
# candidates, which are joined and grouped about a dozen times.
SAMPLE_USERS = 20_000
BANDS = ((10, "1–10"), (50, "11–50"), (100, "51–100"), (250, "101–250"), (500, "251–500"))
LAST_BAND = "over 500"
RANKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 400, 500, 700, 1000, 2000, 5000, 10_000)
MARKETS = 24
UNKNOWN = "unknown"


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage of the run.

    Attributes:
        name: Name of the stage.
        rows: Number of rows written; None if unknown.
        seconds: Wall-clock time.
        core_seconds: Seconds that cores were busy; None if unknown.
        bytes: Number of bytes read; None if unknown.
    """

    name: str
    rows: int | None
    seconds: float
    core_seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class ReportData:
    """Aggregates of one release; nothing here grows with the number of users.

    Attributes:
        k: Size of a full pool.
        users: Number of users with a pool.
        sampled_users: Approximate number of users on whose pools the mix of sources, scores, coverage by
            group, composition, `by_source` of `reach` and the drift of scores were measured.
        exposed_users: Approximate number of users on whose pools `coverage` and the attributes `lorenz` and
            `gini` of `reach` were measured.
        catalogue: Number of recordings with any interaction; shares of recordings refer to this number.
        coverage: Share of recordings that are in the pool of at least one of the `exposed_users`.
        tables: (name, version, rows, hash) of each pinned table.
        accounting: Numbers of rows read, accepted, rejected and duplicate; empty if this run imported
            nothing.
        rejected: Reason → number of rows that the import rejected.
        long_tail: Points (share of recordings, share of plays), most played first.
        pool_sizes: Pairs (smallest size of the bin, users).
        shortfalls: Rule → number of users whose pool is smaller than `k` because of the rule.
        source_mix: Rank band → source → share of candidates; a candidate of two sources counts half for each.
        drops: Rule → number of candidates that the rule removed, in all pools.
        scores: Rows (rank, 10 %, 50 %, 90 % quantile of the score over users).
        coverage_by_market: Market → share of recordings in some pool of the market, among `sampled_users`.
        coverage_by_decile: Activity decile → share of recordings in some pool of the decile, among
            `sampled_users`.
        composition: What the pools consist of.
        reach: How many different recordings the pools use, and how evenly.
        drift: How much distributions changed since the release before.
        loss: The training objective after each iteration.
        stages: What each stage of the run cost.
    """

    release_id: str
    as_of: str
    k: int
    users: int = 0
    sampled_users: int = 0
    exposed_users: int = 0
    catalogue: int = 0
    coverage: float = 0.0
    model_version: str = ""
    tables: Sequence[tuple[str, int, int, str]] = ()
    accounting: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    long_tail: Sequence[tuple[float, float]] = ()
    pool_sizes: Sequence[tuple[int, int]] = ()
    shortfalls: Mapping[str, int] = field(default_factory=dict)
    source_mix: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    scores: Sequence[tuple[int, float, float, float]] = ()
    coverage_by_market: Mapping[str, float] = field(default_factory=dict)
    coverage_by_decile: Mapping[str, float] = field(default_factory=dict)
    composition: PoolComposition = field(default_factory=PoolComposition)
    reach: Reach = field(default_factory=Reach)
    drift: Drift = field(default_factory=Drift)
    loss: Sequence[float] = ()
    stages: Sequence[StageCost] = ()


def long_tail_curve(recording_features: DataFrame) -> list[tuple[float, float]]:
    """Return points (share of recordings, share of plays), most played first, from (0, 0) to (1, 1).

    Recordings are counted in bins by their number of plays. From bin to bin, this number grows by the factor
    2^(1/8), so the driver receives at most some hundred rows.
    """
    octave = F.floor(8 * F.log2(F.greatest(F.col("plays"), F.lit(1))))
    bins = (
        recording_features.groupBy(octave.alias("bin"))
        .agg(F.count(F.lit(1)).alias("n"), F.sum("plays").alias("plays"))
        .collect()
    )
    bins.sort(key=lambda row: -row["bin"])
    recordings, plays = sum(row["n"] for row in bins), sum(row["plays"] for row in bins)
    points, n, heard = [(0.0, 0.0)], 0, 0
    for row in bins:
        n, heard = n + row["n"], heard + row["plays"]
        points.append((n / recordings, heard / plays if plays else n / recordings))
    return points if bins else []


def _fill(pools: DataFrame, k: int) -> tuple[list[tuple[int, int]], dict[str, int], int]:
    """Count pools by size and by shortfall.

    Returns:
        `(sizes, shortfalls, buckets)`. `sizes` are pairs (smallest size of the bin, users); full pools are a
        bin of their own. `shortfalls` is rule → users. `buckets` is the number of partitions (buckets) of the
        pools.
    """
    width = max(k // 20, 1)
    size = F.size("candidates.recording")  # reads one column of the file instead of eight
    start = F.when(size >= k, F.lit(k)).otherwise(F.floor(size / width) * width).cast("int")
    counted = F.count(F.lit(1)).alias("users"), F.max("bucket").alias("last")
    found = pools.groupBy(start.alias("start"), F.col("shortfall.rule").alias("rule")).agg(*counted).collect()
    sizes: dict[int, int] = {}
    rules: dict[str, int] = {}
    for row in found:
        sizes[row["start"]] = sizes.get(row["start"], 0) + row["users"]
        if row["rule"] is not None:
            rules[row["rule"]] = rules.get(row["rule"], 0) + row["users"]
    return sorted(sizes.items()), rules, 1 + max((row["last"] for row in found), default=0)


def _drops(pools: DataFrame) -> dict[str, int]:
    found = (
        pools.select(F.explode("drops").alias("rule", "n"))
        .groupBy("rule")
        .agg(F.sum("n").alias("n"))
        .collect()
    )
    return {row["rule"]: int(row["n"]) for row in found}


def _band() -> Column:
    band = F.lit(LAST_BAND)
    for last, name in reversed(BANDS):
        band = F.when(F.col("rank") <= last, F.lit(name)).otherwise(band)
    return band


def _source_mix(long: DataFrame, dictionary: Mapping[int, str]) -> dict[str, dict[str, float]]:
    """Return rank band → source → share; a candidate of n sources counts 1/n for each."""
    found = long.groupBy(_band().alias("band"), "sources").count().collect()
    mix: dict[str, dict[str, float]] = {}
    for band in [name for _, name in BANDS] + [LAST_BAND]:
        weights: dict[str, float] = {}
        for row in (row for row in found if row["band"] == band):
            names = [
                dictionary.get(bit, f"bit {bit}") for bit in range(32) if (row["sources"] or 0) >> bit & 1
            ] or [UNKNOWN]
            for name in names:
                weights[name] = weights.get(name, 0.0) + row["count"] / len(names)
        if weights:
            mix[band] = {name: weight / sum(weights.values()) for name, weight in sorted(weights.items())}
    return mix


def _scores(long: DataFrame) -> list[tuple[int, float, float, float]]:
    some = long.where(F.col("rank").isin(list(RANKS)) & F.col("score").isNotNull())
    found = some.groupBy("rank").agg(F.percentile_approx("score", [0.1, 0.5, 0.9], 1000).alias("q")).collect()
    return sorted((int(row["rank"]), *(float(q) for q in row["q"])) for row in found)  # type: ignore[misc]


def _coverage_of_groups(
    long: DataFrame, user_features: DataFrame, user_ids: DataFrame, users: DataFrame
) -> dict[tuple[str, str], int]:
    """Count the distinct recordings in the pools of each activity decile and of the largest markets.

    Returns:
        `(kind, slice)` → number of recordings; `kind` is `decile` or `market`.
    """
    market = user_ids.join(users, on="user_id", how="left").select("user_idx", "market")
    decile = user_features.select("user_idx", F.col("activity_decile").cast("string").alias("decile"))
    known = (
        long.select("user_idx", "recording")
        .join(market, on="user_idx", how="left")
        .join(decile, on="user_idx", how="left")
    )
    slices = [
        ("market", F.coalesce("market", F.lit(UNKNOWN))),
        ("decile", F.coalesce("decile", F.lit("none"))),
    ]
    pairs = F.explode(
        F.array(*(F.struct(F.lit(kind).alias("kind"), value.alias("slice")) for kind, value in slices))
    )
    distinct = known.select(pairs.alias("s"), "recording").select("s.kind", "s.slice", "recording").distinct()
    largest = (
        distinct.groupBy("kind", "slice")
        .count()
        .orderBy(F.col("kind") == F.lit("market"), F.desc("count"), "kind", "slice")
        .limit(MARKETS + 12)
    )
    return {(row["kind"], row["slice"]): int(row["count"]) for row in largest.collect()}


def _shares(
    coverage: Mapping[tuple[str, str], int], kind: str, catalogue: int, order: Callable[[str], Any]
) -> dict[str, float]:
    names = [name for found, name in coverage if found == kind]
    return {name: coverage[kind, name] / max(catalogue, 1) for name in sorted(names, key=order)}


def collect_report(
    store_read: Callable[[str], DataFrame],
    dictionary: Mapping[int, str],
    *,
    release_id: str,
    as_of: str,
    k: int,
    model_version: str = "",
    tables: Iterable[tuple[str, int, int, str]] = (),
    accounting: Mapping[str, int] | None = None,
    rejected: Mapping[str, int] | None = None,
    loss: Sequence[float] = (),
    stages: Sequence[StageCost] = (),
    sample_users: int = SAMPLE_USERS,
    exposed_users: int = EXPOSED_USERS,
    older: Older | None = None,
) -> ReportData:
    """Compute the numbers of a release's report.

    The driver only receives small aggregates. The other arguments are passed on, see `ReportData`.

    Args:
        store_read: Table name → frame at the pinned version. It is called for recording_features,
            recording_facts, track_cards, interactions, pools, user_features, user_ids and users.
        dictionary: Bit of `sources` → name of the source, as the release pins it.
        sample_users: Approximate limit of the users whose candidates are read; whole buckets are read.
        exposed_users: Approximate limit of the users whose pools are read for the coverage of recordings.
        older: The release to compare with; with None, the drift is empty.
    """
    pools, features, listeners = (
        store_read(name) for name in ("pools", "recording_features", "user_features")
    )
    sizes, shortfalls, buckets = _fill(pools, k)
    users = sum(n for _, n in sizes)
    catalogue = features.count()
    many, few = (first_buckets(users, most, buckets) for most in (exposed_users, sample_users))
    picked = F.col("bucket") < few
    offered = [
        (row["pools"], row["recordings"]) for row in exposures(pools.where(F.col("bucket") < many)).collect()
    ]
    long = (
        pools.where(picked)
        .select("user_idx", F.posexplode("candidates").alias("position", "c"))
        .select(
            "user_idx",
            (F.col("position") + 1).alias("rank"),
            "c.recording",
            "c.score",
            "c.sources",
        )
    )
    groups = _coverage_of_groups(long, listeners, store_read("user_ids"), store_read("users"))
    markets = _shares(groups, "market", catalogue, lambda name: (-groups["market", name], name))
    return ReportData(
        release_id=release_id,
        as_of=as_of,
        k=k,
        users=users,
        sampled_users=users * few // buckets,
        exposed_users=users * many // buckets,
        catalogue=catalogue,
        coverage=coverage(offered, catalogue),
        model_version=model_version,
        tables=tuple(tables),
        accounting=accounting or {},
        rejected=rejected or {},
        long_tail=long_tail_curve(features),
        pool_sizes=sizes,
        shortfalls=shortfalls,
        source_mix=_source_mix(long, dictionary),
        drops=_drops(pools),
        scores=_scores(long),
        coverage_by_market=dict(list(markets.items())[:MARKETS]),
        coverage_by_decile=_shares(
            groups, "decile", catalogue, lambda name: (not name.isdigit(), name.zfill(2))
        ),
        composition=measure_composition(long, store_read, dictionary),
        reach=reach_of(offered, long, listeners, dictionary, catalogue),
        drift=drift_of(store_read, older, picked),
        loss=loss,
        stages=stages,
    )
