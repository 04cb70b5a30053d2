"""Benchmark of approximate top-k: its speed and recall against the exact kernel, on all cores.

The factors are trained by `blocked`, with a few iterations on a log of 200 kinds of taste. Random factors are
not used, because they have no neighbourhoods that an index could find.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.als.factors import factor_matrix
from trackpools.core.topk import approximate
from trackpools.core.topk.exact import Allowed, Ragged, Scored
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import Log, log
from trackpools.shell.bench.workloads import RANK, each_core, seconds, training
from trackpools.shell.spark.session import spark_session
from trackpools.shell.training import blocked

# K: recordings of an answer. KINDS: kinds of taste in the log. EACH: interactions to draw for each user.
# EXACT_USERS, NEAR_USERS: users of a timed exact and approximate search. HARD_USERS: users in the hard cases
# with a filter. HEAVY: recordings that each of HEAVY_USERS users heard, in another hard case.
K, KINDS, ITERATIONS, EACH = 200, 200, 3, 130
EXACT_USERS, NEAR_USERS, HARD_USERS, HEAVY_USERS, HEAVY = 4096, 16_384, 256, 64, 5000
BLOCKS = 2  # blocks of users in training


@dataclass(frozen=True)
class AnnWorkload:
    """Trained factors, and the recordings that users heard.

    Attributes:
        x: Factors of the users below NEAR_USERS that have any, float32 [users, rank].
        y: Factors of all trained recordings, float32 [recordings, rank].
        idx: `recording_idx` of each row of `y`, ascending.
        heard: The recordings that each user of `x` heard.
    """

    x: Any
    y: Any
    idx: Any
    heard: Ragged


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Measure the top 200 without the recordings that a user heard.

    Returns:
        Ratios: users for each second of the approximate ÷ the exact search, and the recall of the approximate
        search. Figures include the size and build time of the index, and the recall in three hard cases: only
        60 of the 200 kinds are allowed; two thirds of all recordings are allowed; the users heard their 5,000
        best recordings already.
    """
    users, recordings = size.of((60_000, 1_000_000), (20_000, 100_000))
    progress(f"log: draw interactions of {recordings:,} recordings and train factors")
    world = _trained(config, log(users, recordings, EACH * users, kinds=KINDS))
    effort, index = approximate.SearchEffort(config.topk.reach, config.topk.fetch), []
    speed, share = Ratio("approximate ÷ exact, users/s", 5.0), Ratio("recall@200", 0.95)
    found = Measured([speed, share], {"recordings": [float(len(world.y))]})
    approximate.import_faiss()  # threadpool_limits limits only libraries that are loaded
    with threadpool_limits(1):
        progress("index: build it")
        found.note("index, s on one core", seconds(lambda: index.append(approximate.build_index(world.y))))
        found.note("index, bytes a recording", len(index[0]) / len(world.y))
        near = _near(world, approximate.load_index(index[0]), effort)
        _each_core(64, near), _each_core(64, _exact(world))  # compile the code and touch every page of memory
        for number in range(1, rounds + 1):
            progress(f"round {number}")
            told: dict[str, Scored] = {}
            exact_s = seconds(lambda told=told: told.update(exact=_each_core(EXACT_USERS, _exact(world))))  # type: ignore[misc]
            near_s = seconds(lambda told=told: told.update(near=_each_core(len(world.x), near)))  # type: ignore[misc]
            rates = (
                found.note("approximate, users/s", len(world.x) / near_s),
                found.note("exact, users/s", EXACT_USERS / exact_s),
            )
            speed.values.append(rates[0] / rates[1])
            share.values.append(_recall(told["near"], told["exact"]))
        progress("recall: measure the hard cases")
        for name, value in _hard(world, approximate.load_index(index[0]), effort).items():
            found.note(name, value)
    return found


