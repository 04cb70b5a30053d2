"""Benchmark of bought plays: how many pools contain a pushed recording, with and without detection.

It also measures how much the detection harms the ranking of honest recordings.
"""

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
from trackpools.core.als.factors import factor_matrix
from trackpools.core.log import confidence, interactions
from trackpools.core.log.bought_plays import inflated_recordings
from trackpools.core.pools import batch
from trackpools.core.topk.exact import Ragged
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import Log, log
from trackpools.shell.bench.workloads import Inputs, only
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.spark.session import spark_session
from trackpools.shell.training.train import train

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
# FAKES: fake accounts for each real user. PUSH: plays of the target by each fake account. HONEST: real users
# who play the target. A_DAY: greatest number of plays of a recording by an account in a day; it is so small
# that the plays do not count as a loop.
FAKES, PUSH, HONEST, A_DAY = (
    0.01,
    20,
    3,
    5,
)
COVERS = {
    "no cover": (0, 1),
    "cover of 30 hits": (30, 1),
}  # name → number of other recordings that a fake account plays, and plays of each of them
BEYOND = {
    "cover as deep as the push": (6, PUSH)
}  # a cover that is known not to be detected; it has figures, but no claim
# HELD_OUT_SHARE: share of honest pairs that are held out. EVERY: one real user in this many is measured.
# SHARE: number of recordings ÷ size of a pool. RANK: number of factors. TOP: the cutoff of nDCG.
HELD_OUT_SHARE, EVERY, SHARE, RANK, TOP = (
    0.2,
    4,
    40,
    32,
    100,
)


