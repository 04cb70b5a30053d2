"""Benchmark of training on a sample of users: how much recall it loses and how many seconds it saves.

The users outside the sample are folded in after training.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.als.factors import factor_matrix
from trackpools.core.topk.exact import Ragged, top_k
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import Log, log
from trackpools.shell.bench.workloads import training
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.spark.session import spark_session
from trackpools.shell.training.train import train

# FRACTIONS: the shares of users to train on. EVERY: one user in this many is measured.
FRACTIONS, K, HELD_OUT_SHARE, EVERY = (0.05, 0.1, 0.25, 0.5, 1.0), 100, 0.2, 20


def _persist_until_closed(stack: ExitStack, frame: DataFrame) -> DataFrame:
    return stack.enter_context(persisted(frame))


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Train `blocked` on several shares of the users (FRACTIONS) and measure recall@100.

    About a fifth of the pairs is held out of training, and recall is measured for every 20th user. The log has
    200 kinds of taste, so that the recall is not near 1.

    Returns:
        Two ratios of training on 25 % of the users ÷ training on all users: recall@100, and seconds of training
        and fold-in together.
    """
    progress("log: draw interactions and hold out a fifth of them")
    users, recordings = size.of((100_000, 20_000), (10_000, 5_000))
    made = log(users, recordings, 50 * users, kinds=200)
    held = np.random.default_rng(2).random(len(made.user)) < HELD_OUT_SHARE
    ratio, speed = (
        Ratio("recall@100 at 25 % of the users ÷ all", 0.98),
        Ratio("seconds at 25 % of the users ÷ all", 1.0, at_most=True),
    )
    found, folder = Measured([ratio, speed]), Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
    try:
        known = replace(
            made, user=made.user[~held], recording=made.recording[~held], weight=made.weight[~held]
        )
        rows = training(spark_session(config.session), known, folder)
        for number in range(1, rounds + 1):
            recall, spent = {}, {}
            for fraction in FRACTIONS:
                progress(f"round {number}: {fraction:.0%} of the users")
                began = time.perf_counter()
                with ExitStack() as keeping:
                    x, y = _factors(
                        rows,
                        config,
                        fraction,
                        partial(_persist_until_closed, keeping),
                    )
                spent[fraction] = found.note(f"{fraction:.0%} of the users, s", time.perf_counter() - began)
                recall[fraction] = found.note(
                    f"{fraction:.0%} of the users, recall@{K}", _recall(made, held, x, y)
                )
            ratio.values.append(recall[0.25] / recall[1.0])
            speed.values.append(spent[0.25] / spent[1.0])
    finally:
        shutil.rmtree(folder)
    return found


def _factors(
    rows: DataFrame, config: Config, fraction: float, keep: Callable[[DataFrame], DataFrame]
) -> tuple[Any, Any]:
    """Train on a share of the users and fold in the others.

    Args:
        rows: The training data.
        config: The merged configuration.
        fraction: The share of the users to train on.
        keep: Persists a frame.

    Returns:
        Two arrays [largest idx + 1, rank], float32, indexed by idx: factors of every 20th user, and factors
        of all recordings. All other rows are 0. The factors of all users are computed, so that the time of
        the fold-in is complete.
    """
    own = config.train.model_copy(update={"engine": "blocked", "user_fraction": fraction})
    fit = train(rows, own, None, keep)
    people = keep(fit.users)
    people.count()
    x, y = (
        (side.orderBy("idx").toArrow()) for side in (people.where(F.col("idx") % EVERY == 0), fit.recordings)
    )
    out = []
    for side in (x, y):
        idx = side["idx"].to_numpy()
        whole = np.zeros((int(idx[-1]) + 1, fit.rank), np.float32)
        whole[idx] = factor_matrix(side["factors"])
        out.append(whole)
    return out[0], out[1]


def _recall(made: Log, held: Any, x: Any, y: Any) -> float:
    """Return recall@K: the mean over users of hits ÷ min(K, number of the user's held-out recordings).

    Args:
        made: The whole log.
        held: Whether each pair is held out, bool.
        x: User factors, [users, rank]; only every 20th row is used.
        y: Recording factors, [recordings, rank].
    """
    asked = np.arange(0, len(x), EVERY)
    known, wanted = (
        Ragged(np.searchsorted(made.user[part], np.arange(len(x) + 1)), made.recording[part])
        for part in (~held, held)
    )
    best = top_k(x[asked], y, np.arange(len(y), dtype=np.int32), known.pick(asked), K)
    shares = []
    for row, user in enumerate(asked):
        mine = wanted.values[wanted.offsets[user] : wanted.offsets[user + 1]]
        if len(mine):
            shares.append(np.isin(mine, best.idx[best.row == row]).sum() / min(K, len(mine)))
    return float(np.mean(shares))
