"""What training on a sample of users costs in recall, everybody folded in afterwards; and what it saves in seconds."""

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.als.factors import matrix
from trackpools.core.topk import Ragged, top_k
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import training
from trackpools.shell.bench.logs import Log, log
from trackpools.shell.engines import train
from trackpools.shell.kept import kept
from trackpools.shell.session import spark_session

FRACTIONS, K, HELD, EVERY = (0.05, 0.1, 0.25, 0.5, 1.0), 100, 0.2, 20


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """recall@100 of a fifth of each user's recordings, of every 20th user, by `blocked`; 200 kinds of taste make the world hard enough."""
    tell("log: make interactions and hold a fifth of them out")
    users, recordings = size.of((100_000, 20_000), (10_000, 5_000))
    made = log(users, recordings, 50 * users, kinds=200)
    held = np.random.default_rng(2).random(len(made.user)) < HELD
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
                tell(f"round {number}: {fraction:.0%} of the users")
                began = time.perf_counter()
                with ExitStack() as keeping:
                    x, y = _factors(
                        rows, config, fraction, lambda frame, stack=keeping: stack.enter_context(kept(frame))
                    )  # type: ignore[misc]
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
    """Factors of the users asked, by idx, and of all recordings; zeros where there are none. Everybody's are computed."""
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
        whole[idx] = matrix(side["factors"])
        out.append(whole)
    return out[0], out[1]


def _recall(made: Log, held: Any, x: Any, y: Any) -> float:
    """Mean over users of hits ÷ min(K, held out)."""
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