def _trained(config: Config, made: Log) -> AnnWorkload:
    """Train on the log; keep the factors of the users below NEAR_USERS and of all recordings."""
    folder = Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
    own = config.train.model_copy(
        update={"engine": "blocked", "rank": RANK, "iterations": ITERATIONS, "blocks": BLOCKS}
    )
    try:
        people, catalogue, _ = blocked.fit(training(spark_session(config.session), made, folder), own, RANK)
        some, everything = (
            people.where(F.col("idx") < NEAR_USERS).orderBy("idx").toArrow(),
            catalogue.toArrow(),
        )
    finally:
        shutil.rmtree(folder)
    idx, asked = everything["idx"].to_numpy(), some["idx"].to_numpy()
    edges = np.searchsorted(made.user, np.arange(NEAR_USERS + 1))
    heard = Ragged(
        np.concatenate([[0], np.cumsum(np.diff(edges)[asked])]), made.recording[: edges[-1]]
    )  # users who heard nothing have no factors, so they are left out here too
    return AnnWorkload(
        factor_matrix(some["factors"]),
        factor_matrix(everything["factors"])[np.argsort(idx)],
        np.sort(idx),
        heard,
    )


def _each_core(users: int, work: Callable[[slice], Scored]) -> Scored:
    """Run the work for the first users, one part on each core, and join the results.

    OpenMP limits the number of threads separately for each calling thread, so each thread sets its own limit.
    """

    def alone(part: slice) -> Scored:
        approximate.import_faiss().omp_set_num_threads(1)
        return work(part)

    made = each_core(users, alone)
    rows = [one.row + part.start for part, one in made]
    return Scored(
        np.concatenate(rows),
        *(np.concatenate([getattr(one, name) for _, one in made]) for name in ("idx", "score")),
    )


def _mine(heard: Ragged, part: slice) -> Ragged:
    return heard.pick(np.arange(part.start, part.stop))


def _exact(world: AnnWorkload) -> Callable[[slice], Scored]:
    return lambda part: approximate.exact_in_pieces(
        world.x[part], world.y, world.idx, _mine(world.heard, part), K
    )


def _near(world: AnnWorkload, index: Any, effort: approximate.SearchEffort) -> Callable[[slice], Scored]:
    return lambda part: approximate.top_k(
        world.x[part], world.y, world.idx, _mine(world.heard, part), K, index=index, effort=effort
    )


def _recall(near: Scored, exact: Scored) -> float:
    """Return the share of the exact search's (user, recording) pairs that the approximate search found."""
    pairs = [one.row.astype(np.int64) << 32 | one.idx for one in (near, exact)]
    return float(np.isin(pairs[1], pairs[0]).mean())


def _hard(world: AnnWorkload, index: Any, effort: approximate.SearchEffort) -> dict[str, float]:
    """Return name of the figure → recall, for the cases in which a search with filters fails first."""
    some, few = slice(0, HARD_USERS), slice(0, HEAVY_USERS)
    masks = {
        "a market with 60 of 200 kinds": world.idx % KINDS < 60,
        "without explicit, a third": world.idx % 3 > 0,
    }
    out = {}
    for name, mask in masks.items():
        allowed = Allowed(np.zeros(HARD_USERS, np.int32), mask[None])
        asked = (world.x[some], world.y, world.idx, _mine(world.heard, some), K)
        out[f"recall@{K}, {name}"] = _recall(
            approximate.top_k(*asked, index=index, effort=effort, allowed=allowed),
            approximate.exact_in_pieces(*asked, allowed=allowed),
        )
    none = Ragged(np.zeros(HEAVY_USERS + 1, np.int64), np.empty(0, np.int32))
    heard = approximate.exact_in_pieces(world.x[few], world.y, world.idx, none, HEAVY)
    masked = Ragged(np.searchsorted(heard.row, np.arange(HEAVY_USERS + 1)), heard.idx)
    asked = (world.x[few], world.y, world.idx, masked, K)
    out[f"recall@{K}, the {HEAVY:,} best heard"] = _recall(
        approximate.top_k(*asked, index=index, effort=effort), approximate.exact_in_pieces(*asked)
    )
    return out
