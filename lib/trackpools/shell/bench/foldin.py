"""Benchmark of fold-in: users for each second, compared with `recalculate_user` of `implicit`.

Both sides compute user factors from the same fixed recording factors; `implicit` does so in one call for all
users.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.als.blocks import pack
from trackpools.core.als.fold_in_users import HalfStep
from trackpools.core.als.item_solver import eigenbasis
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import sized
from trackpools.shell.bench.workloads import gain, one_core

STEPS = 6  # conjugate gradient steps, enough for a cosine of 0.999 with the exact solution
REG, ALPHA, RANK, USERS = 50.0, 5.0, 64, 20_000
REPEATS = 5  # runs of our side that are timed together, because one run is too short to time


def measure(_: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Compare speed and result of both sides on all cores; `implicit` solves exactly.

    Returns:
        Ratios: users for each second of trackpools ÷ `implicit`; the smallest cosine, over users, between the
        factors of both sides; and the speed on all cores ÷ on one core.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    progress("log: draw interactions and train recordings with implicit")
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
            """Solve all users REPEATS times and return the factors of the last run."""
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
            progress(f"round {number}")
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
