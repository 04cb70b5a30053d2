"""Folding users in where the recordings' factors are too large to travel with the code: they come in stripes, among the users' rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als.descent import eigenbasis
from trackpools.core.als.factors import FACTORS, matrix
from trackpools.core.als.foldin import HalfStep, solver
from trackpools.core.als.stripes import STRIPE_BYTES, Task, addressed

PACKED = "ids binary, matrix binary"


def fold_in_by_stripes(
    rows: DataFrame, recordings: DataFrame, gram: NDArray[np.float64], config: TrainConfig
) -> DataFrame:
    """What `foldin.fold_in` makes, from a frame of recordings instead of a matrix in the driver; a task holds all of their factors.

    Args:
        rows: `user_idx, recording_idx, value` of `signed`, in any order.
        recordings: `idx int, factors array<float>`.
        gram: YᵀY [rank, rank] of the recordings.
    """
    stripe = F.floor(F.col("idx") / max(1, STRIPE_BYTES // (4 * len(gram))))
    stripes = addressed(
        recordings.groupBy(stripe.alias("stripe")).applyInArrow(_pack, PACKED), config.blocks
    ).withColumnRenamed("at", "user_idx")
    together = rows.unionByName(stripes, allowMissingColumns=True).repartition(config.blocks, "user_idx")
    return together.mapInArrow(_solver(gram, config), FACTORS)


def _pack(rows: Any) -> Any:
    idx = rows["idx"].to_numpy()
    order = np.argsort(idx)
    made = {"ids": idx[order].astype(np.int32), "matrix": matrix(rows["factors"])[order]}
    return pa.table({name: pa.array([array.tobytes()], pa.binary()) for name, array in made.items()})


def _solver(gram: NDArray[np.float64], config: TrainConfig) -> Task:
    spectrum, basis = eigenbasis(gram)

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        rows, stripes = [], []
        for batch in batches:
            rows.append(
                batch.select(["user_idx", "recording_idx", "value"]).filter(batch["recording_idx"].is_valid())
            )
            of = batch.select(["ids", "matrix"]).filter(batch["ids"].is_valid())
            for ids, packed in zip(of["ids"], of["matrix"], strict=True):
                y = np.frombuffer(packed.as_buffer(), np.float32).reshape(-1, len(gram))
                stripes.append((np.frombuffer(ids.as_buffer(), np.int32), (y @ basis).astype(np.float32)))
        table = pa.Table.from_batches(rows) if rows else None
        if table is not None and table.num_rows and stripes:
            stripes.sort(key=lambda stripe: int(stripe[0][0]))
            catalogue, y = (np.concatenate(parts) for parts in zip(*stripes, strict=True))
            stripes.clear()
            solve = solver(catalogue, y, basis.T, HalfStep.of(spectrum, len(catalogue), config))
            yield from solve(0, table).to_batches()

    return task
