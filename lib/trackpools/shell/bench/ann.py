"""Approximate top-k against the exact kernel on every core: how much faster, and how much of the exact answer it finds.

Factors are trained, for random ones have no neighbourhoods that an index could use: `blocked`, a few iterations on a log of 200 kinds of taste.
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
from trackpools.core import ann
from trackpools.core.als.factors import matrix
from trackpools.core.topk import Allowed, Ragged, Scored
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import RANK, each_core, seconds, training
from trackpools.shell.bench.logs import Log, log
from trackpools.shell.engines import blocked
from trackpools.shell.session import spark_session

K, KINDS, ITERATIONS, EACH = 200, 200, 3, 130
EXACT_USERS, NEAR_USERS, HARD_USERS, HEAVY_USERS, HEAVY = 4096, 16_384, 256, 64, 5000
BLOCKS = 2


@dataclass(frozen=True)
class World:
    """Trained factors of some users and of all recordings, their idx, and what each of those users heard."""

    x: Any
    y: Any
    idx: Any
    heard: Ragged


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Top 200 without what a user heard; recall for all, a market that may have 60 of the 200 kinds, two thirds of everything, and 5,000 heard."""
    users, recordings = size.of((60_000, 1_000_000), (20_000, 100_000))
    tell(f"log and training: {recordings:,} recordings")
    world = _trained(config, log(users, recordings, EACH * users, kinds=KINDS))
    effort, index = ann.Effort(config.topk.reach, config.topk.fetch), []
    speed, share = Ratio("approximate ÷ exact, users/s", 5.0), Ratio("recall@200", 0.95)
    found = Measured([speed, share], {"recordings": [float(len(world.y))]})
    ann.library()  # before its threads can be limited
    with threadpool_limits(1):
        tell("index")
        found.note("index, s on one core", seconds(lambda: index.append(ann.build(world.y))))
        found.note("index, bytes a recording", len(index[0]) / len(world.y))
        near = _near(world, ann.load(index[0]), effort)
        _each_core(64, near), _each_core(64, _exact(world))  # compiles, and touches every page
        for number in range(1, rounds + 1):
            tell(f"round {number}")
            told: dict[str, Scored] = {}
            exact_s = seconds(lambda told=told: told.update(exact=_each_core(EXACT_USERS, _exact(world))))  # type: ignore[misc]
            near_s = seconds(lambda told=told: told.update(near=_each_core(len(world.x), near)))  # type: ignore[misc]
            rates = (
                found.note("approximate, users/s", len(world.x) / near_s),
                found.note("exact, users/s", EXACT_USERS / exact_s),
            )
            speed.values.append(rates[0] / rates[1])
            share.values.append(_recall(told["near"], told["exact"]))
        tell("the hard cases")
        for name, value in _hard(world, ann.load(index[0]), effort).items():
            found.note(name, value)
    return found


def _trained(config: Config, made: Log) -> World:
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
    )  # who heard nothing has no factors
    return World(matrix(some["factors"]), matrix(everything["factors"])[np.argsort(idx)], np.sort(idx), heard)


def _each_core(users: int, work: Callable[[slice], Scored]) -> Scored:
    """The work of the first users, one part a core; every thread limits its own OpenMP."""

    def alone(part: slice) -> Scored:
        ann.library().omp_set_num_threads(1)
        return work(part)

    made = each_core(users, alone)
    rows = [one.row + part.start for part, one in made]
    return Scored(
        np.concatenate(rows),
        *(np.concatenate([getattr(one, name) for _, one in made]) for name in ("idx", "score")),
    )


def _mine(heard: Ragged, part: slice) -> Ragged:
    return heard.pick(np.arange(part.start, part.stop))


def _exact(world: World) -> Callable[[slice], Scored]:
    return lambda part: ann.exact(world.x[part], world.y, world.idx, _mine(world.heard, part), K)


def _near(world: World, index: Any, effort: ann.Effort) -> Callable[[slice], Scored]:
    return lambda part: ann.top_k(
        world.x[part], world.y, world.idx, _mine(world.heard, part), K, index=index, effort=effort
    )


def _recall(near: Scored, exact: Scored) -> float:
    """Share of the exact pairs that are found, of the users of the exact answer."""
    pairs = [one.row.astype(np.int64) << 32 | one.idx for one in (near, exact)]
    return float(np.isin(pairs[1], pairs[0]).mean())


def _hard(world: World, index: Any, effort: ann.Effort) -> dict[str, float]:
    """Recall where filtered search breaks first."""
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
            ann.top_k(*asked, index=index, effort=effort, allowed=allowed), ann.exact(*asked, allowed=allowed)
        )
    none = Ragged(np.zeros(HEAVY_USERS + 1, np.int64), np.empty(0, np.int32))
    heard = ann.exact(world.x[few], world.y, world.idx, none, HEAVY)
    masked = Ragged(np.searchsorted(heard.row, np.arange(HEAVY_USERS + 1)), heard.idx)
    asked = (world.x[few], world.y, world.idx, masked, K)
    out[f"recall@{K}, the {HEAVY:,} best heard"] = _recall(
        ann.top_k(*asked, index=index, effort=effort), ann.exact(*asked)
    )
    return out
