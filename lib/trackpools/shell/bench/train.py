"""Benchmark of training: seconds for each iteration of the engine `blocked`, `implicit` and MLlib.

All engines train on the same interactions. The seconds of `blocked` include the overhead of Spark.
"""

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
from trackpools.core.als.factors import factor_matrix
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import Log, sized
from trackpools.shell.bench.workloads import gain, one_core, training
from trackpools.shell.spark.session import spark_session
from trackpools.shell.training import blocked, mllib

ITERATIONS = 6  # the first iteration is not timed, because it compiles code and fills caches
SPARE = 4  # further iterations in which `blocked` may reach the loss of `implicit`
REG, ALPHA = 50.0, 5.0


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Compare the engines by time and by loss, and `blocked` on all cores with `blocked` on one core.

    `blocked` and `implicit` have the same objective (ν = 0), rank and scale of the initial factors. MLlib
    supports only ν = 1 and is measured only once; it uses native BLAS if the machine has libblas.so.3.

    Returns:
        Ratios of `blocked` ÷ implicit: the seconds for each iteration, the seconds to implicit's loss, and
        the loss after the same number of iterations. Further ratios are all cores ÷ one core, and the seconds
        for each iteration of MLlib ÷ `blocked`.
    """
    progress("log: draw interactions")
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
            progress(f"round {number}: train with implicit, then with blocked")
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
        progress("MLlib: train 1 iteration, then 2")
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
    """Return implicit's median seconds for each iteration, and its loss after ITERATIONS iterations."""
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
    """Train with `blocked`.

    Args:
        rows: The training data.
        made: The same interactions as arrays.
        train: The `train` section.
        wanted: The loss to reach.

    Returns:
        The median seconds for each iteration, the loss after ITERATIONS iterations, and the number of
        iterations after which the loss is at most `wanted`; infinite if SPARE more iterations do not reach
        it.
    """
    # The loss curve has the loss after the users' half of an iteration. So the loss after whole iterations is
    # computed separately, in the same way as for `implicit`.
    longer = train.model_copy(update={"iterations": ITERATIONS + SPARE})
    spent, curve = _seconds(rows, longer)
    users, recordings, _ = blocked.fit(rows, train, train.rank)
    x, y = (factor_matrix(side.orderBy("idx").toArrow()["factors"]) for side in (users, recordings))
    needed = next(
        (n + 0.5 for n, loss in enumerate(curve) if loss <= wanted), np.inf
    )  # entry n of the curve is the loss after n iterations and the users' half of the next one
    return spent, _loss(made, train, x, y), float(needed)


def _seconds(rows: DataFrame, train: TrainConfig) -> tuple[float, list[float]]:
    """Return the median seconds for each iteration of `blocked`, and its loss curve."""
    told: list[float] = []
    *_, curve = blocked.fit(rows, train, train.rank, progress=lambda _: told.append(time.perf_counter()))
    return float(np.median(np.diff(told))), curve


def _mllib(rows: DataFrame, train: TrainConfig) -> float:
    """Return the seconds of MLlib's second iteration: training with 2 iterations less training with 1."""
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
    """Compute the objective of implicit ALS at ν = 0.

    The observed pairs are summed in slices of about a million, and all pairs by Gram matrices.

    Args:
        made: The interactions.
        train: The `train` section.
        x: User factors, float32 [users, rank].
        y: Recording factors, float32 [recordings, rank].
    """
    total, wide = 0.0, (x.astype(np.float64), y.astype(np.float64))
    for start in range(0, len(made.user), 1 << 20):
        part = slice(start, start + (1 << 20))
        dot = (x[made.user[part]] * y[made.recording[part]]).sum(axis=1, dtype=np.float64)
        total += float(((1 + train.alpha * made.weight[part]) * (1 - dot) ** 2 - dot**2).sum())
    grams = [side.T @ side for side in wide]
    return total + float((grams[0] * grams[1]).sum()) + REG * float(np.trace(grams[0]) + np.trace(grams[1]))
