"""Train factors of users and recordings by ALS, with the engine `implicit`, `mllib` or `blocked`.

`preflight` refuses data on which no training is possible. `train` runs the configured engine. `final_loss`
computes the objective that all engines minimise.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als import memory_plan, objective, sample
from trackpools.core.als.factors import as_table, factor_matrix
from trackpools.core.als.fit import Fit, TrainingShape
from trackpools.core.als.fold_in_recordings import fold_in_recordings, grams, groups
from trackpools.core.als.fold_in_striped import fold_in_by_stripes
from trackpools.core.als.fold_in_users import fold_in, signed_values
from trackpools.core.contracts.ids import INT32_MAX
from trackpools.errors import InputError
from trackpools.shell.spark.context import require_classic

Engine = Callable[[DataFrame, TrainConfig, int], tuple[DataFrame, DataFrame, list[float]]]


def preflight(training: DataFrame, config: TrainConfig, *, trained: bool = True) -> TrainingShape:
    """Check the training data, and refuse data that would crash the engine or give useless factors.

    Args:
        training: `user_idx`, `recording_idx`, `positive`, `negative`; one row for each interaction.
        config: the `train` section.
        trained: whether the engine trains on all these rows. If False, it trains only on a sample of them, so
            the limit `train.implicit_max_interactions` does not apply to these rows.

    Returns:
        The numbers of rows, users and recordings.

    Raises:
        InputError: with the list of all problems: no rows; no positive weight; weights that are NaN, infinite
            or negative; an idx over int32; `train.reg` not above 0; too many rows for the engine `implicit`.
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
        problems.append("there are no interactions; import a log, or check plays_rejected for refused rows")
    elif row["positive"] == 0:
        hint = "check --as-of, weights.half_life_days and ingest.min_rating"
        problems.append(f"all {row['rows']} positive weights are zero at as_of; {hint}")
    if row["bad"]:
        problems.append(
            f"{row['bad']} weights are NaN or infinite; check weights.half_life_days and weights.landmark"
        )
    if row["below"]:
        problems.append(f"{row['below']} weights are negative; build the interactions again")
    if row["top"] is not None and row["top"] > INT32_MAX:
        problems.append(
            f"an idx is {row['top']}, over int32 ({INT32_MAX}); the id tables have more rows than engines can use"
        )
    if config.regularisation <= 0:
        problems.append(
            f"train.reg is {config.regularisation}; it must be above 0, else the equations of ALS may have no unique solution"
        )
    if trained and config.engine == "implicit" and row["rows"] > config.implicit_max_interactions:
        limit = config.implicit_max_interactions
        instead = "use --set train.engine=blocked, or train on a sample (train.user_fraction)"
        problems.append(
            f"{row['rows']} interactions are above train.implicit_max_interactions={limit}; {instead}"
        )
    if problems:
        raise InputError("training cannot start", problems)
    return TrainingShape(int(row["rows"]), int(row["users"]), int(row["recordings"]))


def train(
    training: DataFrame,
    config: TrainConfig,
    artists: DataFrame | None = None,
    keep: Callable[[DataFrame], DataFrame] = lambda frame: frame,
) -> Fit:
    """Train factors with the configured engine.

    If `train.user_fraction`, `train.play_coverage` or `train.min_listeners` select a sample, the engine
    trains only on the sample. Then the factors of all users and of the other recordings are computed from the
    trained ones (`complete_factors`), so the result always covers all of `training`.

    Args:
        training: `user_idx int, recording_idx int, positive double, negative double`; one row for each
            interaction. It must be read from a fixed version of a table, because engines read it more than
            once and it must not change between two reads.
        config: the `train` section.
        artists: `recording_idx, artist`, the artist of each recording; only used for a sample. A recording
            outside the sample is drawn towards the mean of its artist's trained recordings. If None, it is
            drawn towards 0.
        keep: persists a frame that is read more than once, for as long as the result is used.

    Returns:
        The factors of users and recordings, the loss curve, the rank, the shape of the data on which the
        engine trained, and warnings. The rank is `train.rank`, or less if there are fewer users or
        recordings.

    Raises:
        ConfigError: if the engine cannot train in this kind of Spark session.
        InputError: see `preflight`.
    """
    from trackpools.shell.training import blocked, implicit, mllib

    require_classic(training.sparkSession, config.engine)

    whole, part = preflight(training, config, trained=not sample.is_sample(config)), training
    shape = whole
    if sample.is_sample(config):
        part = keep(sample.sample_training(training, config))
        shape = preflight(part, config)
    rank = min(config.rank, shape.users, shape.recordings)
    warnings = []
    if rank < config.rank:
        warnings.append(
            f"train.rank was lowered from {config.rank} to {rank}, because the data has {shape.users} users and {shape.recordings} recordings"
        )
    engines: dict[str, Engine] = {"implicit": implicit.fit, "mllib": mllib.fit, "blocked": blocked.fit}
    users, recordings, curve = engines[config.engine](part, config, rank)
    if sample.is_sample(config):
        striped = memory_plan.is_striped(shape.recordings, rank, config)
        users, recordings = complete_factors(training, recordings, config, artists, keep, striped=striped)
    return Fit(users, recordings, curve, rank, shape, warnings)


