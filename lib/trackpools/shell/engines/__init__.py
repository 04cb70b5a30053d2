"""Train ALS factors: preflight, one of the engines, and the loss in the one objective that all share."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als import objective
from trackpools.core.ids import INT32_MAX
from trackpools.errors import InputError

Engine = Callable[[DataFrame, TrainConfig, int], tuple[DataFrame, DataFrame, list[float]]]


@dataclass(frozen=True)
class Fit:
    """Factors and how training went.

    Attributes:
        users, recordings: `idx int, factors array<float>` of everything with evidence.
        curve: loss after each iteration, where the engine tells it.
        rank: the rank trained, lowered where the data has fewer users or recordings.
    """

    users: DataFrame
    recordings: DataFrame
    curve: list[float]
    rank: int
    warnings: list[str]


@dataclass(frozen=True)
class Shape:
    """What the training set holds."""

    rows: int
    users: int
    recordings: int


def preflight(training: DataFrame, config: TrainConfig) -> Shape:
    """Refuse what would kill or poison a training run.

    Raises:
        InputError: with every problem: empty, all-zero weights, NaN or infinite or negative weights, ids over int32.
    """
    bad = F.isnan("positive") | F.isnan("negative") | (F.abs("positive") == math.inf) | (F.abs("negative") == math.inf)
    row = training.agg(
        F.count(F.lit(1)).alias("rows"), F.countDistinct("user_idx").alias("users"), F.countDistinct("recording_idx").alias("recordings"),
        F.count_if(F.col("positive") > 0).alias("positive"), F.count_if(bad).alias("bad"),
        F.count_if((F.col("positive") < 0) | (F.col("negative") < 0)).alias("below"),
        F.greatest(F.max("user_idx"), F.max("recording_idx")).alias("top"),
    ).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    problems = []
    if row["rows"] == 0:
        problems.append("no interactions; import a log, or look at plays_rejected for what was refused")
    elif row["positive"] == 0:
        hint = "check --as-of, weights.half_life_days and ingest.min_rating"
        problems.append(f"all {row['rows']} weights are zero: no positive evidence at as_of; {hint}")
    if row["bad"]:
        problems.append(f"{row['bad']} weights are NaN or infinite; check weights.half_life_days and weights.landmark")
    if row["below"]:
        problems.append(f"{row['below']} weights are negative; interactions must be rebuilt")
    if row["top"] is not None and row["top"] > INT32_MAX:
        problems.append(f"an idx is {row['top']}, over int32 ({INT32_MAX}); the id tables hold more than engines can take")
    if config.regularisation <= 0:
        problems.append(f"train.reg is {config.regularisation}; it must be above 0, else a listener of one track has no solution")
    if config.engine == "implicit" and row["rows"] > config.implicit_max_interactions:
        limit = config.implicit_max_interactions
        problems.append(f"{row['rows']} interactions are above train.implicit_max_interactions={limit}; use --set train.engine=blocked")
    if problems:
        raise InputError("training cannot start", problems)
    return Shape(int(row["rows"]), int(row["users"]), int(row["recordings"]))


def train(training: DataFrame, config: TrainConfig) -> Fit:
    """Factors by the configured engine.

    Args:
        training: `user_idx int, recording_idx int, positive double, negative double`, read from a pinned table:
            engines visit it more than once, so it must not change between two reads.

    Raises:
        InputError: see `preflight`.
    """
    from trackpools.shell.engines import blocked, implicit, mllib

    shape = preflight(training, config)
    rank = min(config.rank, shape.users, shape.recordings)
    warnings = []
    if rank < config.rank:
        warnings.append(f"train.rank lowered from {config.rank} to {rank}: the data has {shape.users} users and {shape.recordings} recordings")
    engines: dict[str, Engine] = {"implicit": implicit.fit, "mllib": mllib.fit, "blocked": blocked.fit}
    users, recordings, curve = engines[config.engine](training, config, rank)
    return Fit(users, recordings, curve, rank, warnings)


def final_loss(training: DataFrame, users: DataFrame, recordings: DataFrame, config: TrainConfig) -> float:
    """The objective at the factors, computed the same way for every engine."""
    row = objective.loss(training, users, recordings, config).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return objective.total(row["fit"], row["user_grams"], row["recording_grams"], row["user_penalty"] + row["recording_penalty"])
