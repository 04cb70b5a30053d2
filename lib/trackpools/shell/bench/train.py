"""Seconds an iteration of `blocked`, Spark's own part included, against implicit and MLlib on the same interactions."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from trackpools.config import Config, TrainConfig
from trackpools.core.als.factors import matrix
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import gain, one_core, training
from trackpools.shell.bench.logs import Log, sized
from trackpools.shell.engines import blocked, mllib
from trackpools.shell.session import spark_session

ITERATIONS = 6  # the first is left out: it compiles and fills caches
SPARE = 4  # iterations more for ours to reach the peer's loss in
REG, ALPHA = 50.0, 5.0


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Equal objective (ν = 0), rank and start scale: seconds an iteration, the loss after as many, and the seconds to the same loss.

    MLlib, at its own ν = 1, runs once: its BLAS is native where the machine has libblas.so.3.
    """
    tell("log: make interactions")
    made = sized(size)
    folder = Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
    own = config.train.model_copy(
        update={
            "engine": "blocked",
            "nu": 0.0,
            "reg": REG,
            "alpha": ALPHA,
            "iterations": ITERATIONS,
            "beta": 0.0,
        }
    )
    speed, loss = (
        Ratio("blocked ÷ implicit, seconds an iteration", 1.1, at_most=True),
        Ratio("blocked ÷ implicit, loss", 1.005, at_most=True),
    )
    equal = Ratio("blocked ÷ implicit, seconds to implicit's loss", 1.1, at_most=True)
    cores = gain()
    found = Measured(
        [speed, equal, loss, cores], {"interactions": [float(len(made.user))], "rank": [float(own.rank)]}
    )
    try:
        rows = training(spark_session(config.session), made, folder)
        for number in range(1, rounds + 1):
            tell(f"round {number}: implicit, then blocked")
            peer, peer_loss = _implicit(made, own)
            ours, our_loss, needed = _blocked(rows, made, own, peer_loss)
            found.note("implicit, s an iteration", peer)
            speed.values.append(found.note("blocked, s an iteration", ours) / peer)
            equal.values.append(ours * needed / (peer * ITERATIONS))
            loss.values.append(our_loss / peer_loss)
            with one_core():
                cores.values.append(
                    found.note("blocked on one core, s an iteration", _seconds(rows, own)[0]) / ours
                )
        tell("MLlib: 1 and 2 iterations")
        slow = Ratio("mllib ÷ blocked, seconds an iteration", 10.0)
        slow.values.append(
            found.note("mllib, s an iteration", _mllib(rows, own))
            / found.figures["blocked, s an iteration"][-1]
        )
        found.ratios.append(slow)
    finally:
        shutil.rmtree(folder)
    return found


def _implicit(made: Log, train: TrainConfig) -> tuple[float, float]:
    from implicit.cpu.als import AlternatingLeastSquares

    matrix, told = made.csr(train.alpha), [time.perf_counter()]
    model = AlternatingLeastSquares(
        factors=train.rank,
        regularization=REG,
        alpha=1.0,
        iterations=ITERATIONS,
        random_state=1,
        num_threads=os.cpu_count(),
    )
    with threadpool_limits(1, "blas"):
        model.fit(matrix, show_progress=False, callback=lambda *_: told.append(time.perf_counter()))
    return float(np.median(np.diff(told)[1:])), _loss(made, train, model.user_factors, model.item_factors)


def _blocked(rows: DataFrame, made: Log, train: TrainConfig, wanted: float) -> tuple[float, float, float]:
    """Median seconds an iteration, the loss after ITERATIONS, and after how many the loss is `wanted`; infinite where SPARE more are too few."""
    # a curve tells the loss between two half-steps, so the loss of whole iterations is computed like the peer's
    longer = train.model_copy(update={"iterations": ITERATIONS + SPARE})
    spent, curve = _seconds(rows, longer)
    users, recordings, _ = blocked.fit(rows, train, train.rank)
    x, y = (matrix(side.orderBy("idx").toArrow()["factors"]) for side in (users, recordings))
    needed = next(
        (n + 0.5 for n, loss in enumerate(curve) if loss <= wanted), np.inf
    )  # the users are half a step ahead there
    return spent, _loss(made, train, x, y), float(needed)


def _seconds(rows: DataFrame, train: TrainConfig) -> tuple[float, list[float]]:
    """Median seconds an iteration of `blocked`, and its curve."""
    told: list[float] = []
    *_, curve = blocked.fit(rows, train, train.rank, progress=lambda _: told.append(time.perf_counter()))
    return float(np.median(np.diff(told))), curve


def _mllib(rows: DataFrame, train: TrainConfig) -> float:
    """Seconds of the second iteration."""
    seconds: list[float] = []
    for iterations in (1, 2):
        began = time.perf_counter()
        users, _, _ = mllib.fit(
            rows, train.model_copy(update={"iterations": iterations, "reg": 1.0}), train.rank
        )
        users.count()
        seconds.append(time.perf_counter() - began)
    return seconds[1] - seconds[0]


def _loss(made: Log, train: TrainConfig, x: Any, y: Any) -> float:
    """The objective at ν = 0, observed pairs in slices."""
    total, wide = 0.0, (x.astype(np.float64), y.astype(np.float64))
    for start in range(0, len(made.user), 1 << 20):
        part = slice(start, start + (1 << 20))
        dot = (x[made.user[part]] * y[made.recording[part]]).sum(axis=1, dtype=np.float64)
        total += float(((1 + train.alpha * made.weight[part]) * (1 - dot) ** 2 - dot**2).sum())
    grams = [side.T @ side for side in wide]
    return total + float((grams[0] * grams[1]).sum()) + REG * float(np.trace(grams[0]) + np.trace(grams[1]))
