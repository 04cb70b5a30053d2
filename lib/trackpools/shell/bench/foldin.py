"""Users a second that are solved against fixed recordings, against one batched call of implicit's recalculate_user."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.als.blocks import pack
from trackpools.core.als.descent import eigenbasis
from trackpools.core.als.foldin import HalfStep
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.logs import sized

STEPS = 6  # conjugate gradient steps: enough for a cosine of 0.999 with the exact solution
REG, ALPHA, RANK, USERS = 50.0, 5.0, 64, 20_000


def measure(_: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Both on every core; the least cosine between the two answers is a ratio too. implicit solves exactly."""
    from implicit.cpu.als import AlternatingLeastSquares

    tell("log: make interactions, and train recordings with implicit")
    made = sized(size)
    matrix, cores = made.csr(ALPHA), os.cpu_count() or 1
    model = AlternatingLeastSquares(factors=RANK, regularization=REG, alpha=1.0, iterations=3, random_state=1, num_threads=cores)
    with threadpool_limits(1, "blas"):
        model.fit(matrix, show_progress=False)
        users = min(USERS, made.users)
        some, everybody = matrix[:users], np.arange(users)
        spectrum, basis = eigenbasis(model.item_factors.astype(np.float64).T @ model.item_factors.astype(np.float64))
        y, half = (model.item_factors @ basis).astype(np.float32), HalfStep(spectrum.astype(np.float32), REG, 0.0, 0.0, STEPS)
        catalogue, blocks = np.arange(made.recordings, dtype=np.int32), []
        for part in np.array_split(everybody, 4 * cores):
            rows = slice(*np.searchsorted(made.user, [part[0], part[-1] + 1]))
            blocks.append(pack(made.user[rows], made.recording[rows], ALPHA * made.weight[rows], catalogue))
        half.solve(blocks[0], y)
        found = Measured([Ratio("fold-in ÷ implicit.recalculate_user, users/s", 1.5), Ratio("least cosine of a user", 0.999)])
        for number in range(1, rounds + 1):
            tell(f"round {number}")
            began = time.perf_counter()
            theirs = model.recalculate_user(everybody, some)
            between = time.perf_counter()
            with ThreadPoolExecutor(cores) as pool:
                ours = np.concatenate(list(pool.map(lambda block: half.solve(block, y), blocks))) @ basis.T
            ended = time.perf_counter()
            ratio = found.note("fold-in, users/s", users / (ended - between)) / found.note("implicit, users/s", users / (between - began))
            found.ratios[0].values.append(ratio)
            dots = (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
            found.ratios[1].values.append(float(dots.min()))
    return found
