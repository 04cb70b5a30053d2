"""The numbers of the report: one frozen value of small aggregates, and how Spark computes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.audience import first_buckets
from trackpools.core.exposure import coverage, exposures
from trackpools.shell.report_drift import Drift, Older, drift_of
from trackpools.shell.report_pools import Made, made_of
from trackpools.shell.report_reach import Reach, reach_of

EXPOSED_USERS = 200_000  # what is offered at all is looked for in the pools of at most about so many users: 100 M recordings at K = 500
SAMPLE_USERS = 20_000  # all else of candidates: 10 M rows, joined and grouped a dozen times
BANDS = ((10, "1–10"), (50, "11–50"), (100, "51–100"), (250, "101–250"), (500, "251–500"))
LAST_BAND = "over 500"
RANKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 400, 500, 700, 1000, 2000, 5000, 10_000)
MARKETS = 24
UNKNOWN = "unknown"


@dataclass(frozen=True)
class StageCost:
    """What a stage cost: rows written, wall seconds, core-seconds and bytes where they are known."""

    name: str
    rows: int | None
    seconds: float
    core_seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class ReportData:
    """Aggregates of one release; nothing here grows with users.

    Attributes:
        tables: (name, version, rows, hash) of each pinned table.
        accounting: read, accepted, rejected, duplicates; empty where nothing was imported in this run.
        long_tail: points (share of recordings, share of plays), most played first.
        pool_sizes: (smallest size of the bin, users).
        source_mix: rank band → source → share; a candidate of two sources counts half for each.
        scores: (rank, 10 %, 50 %, 90 % quantile over users).
        coverage: share of the catalogue's recordings that are in some pool of `exposed_users`, on which curve and coefficient of `reach` were measured too.
        coverage_by_market, coverage_by_decile: share that is in some pool of the group, of `sampled_users`.
        made: what the pools are made of.
        reach: how far they reach into the catalogue.
        drift: what has changed since the release before.
        sampled_users: users that all else of candidates was measured on.
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
    made: Made = field(default_factory=Made)
    reach: Reach = field(default_factory=Reach)
    drift: Drift = field(default_factory=Drift)
    loss: Sequence[float] = ()
    stages: Sequence[StageCost] = ()


def long_tail_curve(recording_features: DataFrame) -> list[tuple[float, float]]:
    """Points (share of recordings, share of plays), most played first, from (0, 0) to (1, 1).

    Recordings are counted in bins of plays an eighth of an octave wide, so that the driver gets at most some hundred rows.
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
    """(bin start, users) with the full pools as a bin of their own, users by the rule of their shortfall, and how many buckets there are."""
    width = max(k // 20, 1)
    size = F.size("candidates.recording")  # one column of the file instead of eight
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
    """Band → source → share; a candidate of n sources counts 1/n for each."""
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
    """Distinct recordings by (kind, slice): every decile and the largest markets, in one job."""
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
    """The aggregates of a release: group-bys with bounded output.

    Args:
        store_read: a pinned table by name; asked for recording_features, recording_facts, track_cards, interactions, pools, user_features, user_ids and users.
        dictionary: bit of `sources` → name of the source, as the release pins it.
        sample_users: users whose candidates are looked at, by whole buckets, when there are more.
        exposed_users: the same, for what of the catalogue is offered at all.
        older: the release that this one is compared with.
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
        made=made_of(long, store_read, dictionary),
        reach=reach_of(offered, long, listeners, dictionary, catalogue),
        drift=drift_of(store_read, older, picked),
        loss=loss,
        stages=stages,
    )
