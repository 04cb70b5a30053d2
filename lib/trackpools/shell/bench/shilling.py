"""What a push by fake accounts gains, with and without the detection of bought plays, and what that costs the ranking of honest ones."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core import assemble, interactions, weights
from trackpools.core.als.factors import matrix
from trackpools.core.inflation import inflated
from trackpools.core.topk import Ragged
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import Inputs, only
from trackpools.shell.bench.logs import Log, log
from trackpools.shell.engines import train
from trackpools.shell.kept import kept
from trackpools.shell.session import spark_session

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
FAKES, PUSH, HONEST, A_DAY = (
    0.01,
    20,
    3,
    5,
)  # fake accounts a real one; plays of the target by each, and by how many others; at most so many a day: no loop
COVERS = {
    "no cover": (0, 1),
    "cover of 30 hits": (30, 1),
}  # other recordings that a fake plays, and how often each
BEYOND = {"cover as deep as the push": (6, PUSH)}  # what it does not stand: a figure, no claim
HELD, EVERY, SHARE, RANK, TOP = (
    0.2,
    4,
    40,
    32,
    100,
)  # a user's pairs held out; users looked at; recordings a pool's place


@dataclass(frozen=True)
class Attacked:
    """Pairs with plays, fakes from user `real` on; and what of the honest pairs was held out."""

    met: Log
    real: int
    target: int
    held: Ragged


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Share of real users' pools that hold a target with three listeners of its own, 1 % fakes at 20 plays each; nDCG@100 of held-out plays.

    Fakes spread their plays over days, else they would be loops and masked. The protected side leaves flagged recordings out of training and pools.
    """
    users, recordings = size.of((20_000, 20_000), (3_000, 4_000))
    config, spark = _sized(config, recordings), spark_session(config.session)
    found = Measured([])
    for name in COVERS:
        found.ratios += [
            Ratio(f"pools with the target, {name}", 0.02, at_most=True),
            Ratio(f"nDCG@{TOP}, protected ÷ not, {name}", 0.98),
        ]
    for number in range(1, rounds + 1):
        for at, (name, (cover, deep)) in enumerate((COVERS | BEYOND).items()):
            tell(f"round {number}: {name}")
            made = attacked(users, recordings, cover, deep, seed=number)
            shares, ranked, flagged = _both(spark, made, config)
            found.note(f"pools with the target unprotected, {name}", shares[0])
            found.note(f"pools with the target protected, {name}", shares[1])
            found.note(f"nDCG@{TOP} unprotected, {name}", ranked[0])
            found.note(f"nDCG@{TOP} protected, {name}", ranked[1])
            found.note(f"target flagged, {name}", made.target in flagged)
            found.note(f"honest recordings flagged, {name}", len(set(flagged) - {made.target}))
            if name in COVERS:
                found.ratios[2 * at].values.append(shares[1])
                found.ratios[2 * at + 1].values.append(ranked[1] / ranked[0])
    return found


