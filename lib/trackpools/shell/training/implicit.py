"""The engine `implicit`: ALS by the package `implicit`, on the driver.

Only this engine may pull the training data to the driver. So `preflight` in `train.py` refuses data with
more rows than the setting `train.implicit_max_interactions`.
"""

import os

import numpy as np
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from trackpools.config import TrainConfig
from trackpools.core.als.factors import as_table


def fit(training: DataFrame, config: TrainConfig, rank: int) -> tuple[DataFrame, DataFrame, list[float]]:
    """Train with the engine `implicit`.

    In the package, the absolute value of a matrix entry is the confidence c, which is 1 for pairs without an
    entry. The preference p is 1 for a positive entry and 0 for a negative one. So the matrix already contains
    our α and β, and the package's own alpha is 1. Its regularisation is our λ with ν = 0, the same for every
    user.

    Args:
        training: `user_idx int, recording_idx int, positive double, negative double`.
        config: the `train` section.
        rank: number of factors.

    Returns:
        `(users, recordings, loss curve)`. Both frames are `idx int, factors array<float>`; the curve holds
        the loss after each iteration.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import coo_matrix

    table = training.toArrow()
    positive, negative = table["positive"].to_numpy(), table["negative"].to_numpy()
    keep = (positive > 0) | ((config.beta > 0) & (negative > 0))
    value = np.where(positive > 0, 1 + config.alpha * positive, -(1 + config.beta * negative))[keep]
    user_idx, users = np.unique(table["user_idx"].to_numpy()[keep], return_inverse=True)
    recording_idx, recordings = np.unique(table["recording_idx"].to_numpy()[keep], return_inverse=True)
    # tocsr sorts by row and sort_indices by column, so the result does not depend on the order of the rows.
    matrix = coo_matrix(
        (value.astype(np.float32), (users, recordings)), shape=(len(user_idx), len(recording_idx))
    ).tocsr()
    matrix.sort_indices()
    cells = float(np.abs(matrix.data).sum(dtype=np.float64)) + len(user_idx) * len(recording_idx) - matrix.nnz
    # The package adds c·1² to the loss for every entry, even if p = 0. In our objective, entries with p = 0
    # do not add it, so this constant is subtracted.
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
        # The package reports the loss divided by `cells`, the sum of all confidences; our objective is not
        # divided.
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
