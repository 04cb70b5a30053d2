"""Benchmark of exact top-k: users for each second, of our kernel and of other ways (its peers).

The peers on all cores are `recommend` of the package `implicit`, NumPy's argpartition, and the matrix product
(GEMM) alone. The kernel is also run by Spark, and compared with MLlib.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.pools import batch
from trackpools.core.topk.exact import Ragged, top_k
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import log
from trackpools.shell.bench.workloads import (
    RANK,
    Inputs,
    each_core,
    factors,
    gain,
    one_core,
    only,
    seconds,
)
from trackpools.shell.spark.session import spark_session

K, KERNEL_USERS, MLLIB_USERS = 200, 16_384, 1024
CHUNK = 128  # users of each matrix product of the peers
# (side, other side, goal for the speed of the first ÷ the second)
GOALS = (
    ("kernel", "implicit.recommend", 2.5),
    ("kernel", "GEMM", 0.6),
    ("kernel", "NumPy argpartition", 1.0),
    ("through Spark", "kernel", 0.6),
    ("through Spark", "MLlib", 50.0),
)


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Measure the top 200 of 20,000 recordings at rank 64, without the recordings that a user heard.

    Only the speed is measured here; the tests compare the result of the kernel with a full sort.

    Returns:
        The ratios of GOALS, in users for each second, and all cores ÷ one core.
    """
    progress("log: draw factors and histories, and write the tables")
    users, recordings = size.of((138_000, 20_000), (KERNEL_USERS, 20_000))
    made = log(users, recordings, 65 * users)
    x, y = factors(users, recordings)
    heard = Ragged(np.searchsorted(made.user, np.arange(users + 1)), made.recording)
    some = slice(0, KERNEL_USERS)
    tried: dict[str, Callable[[], Any]] = {
        "GEMM": lambda: each_core(KERNEL_USERS, lambda part: _gemm(x[part], y)),
        "kernel": lambda: each_core(KERNEL_USERS, lambda part: _ours(x, y, heard, part)),
        "implicit.recommend": _implicit(made.csr(1.0)[some], x[some], y),
        "NumPy argpartition": lambda: each_core(KERNEL_USERS, lambda part: _numpy(x[part], y, heard, part)),
    }
    cores = gain()
    sizes = dict.fromkeys(tried, KERNEL_USERS) | {"through Spark": users, "MLlib": MLLIB_USERS}
    found = Measured([*(Ratio(f"{one} ÷ {other}", goal) for one, other, goal in GOALS), cores])
    tables = Inputs(spark_session(config.session.model_copy(update={"quick_start": size.quick})), made, x, y)
    try:
        tried |= {"through Spark": _source(tables, config), "MLlib": _mllib(tables)}
        with threadpool_limits(1, "blas"):
            for run in tried.values():  # compiles the code and touches every page of memory
                run()
            for number in range(1, rounds + 1):
                progress(f"round {number}")
                rates = {
                    name: found.note(f"{name}, users/s", sizes[name] / seconds(run))
                    for name, run in tried.items()
                }
                with one_core():
                    alone = found.note("kernel on one core, users/s", KERNEL_USERS / seconds(tried["kernel"]))
                cores.values.append(rates["kernel"] / alone)
                for ratio, (one, other, _) in zip(found.ratios[:-1], GOALS, strict=True):
                    ratio.values.append(rates[one] / rates[other])
    finally:
        tables.drop()
    return found


def _gemm(x: Any, y: Any) -> None:
    """Compute the scores of all pairs and nothing else, CHUNK users at a time."""
    scores = np.empty((CHUNK, len(y)), np.float32)
    for start in range(0, len(x) - CHUNK + 1, CHUNK):
        np.matmul(x[start : start + CHUNK], y.T, out=scores)


def _ours(x: Any, y: Any, heard: Ragged, part: slice) -> None:
    """Run our kernel on a slice of the users."""
    top_k(x[part], y, np.arange(len(y), dtype=np.int32), heard.pick(np.arange(part.start, part.stop)), K)


def _numpy(x: Any, y: Any, heard: Ragged, part: slice) -> None:
    """Find the top K with NumPy alone: scores, a mask, a partition and a sort of the K best.

    Args:
        x: Factors of the users of the slice, float32 [users, rank].
        y: Factors of all recordings, float32 [recordings, rank].
        heard: The recordings that each of all users heard.
        part: The slice of all users to which `x` belongs.
    """
    for start in range(0, len(x), CHUNK):
        scores = x[start : start + CHUNK] @ y.T
        rows, values = heard.of(part.start + start, part.start + start + len(scores))
        scores[rows, values] = -np.inf
        best = np.argpartition(scores, len(y) - K, axis=1)[:, len(y) - K :]
        np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)


def _implicit(matrix: Any, x: Any, y: Any) -> Callable[[], None]:
    """Return a call of implicit.recommend on given factors, without what each user heard (`matrix`)."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=RANK, num_threads=os.cpu_count())
    model.user_factors, model.item_factors = x, y
    everybody = np.arange(len(x))
    return lambda: model.recommend(everybody, matrix, N=K, filter_already_liked_items=True) and None


def _source(tables: Inputs, config: Config) -> Callable[[], None]:
    """Return a call that runs the source `als`: it writes K new recordings for each user as parquet."""
    settings = only(config, {"als": {"k": K, "k_heard": 0}})
    given = tables.inputs(
        settings.model_copy(update={"pools": config.pools.model_copy(update={"heard": "exclude"})})
    )
    return lambda: batch.candidates(given).write.mode("overwrite").parquet(str(tables.folder / "candidates"))


def _mllib(tables: Inputs) -> Callable[[], None]:
    """Train MLlib's model and return a call that recommends K recordings to the first MLLIB_USERS users.

    MLlib does not leave out heard recordings. One iteration of training is enough, because the time to
    recommend does not depend on the values of the factors.
    """
    from pyspark.ml.recommendation import ALS

    ratings = (
        tables.read("history")
        .where(F.col("user_idx") < MLLIB_USERS)
        .select("user_idx", "recording_idx", F.lit(1.0).alias("rating"))
    )
    everything = tables.read("recording_factors").select(
        F.lit(0).alias("user_idx"), F.col("idx").alias("recording_idx"), F.lit(1.0).alias("rating")
    )
    trainer = ALS(
        rank=RANK,
        maxIter=1,
        implicitPrefs=True,
        userCol="user_idx",
        itemCol="recording_idx",
        ratingCol="rating",
        seed=1,
    )
    model = trainer.fit(ratings.unionByName(everything).distinct())
    some = tables.read("users").where(F.col("user_idx") < MLLIB_USERS)
    return lambda: (
        model.recommendForUserSubset(some, K).write.mode("overwrite").parquet(str(tables.folder / "mllib"))
    )