def attacked(users: int, recordings: int, cover: int, deep: int, *, seed: int) -> Attacked:
    """An honest log with a fifth held out, and the push: `weight` is plays, log-normal where they are honest."""
    rng = np.random.default_rng(seed)
    made = log(users, recordings, 50 * users, seed, kinds=max(8, recordings // 500))
    listeners = np.bincount(made.recording, minlength=recordings)
    target = int(np.flatnonzero(listeners >= HONEST)[np.argmin(listeners[listeners >= HONEST])])
    known = np.isin(np.arange(len(made.user)), np.flatnonzero(made.recording == target)[HONEST:], invert=True)
    held = known & (made.recording != target) & (rng.random(len(known)) < HELD)
    known &= ~held
    fakes = np.arange(users, users + max(1, round(FAKES * users)))
    hits = np.argsort(-listeners, kind="stable")[: max(cover, recordings // 60)]
    covers = np.array([rng.choice(hits, cover, replace=False) for _ in fakes], np.int64).reshape(
        len(fakes), cover
    )
    user = np.concatenate([made.user[known], fakes, np.repeat(fakes, cover)])
    recording = np.concatenate([made.recording[known], np.full(len(fakes), target), covers.ravel()])
    honest = np.ceil(rng.lognormal(0.5, 1.0, int(known.sum())))
    plays = np.concatenate([honest, np.full(len(fakes), PUSH), np.full(covers.size, deep)])
    order = np.argsort(user, kind="stable")
    met = Log(
        users + len(fakes),
        recordings,
        user[order].astype(np.int32),
        recording[order].astype(np.int32),
        plays[order].astype(np.float32),
    )
    return Attacked(
        met,
        users,
        target,
        Ragged(np.searchsorted(made.user[held], np.arange(users + 1)), made.recording[held]),
    )


def _sized(config: Config, recordings: int) -> Config:
    """Pools that hold one recording in 40, and sources in proportion."""
    k = max(20, recordings // SHARE)
    chart = round(1.6 * k)
    told = {
        "als": {"enabled": True, "k": round(1.4 * k), "k_heard": round(0.4 * k)},
        "popular": {"enabled": True, "k": chart, "list_length": chart},
    }
    fitting = config.train.model_copy(
        update={"engine": "implicit", "nu": None, "reg": None, "rank": RANK, "alpha0": 0.0}
    )
    return only(config, told).model_copy(
        update={"train": fitting, "pools": config.pools.model_copy(update={"k": k})}
    )


def _both(spark: SparkSession, made: Attacked, config: Config) -> tuple[list[float], list[float], list[int]]:
    """Unprotected and protected: share of the pools with the target, and nDCG; and what was flagged."""
    folder, shares, ranked = Path(tempfile.mkdtemp(prefix="trackpools-bench-")), [], []
    try:
        with ExitStack() as stack:
            met = stack.enter_context(kept(_interactions(spark, made.met, folder, config)))
            flagged = inflated(met, config.taste).toArrow()["recording_idx"].to_pylist()
            for barred in (list[int](), flagged):
                pools = _pools(met, made, config, barred)
                shares.append(float(np.mean([made.target in pool for pool in pools["all"]])))
                ranked.append(_ndcg(pools["new"], pools["user"], made.held))
    finally:
        shutil.rmtree(folder)
    return shares, ranked, flagged


def _interactions(spark: SparkSession, made: Log, folder: Path, config: Config) -> DataFrame:
    plays = made.weight.astype(np.int64)
    days = -(-plays // A_DAY)
    pair = np.repeat(np.arange(len(plays)), days)
    nth = np.arange(len(pair)) - np.repeat(np.cumsum(days) - days, days)
    count = np.minimum(A_DAY, plays[pair] - A_DAY * nth).astype(np.int32)
    day = (np.datetime64(AS_OF.date()) - 1 - nth).astype("datetime64[D]")
    none = np.zeros(len(pair), np.int32)
    columns = {
        "user_idx": made.user[pair],
        "recording_idx": made.recording[pair],
        "day": day,
        "plays": count,
        "completions": count,
    }
    pq.write_table(pa.table(columns | {"early_skips": none, "masked": none}), folder / "days.parquet")
    untimed = spark.createDataFrame(
        [], "user_idx int, recording_idx int, kind string, plays int, played_at timestamp"
    )
    acts = spark.createDataFrame([], "user_idx int, recording_idx int, likes int, blocked boolean")
    return interactions.interactions(
        spark.read.parquet(str(folder / "days.parquet")), untimed, acts, config.weights
    )


def _pools(met: DataFrame, made: Attacked, config: Config, barred: list[int]) -> dict[str, list[Any]]:
    """Of every fourth real user: `user`, and the pool's recordings, `all` and those `new` to the user, best first."""
    spark = met.sparkSession
    out = spark.createDataFrame([(one,) for one in barred], "recording_idx int")
    weighed = met.join(out, "recording_idx", "left_anti").select(
        "user_idx",
        "recording_idx",
        weights.positive_weight(AS_OF, config.weights).alias("positive"),
        F.lit(0.0).alias("negative"),
    )
    fit = train(weighed, config.train)
    x, y = (
        _whole(side, count, fit.rank)
        for side, count in ((fit.users, made.met.users), (fit.recordings, made.met.recordings))
    )
    tables = Inputs(spark, made.met, x, y)
    try:
        given = tables.inputs(config, out)
        given = replace(
            given, users=given.users.where((F.col("user_idx") < made.real) & (F.col("user_idx") % EVERY == 0))
        )
        built = assemble.pools(given, assemble.candidates(given), AS_OF + timedelta(days=1), "bench")
        new = F.transform(F.filter("candidates", lambda c: c["plays"] == 0), lambda c: c["recording"])
        return dict(
            built.select(
                F.col("user_idx").alias("user"), F.col("candidates.recording").alias("all"), new.alias("new")
            )
            .toArrow()
            .to_pydict()
        )
    finally:
        tables.drop()


def _whole(side: DataFrame, count: int, rank: int) -> NDArray[np.float32]:
    """Factors by idx; zeros where there are none."""
    told = side.toArrow()
    out = np.zeros((count, rank), np.float32)
    out[told["idx"].to_numpy()] = matrix(told["factors"])
    return out


def _ndcg(pools: list[list[int]], users: list[int], held: Ragged) -> float:
    """Mean nDCG of the first hundred over the users with anything held out."""
    gain = 1 / np.log2(np.arange(2, TOP + 2))
    found = []
    for pool, user in zip(pools, users, strict=True):
        mine = held.values[held.offsets[user] : held.offsets[user + 1]]
        if len(mine):
            hit = np.isin(pool[:TOP], mine)
            found.append((gain[: len(hit)] * hit).sum() / gain[: min(TOP, len(mine))].sum())
    return float(np.mean(found))
