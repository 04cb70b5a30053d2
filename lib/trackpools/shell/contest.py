"""Baselines, ALS engines and the blend asked the same: which recordings will these listeners hear for the first time? One list a listener each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from trackpools import stages
from trackpools.config import ENGINES, Config, TrainConfig
from trackpools.core import assemble
from trackpools.core.baselines import Factors, Scorer
from trackpools.datasets.splits import Asked
from trackpools.errors import ConfigError, InputError
from trackpools.shell import engines, published
from trackpools.shell.flow import Flow
from trackpools.shell.measuring import Past
from trackpools.stage import Context, Frames

BLEND = "blend"
ALL_ENGINES = ("popularity", "item_knn", "ease", *ENGINES, BLEND)


@dataclass(frozen=True)
class Ground:
    """What everybody is given and asked.

    Attributes:
        training: `user_idx, recording_idx, positive, negative` before the cut.
        matrix: its positive pairs, binary csr [users, recordings].
        asked: the listeners with anything new afterwards; `users` their user_idx, int64.
    """

    flow: Flow
    context: Context
    read: Frames
    training: DataFrame
    matrix: Any
    users: Any
    asked: Asked


def ground(flow: Flow, past: Past, relevant: DataFrame) -> Ground:
    """Of a flow that has run; `relevant` is `user_idx, relevant array<int>`.

    Raises:
        InputError: where nobody heard anything new, or where the log is too large for one machine's baselines.
    """
    c = flow.context(stages.BY_NAME["train"])
    training = stages.training_set(
        {name: flow.store.read(name, version) for name, version in c.versions.items()}, c
    )
    pairs = training.where("positive > 0")
    if (n := pairs.count()) > (most := flow.config.train.implicit_max_interactions):
        raise InputError(
            f"{n:,} pairs are too many for the driver (train.implicit_max_interactions={most:,}); measure pools alone: --engine {BLEND}"
        )
    rows = relevant.where(F.size("relevant") > 0).orderBy("user_idx").toArrow()
    if not rows.num_rows:
        raise InputError("nobody heard anything for the first time after the cut; choose an earlier one")
    users, wanted = (
        rows["user_idx"].to_numpy().astype(np.int64),
        [np.array(one, np.int64) for one in rows["relevant"].to_pylist()],
    )
    shape = tuple(past.read(name).count() for name in ("user_ids", "recording_ids"))
    matrix, heard = (_binary(frame, shape) for frame in (pairs, past.heard))
    known = np.where((users >= 0) & (np.diff(matrix.indptr, append=0)[np.maximum(users, 0)] > 0), users, -1)
    asked = Asked(known, _rows(matrix, users), wanted, None, [], _rows(heard, users))
    c = flow.context(stages.STAGES[-1])
    read = {name: flow.store.read(name, version) for name, version in c.versions.items()}
    return Ground(flow, c, read, training, matrix, users, asked)


def _binary(pairs: DataFrame, shape: tuple[int, ...]) -> Any:
    table = pairs.select("user_idx", "recording_idx").toArrow()
    user, recording = (table[name].to_numpy() for name in table.column_names)
    return sparse.csr_matrix((np.ones(len(user), np.float32), (user, recording)), shape)


def _rows(matrix: Any, users: Any) -> Any:
    """Of each user the row; an empty one of who has no number."""
    known = np.flatnonzero(users >= 0)
    return (
        sparse.csr_matrix(
            (np.ones(len(known), np.float32), (known, users[known])), (len(users), matrix.shape[0])
        )
        @ matrix
    )


def lists(of: Ground, engine: str, longest: int) -> DataFrame:
    """`user_idx, ranked array<int>`, best first, nothing heard before; who cannot be served has no row or an empty list."""
    if engine == BLEND:
        return _blended(of, longest)
    told = published.ranks(_scorer(of, engine), of.asked, longest)
    ids = of.users.astype(np.int32)[told["user_idx"].to_numpy()]
    return of.flow.spark.createDataFrame(told.set_column(0, "user_idx", [ids]).select(["user_idx", "ranked"]))


def _scorer(of: Ground, engine: str) -> Scorer:
    config = of.flow.config
    if engine not in ENGINES:
        return published.baseline(config, of.matrix, engine)
    if engine == config.train.engine:
        x, y = (
            of.read["user_factors"].select("idx", "factors"),
            of.read["recording_factors"].select("idx", "factors"),
        )
    else:
        fit = engines.train(of.training, as_told(config, engine))
        x, y = fit.users, fit.recordings
    return Factors(*(published.dense(frame, n) for frame, n in zip((x, y), of.matrix.shape, strict=True)))


def as_told(config: Config, engine: str) -> TrainConfig:
    """The settings of training for another engine than the configured: λ, ν and α₀ are that engine's own."""
    values = config.train.model_dump() | {"engine": engine, "reg": None, "nu": None, "alpha0": 0.0}
    return TrainConfig.model_validate(values)


def _blended(of: Ground, longest: int) -> DataFrame:
    """Pools as they would be if only the new were wanted."""
    config = of.context.config
    pools = config.pools.model_copy(update={"heard": "exclude", "k": max(longest, config.pools.k)})
    inputs = stages.source_inputs(
        of.read, replace(of.context, config=config.model_copy(update={"pools": pools}))
    )
    made = assemble.pools(inputs, assemble.candidates(inputs), inputs.as_of, BLEND)
    return made.select("user_idx", F.slice(F.col("candidates.recording"), 1, longest).alias("ranked"))


def chosen(names: Sequence[str]) -> list[str]:
    """The engines asked for, in our order.

    Raises:
        ConfigError: for one that nobody knows.
    """
    if unknown := [name for name in names if name not in ALL_ENGINES]:
        raise ConfigError(
            f"no engine is called {', '.join(map(repr, unknown))}; known: {', '.join(ALL_ENGINES)}"
        )
    return [name for name in ALL_ENGINES if name in names] if names else list(ALL_ENGINES)
