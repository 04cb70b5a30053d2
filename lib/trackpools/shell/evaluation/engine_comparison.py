"""Rank recordings for the same users by baselines, ALS engines and the blend of all sources.

The task is to predict which recordings a user will hear for the first time. Each engine gives one list of
recordings for each user.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from trackpools import stages
from trackpools.config import ENGINES, Config, TrainConfig
from trackpools.core.evaluation.baselines import FactorScorer, Scorer
from trackpools.core.pools import batch
from trackpools.datasets.public_splits import PublicTestSet
from trackpools.errors import ConfigError, InputError
from trackpools.shell.evaluation import split_scoring
from trackpools.shell.measurement.pool_measures import EvaluationWindow
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.training.train import train
from trackpools.stage import Context, Frames

BLEND = "blend"
ALL_ENGINES = ("popularity", "item_knn", "ease", *ENGINES, BLEND)


@dataclass(frozen=True)
class EvaluationData:
    """The training data and the test users, which are the same for all engines.

    Attributes:
        flow: The flow that ran the stages.
        context: Context of the last stage, which builds the pools.
        read: Table name → frame, for the tables that the last stage reads.
        training: `user_idx, recording_idx, positive, negative`, computed from the plays before the cut.
        matrix: The pairs of `training` with a positive weight, as a csr matrix of ones, float32 [users,
            recordings].
        users: `user_idx` of the test users, int64. A user who is not in the log before the cut has a negative
            number.
        test_set: The users who heard anything new after the cut, in the order of `users`.
    """

    flow: Flow
    context: Context
    read: Frames
    training: DataFrame
    matrix: sparse.csr_matrix
    users: NDArray[np.int64]
    test_set: PublicTestSet


def build_evaluation_data(flow: Flow, past: EvaluationWindow, relevant: DataFrame) -> EvaluationData:
    """Build the data from the tables of a flow whose stages have run.

    Args:
        flow: The flow.
        past: What was known at the cut.
        relevant: `user_idx int, relevant array<int>`: the new recordings that each user heard after the cut.

    Raises:
        InputError: If no user heard anything new, or the log is too large for baselines on one machine.
    """
    c = flow.context(stages.BY_NAME["train"])
    training = stages.training_set(
        {name: flow.store.read(name, version) for name, version in c.versions.items()}, c
    )
    pairs = training.where("positive > 0")
    if (n := pairs.count()) > (most := flow.config.train.implicit_max_interactions):
        raise InputError(
            f"{n:,} user-recording pairs are too many for the driver (train.implicit_max_interactions={most:,}); measure only the pools: --engine {BLEND}"
        )
    rows = relevant.where(F.size("relevant") > 0).orderBy("user_idx").toArrow()
    if not rows.num_rows:
        raise InputError("no user heard anything for the first time after the cut; use a larger --share")
    users, wanted = (
        rows["user_idx"].to_numpy().astype(np.int64),
        [np.array(one, np.int64) for one in rows["relevant"].to_pylist()],
    )
    shape = tuple(past.read(name).count() for name in ("user_ids", "recording_ids"))
    matrix, heard = (_binary(frame, shape) for frame in (pairs, past.heard))
    known = np.where((users >= 0) & (np.diff(matrix.indptr, append=0)[np.maximum(users, 0)] > 0), users, -1)
    asked = PublicTestSet(known, _rows(matrix, users), wanted, None, [], _rows(heard, users))
    c = flow.context(stages.STAGES[-1])
    read = {name: flow.store.read(name, version) for name, version in c.versions.items()}
    return EvaluationData(flow, c, read, training, matrix, users, asked)


def _binary(pairs: DataFrame, shape: tuple[int, ...]) -> sparse.csr_matrix:
    table = pairs.select("user_idx", "recording_idx").toArrow()
    user, recording = (table[name].to_numpy() for name in table.column_names)
    return sparse.csr_matrix((np.ones(len(user), np.float32), (user, recording)), shape)


def _rows(matrix: sparse.csr_matrix, users: NDArray[np.int64]) -> sparse.csr_matrix:
    """Return the matrix row of each user, as a csr matrix [len(users), columns].

    The row of a user with a negative number is empty.
    """
    known = np.flatnonzero(users >= 0)
    return (
        sparse.csr_matrix(
            (np.ones(len(known), np.float32), (known, users[known])), (len(users), matrix.shape[0])
        )
        @ matrix
    )


def lists(of: EvaluationData, engine: str, longest: int) -> DataFrame:
    """Return the ranked recordings of each test user by one engine.

    Args:
        of: The data.
        engine: Name of the engine.
        longest: Greatest length of a list.

    Returns:
        `user_idx int, ranked array<int>`: the recordings for each user, best first, without recordings that
        the user had heard before. A user for whom the engine finds nothing has no row or an empty list.
    """
    if engine == BLEND:
        return _blended(of, longest)
    told = split_scoring.ranks(_scorer(of, engine), of.test_set, longest)
    ids = of.users.astype(np.int32)[told["user_idx"].to_numpy()]
    return of.flow.spark.createDataFrame(told.set_column(0, "user_idx", [ids]).select(["user_idx", "ranked"]))


def _scorer(of: EvaluationData, engine: str) -> Scorer:
    config = of.flow.config
    if engine not in ENGINES:
        return split_scoring.baseline(config, of.matrix, engine)
    if engine == config.train.engine:
        x, y = (
            of.read["user_factors"].select("idx", "factors"),
            of.read["recording_factors"].select("idx", "factors"),
        )
    else:
        fit = train(of.training, engine_config(config, engine))
        x, y = fit.users, fit.recordings
    return FactorScorer(
        *(split_scoring.dense(frame, n) for frame, n in zip((x, y), of.matrix.shape, strict=True))
    )


def engine_config(config: Config, engine: str) -> TrainConfig:
    """Return the `train` settings for another engine, with that engine's default λ and ν, and α₀ = 0."""
    values = config.train.model_dump() | {"engine": engine, "reg": None, "nu": None, "alpha0": 0.0}
    return TrainConfig.model_validate(values)


def _blended(of: EvaluationData, longest: int) -> DataFrame:
    """Return the result of `lists` for the blend: pools with new recordings only."""
    config = of.context.config
    pools = config.pools.model_copy(update={"heard": "exclude", "k": max(longest, config.pools.k)})
    inputs = stages.pool_inputs(
        of.read, replace(of.context, config=config.model_copy(update={"pools": pools}))
    )
    made = batch.pools(inputs, BLEND)
    return made.select("user_idx", F.slice(F.col("candidates.recording"), 1, longest).alias("ranked"))


def chosen(names: Sequence[str]) -> list[str]:
    """Return the chosen engines in the order of `ALL_ENGINES`; all engines if none is named.

    Raises:
        ConfigError: If an engine is unknown.
    """
    if unknown := [name for name in names if name not in ALL_ENGINES]:
        raise ConfigError(
            f"there is no engine {', '.join(map(repr, unknown))}; the engines are: {', '.join(ALL_ENGINES)}"
        )
    return [name for name in ALL_ENGINES if name in names] if names else list(ALL_ENGINES)
