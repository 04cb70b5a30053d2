"""Users a second that are solved against fixed recordings, against one batched call of implicit's recalculate_user."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.als.blocks import pack
from trackpools.core.als.descent import eigenbasis
from trackpools.core.als.foldin import HalfStep
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import gain, one_core
from trackpools.shell.bench.logs import sized

STEPS = 6  # conjugate gradient steps: enough for a cosine of 0.999 with the exact solution
REG, ALPHA, RANK, USERS = 50.0, 5.0, 64, 20_000
REPEATS = 5  # of ours, which is too short to be timed once


def measure(_: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Both on every core; the least cosine between the two answers is a ratio too. implicit solves exactly."""
    from implicit.cpu.als import AlternatingLeastSquares

    tell("log: make interactions, and train recordings with implicit")
    made = sized(size)
    matrix, cores = made.csr(ALPHA), os.cpu_count() or 1
    model = AlternatingLeastSquares(
        factors=RANK, regularization=REG, alpha=1.0, iterations=3, random_state=1, num_threads=cores
    )
    with threadpool_limits(1, "blas"):
        model.fit(matrix, show_progress=False)
        users = min(USERS, made.users)
        some, everybody = matrix[:users], np.arange(users)
        spectrum, basis = eigenbasis(
            model.item_factors.astype(np.float64).T @ model.item_factors.astype(np.float64)
        )
        y, half = (
            (model.item_factors @ basis).astype(np.float32),
            HalfStep(spectrum.astype(np.float32), REG, 0.0, 0.0, STEPS),
        )
        catalogue, blocks = np.arange(made.recordings, dtype=np.int32), []
        for part in np.array_split(everybody, 4 * cores):
            rows = slice(*np.searchsorted(made.user, [part[0], part[-1] + 1]))
            blocks.append(pack(made.user[rows], made.recording[rows], ALPHA * made.weight[rows], catalogue))
        half.solve(blocks[0], y)

        def solve() -> Any:
            """The same, time and again."""
            with ThreadPoolExecutor(cores) as pool:
                return [
                    np.concatenate(list(pool.map(lambda block: half.solve(block, y), blocks))) @ basis.T
                    for _repeat in range(REPEATS)
                ][-1]

        found = Measured(
            [
                Ratio("fold-in ÷ implicit.recalculate_user, users/s", 1.5),
                Ratio("least cosine of a user", 0.999),
                gain(),
            ]
        )
        for number in range(1, rounds + 1):
            tell(f"round {number}")
            began = time.perf_counter()
            theirs = model.recalculate_user(everybody, some)
            between = time.perf_counter()
            ours = solve()
            ended = time.perf_counter()
            with one_core():
                solve()
            alone = REPEATS * users / (time.perf_counter() - ended)
            ratio = found.note("fold-in, users/s", REPEATS * users / (ended - between)) / found.note(
                "implicit, users/s", users / (between - began)
            )
            found.ratios[0].values.append(ratio)
            dots = (ours * theirs).sum(axis=1) / (
                np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
            )
            found.ratios[1].values.append(float(dots.min()))
            found.ratios[2].values.append(
                found.figures["fold-in, users/s"][-1] / found.note("fold-in on one core, users/s", alone)
            )
    return found
