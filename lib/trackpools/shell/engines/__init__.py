"""Train ALS factors: preflight, one of the engines, and the loss in the one objective that all share."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als import objective, plan, sample
from trackpools.core.als.factors import as_table, matrix
from trackpools.core.als.foldin import fold_in, signed
from trackpools.core.als.foldin_recordings import fold_in_recordings, grams, groups
from trackpools.core.als.foldin_stripes import fold_in_by_stripes
from trackpools.core.ids import INT32_MAX
from trackpools.errors import InputError
from trackpools.shell.cluster import require_classic

Engine = Callable[[DataFrame, TrainConfig, int], tuple[DataFrame, DataFrame, list[float]]]


@dataclass(frozen=True)
class Shape:
    """What a training set holds."""

    rows: int
    users: int
    recordings: int


@dataclass(frozen=True)
class Fit:
    """Factors and how training went.

    Attributes:
        users, recordings: `idx int, factors array<float>` of everything with evidence.
        curve: loss after each iteration, where the engine tells it.
        rank: the rank trained, lowered where the data has fewer users or recordings.
        trained: what the engine was given; a sample where configured.
    """

    users: DataFrame
    recordings: DataFrame
    curve: list[float]
    rank: int
    trained: Shape
    warnings: list[str]


def preflight(training: DataFrame, config: TrainConfig, *, trained: bool = True) -> Shape:
    """Refuse what would kill or poison a training run; what is not `trained`, for it is folded in only, may be of any size.

    Raises:
        InputError: with every problem: empty, all-zero weights, NaN or infinite or negative weights, ids over int32.
    """
    bad = (
        F.isnan("positive")
        | F.isnan("negative")
        | (F.abs("positive") == math.inf)
        | (F.abs("negative") == math.inf)
    )
    row = training.agg(
        F.count(F.lit(1)).alias("rows"),
        F.countDistinct("user_idx").alias("users"),
        F.countDistinct("recording_idx").alias("recordings"),
        F.count_if(F.col("positive") > 0).alias("positive"),
        F.count_if(bad).alias("bad"),
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
        problems.append(
            f"{row['bad']} weights are NaN or infinite; check weights.half_life_days and weights.landmark"
        )
    if row["below"]:
        problems.append(f"{row['below']} weights are negative; interactions must be rebuilt")
    if row["top"] is not None and row["top"] > INT32_MAX:
        problems.append(
            f"an idx is {row['top']}, over int32 ({INT32_MAX}); the id tables hold more than engines can take"
        )
    if config.regularisation <= 0:
        problems.append(
            f"train.reg is {config.regularisation}; it must be above 0, else a listener of one track has no solution"
        )
    if trained and config.engine == "implicit" and row["rows"] > config.implicit_max_interactions:
        limit = config.implicit_max_interactions
        instead = "use --set train.engine=blocked, or a sample by train.user_fraction"
        problems.append(
            f"{row['rows']} interactions are above train.implicit_max_interactions={limit}; {instead}"
        )
    if problems:
        raise InputError("training cannot start", problems)
    return Shape(int(row["rows"]), int(row["users"]), int(row["recordings"]))


def train(
    training: DataFrame,
    config: TrainConfig,
    artists: DataFrame | None = None,
    keep: Callable[[DataFrame], DataFrame] = lambda frame: frame,
) -> Fit:
    """Factors by the configured engine; of everything, also where `train.user_fraction` or `train.play_coverage` train on less.

    Args:
        training: `user_idx int, recording_idx int, positive double, negative double`, read from a pinned table:
            engines visit it more than once, so it must not change between two reads.
        artists: `recording_idx, artist`: where recordings that are folded in start; None for no such prior.
        keep: holds the rows of a frame that is read more than once, for as long as the result is used.

    Raises:
        ConfigError: where the engine cannot train on this session.
        InputError: see `preflight`.
    """
    from trackpools.shell.engines import blocked, implicit, mllib

    require_classic(training.sparkSession, config.engine)

    whole, part = preflight(training, config, trained=not sample.is_sample(config)), training
    shape = whole
    if sample.is_sample(config):
        part = keep(sample.sampled(training, config))
        shape = preflight(part, config)
    rank = min(config.rank, shape.users, shape.recordings)
    warnings = []
    if rank < config.rank:
        warnings.append(
            f"train.rank lowered from {config.rank} to {rank}: the data has {shape.users} users and {shape.recordings} recordings"
        )
    engines: dict[str, Engine] = {"implicit": implicit.fit, "mllib": mllib.fit, "blocked": blocked.fit}
    users, recordings, curve = engines[config.engine](part, config, rank)
    if sample.is_sample(config):
        striped = plan.is_striped(shape.recordings, rank, config)
        users, recordings = completed(training, recordings, config, artists, keep, striped=striped)
    return Fit(users, recordings, curve, rank, shape, warnings)


def completed(
    training: DataFrame,
    trained: DataFrame,
    config: TrainConfig,
    artists: DataFrame | None,
    keep: Callable[[DataFrame], DataFrame],
    *,
    striped: bool,
) -> tuple[DataFrame, DataFrame]:
    """`(users, recordings)` of everything: users against the recordings `trained`, then the other recordings against the users.

    The driver holds the factors of the recordings trained, unless those are `striped`.
    """
    rows = signed(training, config)
    # kept or written once and read from there: an engine may train anew for every action on what it returned
    if striped:
        trained = keep(trained)
    else:
        known = trained.orderBy("idx").toArrow()
        trained = training.sparkSession.createDataFrame(
            as_table(known["idx"].to_numpy(), matrix(known["factors"]))
        )
    users = keep(fold_in_users(rows, trained, config, striped=striped))
    gram, people = _gram(users, config)
    others = rows.join(trained.select(F.col("idx").alias("recording_idx")), "recording_idx", "left_anti")
    divided = groups(others.count(), len(gram), config.blocks)
    late = fold_in_recordings(
        others, users, trained, config, artists=artists, gram=gram, people=people, divided=divided
    )
    return users, trained.unionByName(late)


def fold_in_users(rows: DataFrame, recordings: DataFrame, config: TrainConfig, *, striped: bool) -> DataFrame:
    """`idx int, factors array<float>`: the optimum of each user in `rows` for recordings as they are; see `foldin.fold_in`.

    Args:
        rows: of `signed`, whole histories.
        recordings: `idx int, factors array<float>`.
        striped: whether the recordings are more than the driver may hold.
    """
    if striped:
        return fold_in_by_stripes(rows, recordings, _gram(recordings, config)[0], config)
    known = recordings.orderBy("idx").toArrow()
    return fold_in(rows, known["idx"].to_numpy(), matrix(known["factors"]).astype(np.float64), config)


def _gram(factors: DataFrame, config: TrainConfig) -> tuple[NDArray[np.float64], int]:
    """Σ x·xᵀ [rank, rank] of a frame of factors, summed block after block, and the number of rows."""
    found = sorted(grams(factors, config.blocks).toArrow().to_pylist(), key=lambda row: int(row["block"]))
    flat = np.sum([np.frombuffer(row["gram"]) for row in found], axis=0)
    return flat.reshape(math.isqrt(len(flat)), -1), sum(int(row["users"]) for row in found)


def final_loss(training: DataFrame, users: DataFrame, recordings: DataFrame, config: TrainConfig) -> float:
    """The objective at the factors, computed the same way for every engine."""
    row = objective.loss(training, users, recordings, config).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return objective.total(
        row["fit"], row["user_grams"], row["recording_grams"], row["user_penalty"] + row["recording_penalty"]
    )
