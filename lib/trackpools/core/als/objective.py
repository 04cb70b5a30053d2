"""Compute the training objective (the loss) of factors on Spark frames.

The loss is a sum over all pairs of a user and a recording, but only the observed pairs are read. Unobserved
pairs have the loss (x_u·y_i)². The sum of this over all pairs is tr(XᵀX·YᵀY), which needs only two Gram
matrices; for each observed pair, its part of this sum is subtracted.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als.factors import factor_matrix


def _gram_batches(batches: Iterator[Any]) -> Iterator[Any]:
    """Sum up rows `factors, penalty`: Σ factors·factorsᵀ and Σ penalty·‖factors‖².

    Yields:
        One row for each task with rows: `gram array<double>` [rank · rank], by rows, and `penalty double`.
    """
    gram, penalty = None, 0.0
    for batch in batches:
        if batch.num_rows:
            x = factor_matrix(batch.column("factors")).astype(np.float64)
            part = x.T @ x
            gram = part if gram is None else gram + part
            penalty += float(np.asarray(batch.column("penalty")) @ (x * x).sum(axis=1))
    if gram is not None:
        yield pa.RecordBatch.from_pydict({"gram": [gram.ravel().tolist()], "penalty": [penalty]})


def _residual_batches(batches: Iterator[Any]) -> Iterator[Any]:
    """Sum up rows `x, y, c, p` into one row `fit double` for each task: Σ c(p − x·y)² − (x·y)²."""
    total = 0.0
    for batch in batches:
        if batch.num_rows:
            dot = np.einsum(
                "ij,ij->i",
                factor_matrix(batch.column("x")),
                factor_matrix(batch.column("y")),
                dtype=np.float64,
            )
            c, p = np.asarray(batch.column("c")), np.asarray(batch.column("p"))
            total += float((c * (p - dot) ** 2 - dot**2).sum())
    yield pa.RecordBatch.from_pydict({"fit": [total]})


def loss_parts(
    training: DataFrame, users: DataFrame, recordings: DataFrame, config: TrainConfig
) -> DataFrame:
    """Compute the parts of the loss; `total_loss` adds them up on the driver.

    Args:
        training: `user_idx, recording_idx, positive, negative` (w⁺ and w⁻), one row for each observed pair.
        users, recordings: `idx int, factors array<float>`.
        config: the `train` section.

    Returns:
        One row. `fit double` is the sum over observed pairs, Σ c(p − x·y)² − (x·y)². `user_grams` and
        `recording_grams`, both array<array<double>>, have one part of the Gram matrix for each Spark task.
        `user_penalty` and `recording_penalty`, both double, are the regularisation.
    """
    liked = F.col("positive") > 0
    confidence = 1 + F.when(liked, F.lit(config.alpha) * F.col("positive")).otherwise(
        F.lit(config.beta) * F.col("negative")
    )
    observed = (
        training.select(
            F.col("user_idx"),
            F.col("recording_idx"),
            confidence.alias("c"),
            F.when(liked, 1.0).otherwise(0.0).alias("p"),
        )
        .join(users.select(F.col("idx").alias("user_idx"), F.col("factors").alias("x")), "user_idx")
        .join(
            recordings.select(F.col("idx").alias("recording_idx"), F.col("factors").alias("y")),
            "recording_idx",
        )
    )
    fit = (
        observed.select("x", "y", "c", "p")
        .mapInArrow(_residual_batches, "fit double")
        .agg(F.sum("fit").alias("fit"))
    )
    sides = []
    for name, side, key, other in (
        ("user", users, "user_idx", recordings),
        ("recording", recordings, "recording_idx", users),
    ):
        n = training.where(liked).groupBy(F.col(key).alias("idx")).agg(F.count(F.lit(1)).alias("n"))
        prior = F.lit(config.alpha0) * F.col("others") if config.alpha0 else F.lit(0.0)
        penalty = F.lit(config.regularisation) * F.pow(
            F.coalesce("n", F.lit(0)).cast("double") + prior, F.lit(config.exponent)
        )
        counted = side.join(n, "idx", "left")
        counted = (
            counted.crossJoin(other.agg(F.count(F.lit(1)).alias("others"))) if config.alpha0 else counted
        )
        weighed = counted.select("factors", penalty.alias("penalty"))
        parts = weighed.mapInArrow(_gram_batches, "gram array<double>, penalty double")
        sides.append(
            parts.agg(
                F.collect_list("gram").alias(f"{name}_grams"), F.sum("penalty").alias(f"{name}_penalty")
            )
        )
    return fit.crossJoin(sides[0]).crossJoin(sides[1])


def total_loss(
    fit: float, user_grams: list[list[float]], recording_grams: list[list[float]], penalty: float
) -> float:
    """Return the loss, given the parts that `loss_parts` computes.

    Args:
        fit: the sum over observed pairs.
        user_grams, recording_grams: one array [rank · rank] for each Spark task.
        penalty: the regularisation of users and recordings together.
    """
    x, y = np.sum(np.asarray(user_grams), axis=0), np.sum(np.asarray(recording_grams), axis=0)
    return float(fit + x @ y + penalty)
