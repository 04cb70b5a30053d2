"""The objective on Spark frames: one pass over the evidence and two Gram matrices, never users × recordings.

Over the unobserved the loss is Σ (x_u·y_i)² = tr(XᵀX·YᵀY) minus the observed part, so only observed pairs are visited.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als.factors import matrix


def _gram_batches(batches: Iterator[Any]) -> Iterator[Any]:
    """Rows `factors, penalty` → one row a task: Σ factors·factorsᵀ (row major) and Σ penalty·‖factors‖²."""
    gram, penalty = None, 0.0
    for batch in batches:
        if batch.num_rows:
            x = matrix(batch.column("factors")).astype(np.float64)
            part = x.T @ x
            gram = part if gram is None else gram + part
            penalty += float(np.asarray(batch.column("penalty")) @ (x * x).sum(axis=1))
    if gram is not None:
        yield pa.RecordBatch.from_pydict({"gram": [gram.ravel().tolist()], "penalty": [penalty]})


def _residual_batches(batches: Iterator[Any]) -> Iterator[Any]:
    """Rows `x, y, c, p` → one row a task: Σ c(p − x·y)² − (x·y)²."""
    total = 0.0
    for batch in batches:
        if batch.num_rows:
            dot = np.einsum(
                "ij,ij->i", matrix(batch.column("x")), matrix(batch.column("y")), dtype=np.float64
            )
            c, p = np.asarray(batch.column("c")), np.asarray(batch.column("p"))
            total += float((c * (p - dot) ** 2 - dot**2).sum())
    yield pa.RecordBatch.from_pydict({"fit": [total]})


def loss(training: DataFrame, users: DataFrame, recordings: DataFrame, config: TrainConfig) -> DataFrame:
    """One row `fit double, user_gram array<double>, recording_gram array<double>, penalty double`.

    The loss is fit + Σ user_gram·recording_gram + penalty; `total` adds them up on the driver.

    Args:
        training: `user_idx, recording_idx, positive, negative`.
        users, recordings: `idx, factors`.
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


def total(
    fit: float, user_grams: list[list[float]], recording_grams: list[list[float]], penalty: float
) -> float:
    """Add up the parts of `loss`; the grams are rank × rank a task."""
    x, y = np.sum(np.asarray(user_grams), axis=0), np.sum(np.asarray(recording_grams), axis=0)
    return float(fit + x @ y + penalty)
