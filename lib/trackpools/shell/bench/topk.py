"""Users a second of the exact top-k kernel on every core, against implicit.recommend, a NumPy partition, and the GEMM alone."""

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.topk import CHUNK, Ragged, top_k
from trackpools.shell.bench import Measured, Ratio
from trackpools.shell.bench.logs import log

K, RANK = 200, 64


def measure(_: Config, quick: bool, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Top 200 without what a user heard, of 20 k recordings at rank 64; the answer itself is compared with a full sort in the tests."""
    tell("log: make factors and histories")
    users, recordings = (2_048, 20_000) if quick else (16_384, 20_000)
    made = log(users, recordings, 65 * users)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(users, RANK)).astype(np.float32)
    y = (rng.normal(size=(recordings, RANK)) * rng.lognormal(0, 0.5, (recordings, 1))).astype(np.float32)
    heard = Ragged(np.searchsorted(made.user, np.arange(users + 1)), made.recording)
    tried: dict[str, Callable[[], None]] = {
        "GEMM": lambda: _each_core(users, lambda part: _gemm(x[part], y)),
        "kernel": lambda: _each_core(users, lambda part: _ours(x, y, heard, part)),
        "implicit.recommend": _implicit(made.csr(1.0), x, y),
        "NumPy argpartition": lambda: _each_core(users, lambda part: _numpy(x[part], y, heard, part)),
    }
    goals = [Ratio("kernel ÷ implicit.recommend", 2.5), Ratio("kernel ÷ GEMM", 0.6), Ratio("kernel ÷ NumPy argpartition", 1.0)]
    found = Measured(goals)
    with threadpool_limits(1, "blas"):
        for run in tried.values():  # compiles, and touches every page
            run()
        for number in range(1, rounds + 1):
            tell(f"round {number}")
            rates = {}
            for name, run in tried.items():
                began = time.perf_counter()
                run()
                rates[name] = found.note(f"{name}, users/s", users / (time.perf_counter() - began))
            for goal in goals:
                goal.values.append(rates["kernel"] / rates[goal.name.removeprefix("kernel ÷ ")])
    return found


def _each_core(users: int, work: Callable[[slice], Any]) -> None:
    cores = os.cpu_count() or 1
    edges = [users * core // cores for core in range(cores + 1)]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(work, [slice(*pair) for pair in itertools.pairwise(edges)]))


def _gemm(x: Any, y: Any) -> None:
    scores = np.empty((CHUNK, len(y)), np.float32)
    for start in range(0, len(x) - CHUNK + 1, CHUNK):
        np.matmul(x[start : start + CHUNK], y.T, out=scores)


def _ours(x: Any, y: Any, heard: Ragged, part: slice) -> None:
    offsets = heard.offsets[part.start : part.stop + 1]
    mine = Ragged(offsets - offsets[0], heard.values[offsets[0] : offsets[-1]])
    top_k(x[part], y, np.arange(len(y), dtype=np.int32), mine, K)


def _numpy(x: Any, y: Any, heard: Ragged, part: slice) -> None:
    for start in range(0, len(x), CHUNK):
        scores = x[start : start + CHUNK] @ y.T
        rows, values = heard.of(part.start + start, part.start + start + len(scores))
        scores[rows, values] = -np.inf
        best = np.argpartition(scores, len(y) - K, axis=1)[:, len(y) - K :]
        np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)


def _implicit(matrix: Any, x: Any, y: Any) -> Callable[[], None]:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=RANK, num_threads=os.cpu_count())
    model.user_factors, model.item_factors = x, y
    everybody = np.arange(len(x))
    return lambda: model.recommend(everybody, matrix, N=K, filter_already_liked_items=True) and None
