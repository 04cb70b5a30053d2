"""Seconds an iteration of `blocked`, Spark's own part included, against implicit and MLlib on the same interactions."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from trackpools.config import Config, TrainConfig
from trackpools.shell.bench import Measured, Ratio
from trackpools.shell.bench.logs import Log, sized
from trackpools.shell.engines import blocked, mllib
from trackpools.shell.session import spark_session

ITERATIONS = 6  # the first is left out: it compiles and fills caches
REG, ALPHA = 50.0, 5.0


def measure(config: Config, quick: bool, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Equal objective (ν = 0), rank and start scale; the loss that both reach is a ratio too. MLlib, at its own ν = 1, runs once."""
    tell("log: make interactions")
    made = sized(quick=quick)
    folder = Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
    own = config.train.model_copy(update={"engine": "blocked", "nu": 0.0, "reg": REG, "alpha": ALPHA, "iterations": ITERATIONS, "beta": 0.0})
    speed, loss = Ratio("blocked ÷ implicit, seconds an iteration", 1.1, at_most=True), Ratio("blocked ÷ implicit, loss", 1.005, at_most=True)
    found = Measured([speed, loss], {"interactions": [float(len(made.user))], "rank": [float(own.rank)]})
    try:
        training = _frame(config, made, folder)
        for number in range(1, rounds + 1):
            tell(f"round {number}: implicit, then blocked")
            peer, peer_loss = _implicit(made, own)
            ours, our_loss = _blocked(training, own)
            found.note("implicit, s an iteration", peer)
            speed.values.append(found.note("blocked, s an iteration", ours) / peer)
            loss.values.append(our_loss / peer_loss)
        if quick:
            tell("MLlib: 1 and 3 iterations")
            slow = Ratio("mllib ÷ blocked, seconds an iteration", 10.0)
            slow.values.append(found.note("mllib, s an iteration", _mllib(training, own)) / found.figures["blocked, s an iteration"][-1])
            found.ratios.append(slow)
    finally:
        shutil.rmtree(folder)
    return found


def _frame(config: Config, made: Log, folder: Path) -> DataFrame:
    zeros = np.zeros(len(made.user))
    table = pa.table({"user_idx": made.user, "recording_idx": made.recording, "positive": made.weight.astype(np.float64), "negative": zeros})
    pq.write_table(table, folder / "log.parquet", row_group_size=1 << 20)
    return spark_session(config.session).read.parquet(str(folder / "log.parquet"))


def _implicit(made: Log, train: TrainConfig) -> tuple[float, float]:
    from implicit.cpu.als import AlternatingLeastSquares

    matrix, told = made.csr(train.alpha), [time.perf_counter()]
    model = AlternatingLeastSquares(factors=train.rank, regularization=REG, alpha=1.0, iterations=ITERATIONS, random_state=1, num_threads=os.cpu_count())
    with threadpool_limits(1, "blas"):
        model.fit(matrix, show_progress=False, callback=lambda *_: told.append(time.perf_counter()))
    return float(np.median(np.diff(told)[1:])), _loss(made, train, model.user_factors, model.item_factors)


def _blocked(training: DataFrame, train: TrainConfig) -> tuple[float, float]:
    told: list[float] = []
    _, _, curve = blocked.fit(training, train, train.rank, progress=lambda _: told.append(time.perf_counter()))
    return float(np.median(np.diff(told))), curve[-1]


def _mllib(training: DataFrame, train: TrainConfig) -> float:
    seconds: list[float] = []
    for iterations in (1, 3):
        began = time.perf_counter()
        users, _, _ = mllib.fit(training, train.model_copy(update={"iterations": iterations, "reg": 1.0}), train.rank)
        users.count()
        seconds.append(time.perf_counter() - began)
    return (seconds[1] - seconds[0]) / 2


def _loss(made: Log, train: TrainConfig, x: Any, y: Any) -> float:
    """The objective at ν = 0, observed pairs in slices."""
    total, wide = 0.0, (x.astype(np.float64), y.astype(np.float64))
    for start in range(0, len(made.user), 1 << 20):
        part = slice(start, start + (1 << 20))
        dot = (x[made.user[part]] * y[made.recording[part]]).sum(axis=1, dtype=np.float64)
        total += float(((1 + train.alpha * made.weight[part]) * (1 - dot) ** 2 - dot**2).sum())
    grams = [side.T @ side for side in wide]
    return total + float((grams[0] * grams[1]).sum()) + REG * float(np.trace(grams[0]) + np.trace(grams[1]))
