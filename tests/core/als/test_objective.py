"""Tests that the loss on Spark frames is the loss of the NumPy reference."""

import numpy as np
import pytest

from trackpools.core.als import objective
from trackpools.core.als.reference import loss, problem


def frames(spark, positive, negative, x, y, partitions):
    """Return evidence and factors as frames whose idx are neither dense nor in order."""
    pairs = [
        (7 * int(u) + 3, 5 * int(i) + 1, float(positive[u, i]), float(negative[u, i]))
        for u, i in zip(*np.nonzero(positive + negative), strict=True)
    ]
    training = spark.createDataFrame(
        pairs, "user_idx int, recording_idx int, positive double, negative double"
    ).repartition(partitions)
    sides = [
        spark.createDataFrame(
            [(a * i + b, row.tolist()) for i, row in enumerate(m)], "idx int, factors array<float>"
        ).repartition(partitions)
        for m, a, b in ((x, 7, 3), (y, 5, 1))
    ]
    return training, *sides


def total(row):
    return objective.total_loss(
        row["fit"], row["user_grams"], row["recording_grams"], row["user_penalty"] + row["recording_penalty"]
    )


@pytest.mark.parametrize(
    ("nu", "alpha0", "beta", "partitions"),
    [(0.0, 0.0, 0.0, 1), (0.0, 0.0, 1.5, 3), (1.0, 0.0, 1.5, 2), (0.5, 0.2, 0.7, 5)],
)
def test_the_loss_of_spark_is_that_of_the_reference(spark, config, nu, alpha0, beta, partitions):
    rng = np.random.default_rng(int(10 * nu) + partitions)
    users, recordings, rank = 23, 17, 5
    positive = rng.gamma(1.0, 1.0, (users, recordings)) * (rng.random((users, recordings)) < 0.2)
    negative = rng.gamma(1.0, 1.0, (users, recordings)) * (rng.random((users, recordings)) < 0.2)
    negative[4], positive[4] = 1.0, 0.0  # a user with skips alone has no positive, so n = 0
    x, y = (rng.normal(size=(n, rank)).astype(np.float32) for n in (users, recordings))
    train = config(
        "train.engine=blocked",
        "train.alpha=3.0",
        f"train.beta={beta}",
        "train.reg=0.25",
        f"train.nu={nu}",
        f"train.alpha0={alpha0}",
    ).train
    row = objective.loss_parts(*frames(spark, positive, negative, x, y, partitions), train).first()
    of = problem(positive, negative, alpha=3.0, beta=beta, reg=0.25, nu=nu, alpha0=alpha0)
    assert total(row) == pytest.approx(loss(x.astype(float), y.astype(float), of), rel=1e-9)