@dataclass(frozen=True)
class AttackedLog:
    """A log with fake accounts, and the honest pairs that are held out of it.

    Attributes:
        pairs: The log; its `weight` is the number of plays.
        real: The number of real users; users from this number on are fake accounts.
        target: The `recording_idx` that the fake accounts push.
        held_out: For each real user, the recordings that are held out.
    """

    pairs: Log
    real: int
    target: int
    held_out: Ragged


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Measure the share of real users' pools that contain the target, and nDCG@100 of held-out plays.

    The target is a recording with three real listeners. There is one fake account for each hundred real users,
    and each fake account plays the target 20 times. These plays are spread over days, because many plays in a
    day would count as a loop and be masked. On the protected side, the
    recordings that detection flags are left out of training and pools.

    Returns:
        Two ratios for each of COVERS: the share of the protected pools that contain the target, and nDCG
        protected ÷ unprotected. Figures give both sides, also for BEYOND.
    """
    users, recordings = size.of((20_000, 20_000), (3_000, 4_000))
    config, spark = _sized(config, recordings), spark_session(config.session)
    found = Measured([])
    for name in COVERS:
        found.ratios += [
            Ratio(f"pools with the target, {name}", 0.02, at_most=True),
            Ratio(f"nDCG@{TOP}, protected ÷ unprotected, {name}", 0.98),
        ]
    for number in range(1, rounds + 1):
        for at, (name, (cover, deep)) in enumerate((COVERS | BEYOND).items()):
            progress(f"round {number}: {name}")
            made = attack_log(users, recordings, cover, deep, seed=number)
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


def attack_log(users: int, recordings: int, cover: int, deep: int, *, seed: int) -> AttackedLog:
    """Draw an honest log, hold out a fifth of its pairs, and add the plays of the fake accounts.

    The numbers of honest plays are log-normal. The target is the recording with the fewest listeners among
    those with at least three; only three of its listeners are kept.

    Args:
        users: The number of real users.
        recordings: The number of recordings.
        cover: The number of other recordings, all of them popular, that each fake account plays.
        deep: The plays of each of these recordings by a fake account.
        seed: The seed of all draws.
    """
    rng = np.random.default_rng(seed)
    made = log(users, recordings, 50 * users, seed, kinds=max(8, recordings // 500))
    listeners = np.bincount(made.recording, minlength=recordings)
    target = int(np.flatnonzero(listeners >= HONEST)[np.argmin(listeners[listeners >= HONEST])])
    known = np.isin(np.arange(len(made.user)), np.flatnonzero(made.recording == target)[HONEST:], invert=True)
    held = known & (made.recording != target) & (rng.random(len(known)) < HELD_OUT_SHARE)
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
    return AttackedLog(
        met,
        users,
        target,
        Ragged(np.searchsorted(made.user[held], np.arange(users + 1)), made.recording[held]),
    )


def _sized(config: Config, recordings: int) -> Config:
    """Return a configuration with the engine `implicit`, and pools of a fortieth of the recordings.

    A pool has at least 20 candidates, however few recordings there are.

    The only sources are `als` and `popular`, with numbers of candidates in proportion to the pool.
    """
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


def _both(
    spark: SparkSession, made: AttackedLog, config: Config
) -> tuple[list[float], list[float], list[int]]:
    """Measure the pools without and with the detection.

    Args:
        spark: The session.
        made: The attacked log.
        config: The result of `_sized`.

    Returns:
        The share of the pools that contain the target, unprotected and protected; nDCG@TOP, unprotected and
        protected; and the `recording_idx` of the flagged recordings.
    """
    folder, shares, ranked = Path(tempfile.mkdtemp(prefix="trackpools-bench-")), [], []
    try:
        with ExitStack() as stack:
            met = stack.enter_context(persisted(_interactions(spark, made.pairs, folder, config)))
            flagged = inflated_recordings(met, config.taste).toArrow()["recording_idx"].to_pylist()
            for barred in (list[int](), flagged):
                pools = _pools(met, made, config, barred)
                shares.append(float(np.mean([made.target in pool for pool in pools["all"]])))
                ranked.append(_ndcg(pools["new"], pools["user"], made.held_out))
    finally:
        shutil.rmtree(folder)
    return shares, ranked, flagged


def _interactions(spark: SparkSession, made: Log, folder: Path, config: Config) -> DataFrame:
    """Spread the plays over the days before AS_OF, at most A_DAY on each, and compute the interactions."""
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


def _pools(met: DataFrame, made: AttackedLog, config: Config, barred: list[int]) -> dict[str, list[Any]]:
    """Train, and build the pools of every fourth real user.

    Args:
        met: The interactions.
        made: The attacked log.
        config: The result of `_sized`.
        barred: The `recording_idx` to leave out of training and pools.

    Returns:
        Three lists of equal length: `user` (the `user_idx`), `all` (the recordings of the pool) and `new`
        (those that the user had not played); the recordings are ordered best first.
    """
    spark = met.sparkSession
    out = spark.createDataFrame([(one,) for one in barred], "recording_idx int")
    weighed = met.join(out, "recording_idx", "left_anti").select(
        "user_idx",
        "recording_idx",
        confidence.positive_weight(AS_OF, config.weights).alias("positive"),
        F.lit(0.0).alias("negative"),
    )
    fit = train(weighed, config.train)
    x, y = (
        _whole(side, count, fit.rank)
        for side, count in ((fit.users, made.pairs.users), (fit.recordings, made.pairs.recordings))
    )
    tables = Inputs(spark, made.pairs, x, y)
    try:
        given = tables.inputs(config, out)
        given = replace(
            given, users=given.users.where((F.col("user_idx") < made.real) & (F.col("user_idx") % EVERY == 0))
        )
        built = batch.pools(replace(given, as_of=AS_OF + timedelta(days=1)), "bench")
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
    """Return factors as float32 [count, rank], indexed by idx; a row without factors is 0."""
    told = side.toArrow()
    out = np.zeros((count, rank), np.float32)
    out[told["idx"].to_numpy()] = factor_matrix(told["factors"])
    return out


def _ndcg(pools: list[list[int]], users: list[int], held: Ragged) -> float:
    """Return nDCG@TOP as the mean over users with at least one held-out recording.

    Args:
        pools: The new recordings of each pool, best first.
        users: The `user_idx` of each pool.
        held: The held-out recordings of each real user.
    """
    gain = 1 / np.log2(np.arange(2, TOP + 2))
    found = []
    for pool, user in zip(pools, users, strict=True):
        mine = held.values[held.offsets[user] : held.offsets[user + 1]]
        if len(mine):
            hit = np.isin(pool[:TOP], mine)
            found.append((gain[: len(hit)] * hit).sum() / gain[: min(TOP, len(mine))].sum())
    return float(np.mean(found))
