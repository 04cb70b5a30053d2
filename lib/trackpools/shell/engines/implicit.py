"""ALS by the implicit package on the driver: the one allowed pull, below `train.implicit_max_interactions`."""

import os

import numpy as np
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from trackpools.config import TrainConfig
from trackpools.core.als.factors import as_table


def fit(training: DataFrame, config: TrainConfig, rank: int) -> tuple[DataFrame, DataFrame, list[float]]:
    """`(users, recordings, loss curve)`; frames are `idx int, factors array<float>`.

    implicit takes c itself as the matrix value (unobserved is 1) and a negative value as p = 0 with c = |value|, so its
    own alpha stays 1 and its λ is ours at ν = 0.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import coo_matrix

    table = training.toArrow()
    positive, negative = table["positive"].to_numpy(), table["negative"].to_numpy()
    keep = (positive > 0) | ((config.beta > 0) & (negative > 0))
    value = np.where(positive > 0, 1 + config.alpha * positive, -(1 + config.beta * negative))[keep]
    user_idx, users = np.unique(table["user_idx"].to_numpy()[keep], return_inverse=True)
    recording_idx, recordings = np.unique(table["recording_idx"].to_numpy()[keep], return_inverse=True)
    # tocsr sorts by row, sort_indices by column: the arrival order of the rows leaves no trace
    matrix = coo_matrix(
        (value.astype(np.float32), (users, recordings)), shape=(len(user_idx), len(recording_idx))
    ).tocsr()
    matrix.sort_indices()
    cells = float(np.abs(matrix.data).sum(dtype=np.float64)) + len(user_idx) * len(recording_idx) - matrix.nnz
    # implicit counts c·1² for every pair it is given, also for those of p = 0: a constant that the objective does not have
    constant = -float(matrix.data[matrix.data < 0].sum(dtype=np.float64))
    curve: list[float] = []
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=rank,
            regularization=config.regularisation,
            alpha=1.0,
            iterations=config.iterations,
            random_state=config.seed,
            calculate_training_loss=True,
            num_threads=os.cpu_count() or 1,
            use_native=True,
        )
        # implicit tells the loss per cell; the objective is the sum
        model.fit(
            matrix,
            show_progress=False,
            callback=lambda _iteration, _seconds, loss: curve.append(float(loss) * cells - constant),
        )
    spark = training.sparkSession
    return (
        spark.createDataFrame(as_table(user_idx, model.user_factors)),
        spark.createDataFrame(as_table(recording_idx, model.item_factors)),
        curve,
    )