def complete_factors(
    training: DataFrame,
    trained: DataFrame,
    config: TrainConfig,
    artists: DataFrame | None,
    keep: Callable[[DataFrame], DataFrame],
    *,
    striped: bool,
) -> tuple[DataFrame, DataFrame]:
    """Fold in all users, and all recordings outside the sample, after a training on a sample.

    Folding in means to compute optimal factors of one side from the fixed factors of the other side. First,
    all users are folded in from the trained recordings. Then, the other recordings are folded in from these
    users.

    Args:
        training: the whole training data, as for `train`.
        trained: factors of the recordings of the sample, `idx int, factors array<float>`.
        config: the `train` section.
        artists: as for `train`.
        keep: as for `train`.
        striped: whether the factors of the trained recordings are too large for the driver. If False, the
            driver holds them.

    Returns:
        `(users, recordings)`, each `idx int, factors array<float>`, one row for each idx in `training`.
    """
    rows = signed_values(training, config)
    # Compute the trained factors once, because the frame of an engine may be lazy and train again at every
    # use.
    if striped:
        trained = keep(trained)
    else:
        known = trained.orderBy("idx").toArrow()
        trained = training.sparkSession.createDataFrame(
            as_table(known["idx"].to_numpy(), factor_matrix(known["factors"]))
        )
    users = keep(fold_in_users(rows, trained, config, striped=striped))
    gram, people = _gram(users, config)
    others = rows.join(trained.select(F.col("idx").alias("recording_idx")), "recording_idx", "left_anti")
    divided = groups(others.count(), len(gram), config.blocks)
    late = fold_in_recordings(
        others, users, trained, config, artists=artists, gram=gram, n_users=people, divided=divided
    )
    return users, trained.unionByName(late)


def fold_in_users(rows: DataFrame, recordings: DataFrame, config: TrainConfig, *, striped: bool) -> DataFrame:
    """Compute the optimal factors of each user for fixed recording factors.

    See `core.als.fold_in_users.fold_in`, and `core.als.fold_in_striped.fold_in_by_stripes` if `striped`.

    Args:
        rows: the output of `signed_values` for the whole histories of the users.
        recordings: `idx int, factors array<float>`.
        config: the `train` section.
        striped: whether the recording factors are too large for the driver.

    Returns:
        `idx int, factors array<float>`, one row for each user in `rows`.
    """
    if striped:
        return fold_in_by_stripes(rows, recordings, _gram(recordings, config)[0], config)
    known = recordings.orderBy("idx").toArrow()
    return fold_in(rows, known["idx"].to_numpy(), factor_matrix(known["factors"]).astype(np.float64), config)


def _gram(factors: DataFrame, config: TrainConfig) -> tuple[NDArray[np.float64], int]:
    """Return the Gram matrix of a frame of factors, and the number of rows of the frame.

    The Gram matrix is Σ x·xᵀ over the rows, float64 [rank, rank]. The sum runs in block order, so it does not
    depend on the order in which Spark returns the blocks.
    """
    found = sorted(grams(factors, config.blocks).toArrow().to_pylist(), key=lambda row: int(row["block"]))
    flat = np.sum([np.frombuffer(row["gram"]) for row in found], axis=0)
    return flat.reshape(math.isqrt(len(flat)), -1), sum(int(row["users"]) for row in found)


def final_loss(training: DataFrame, users: DataFrame, recordings: DataFrame, config: TrainConfig) -> float:
    """Return the value of the objective at these factors, computed in the same way for every engine."""
    row = objective.loss_parts(training, users, recordings, config).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return objective.total_loss(
        row["fit"], row["user_grams"], row["recording_grams"], row["user_penalty"] + row["recording_penalty"]
    )
