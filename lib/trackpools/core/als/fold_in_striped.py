"""Compute user factors from fixed recording factors that are too large for the driver.

If the driver holds the recording factors, `fold_in_users` sends them to the tasks as a part of the function.
Here, they are divided into stripes (groups of recordings), and a stripe is sent as one more row among the
users' rows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als.factors import FACTORS, factor_matrix
from trackpools.core.als.fold_in_users import HalfStep, block_solver
from trackpools.core.als.item_solver import eigenbasis
from trackpools.core.als.stripes import STRIPE_BYTES, Task, addressed

PACKED = "ids binary, matrix binary"  # a stripe: idx int32, ascending, and factors float32 [recordings, rank]


def fold_in_by_stripes(
    rows: DataFrame, recordings: DataFrame, gram: NDArray[np.float64], config: TrainConfig
) -> DataFrame:
    """Compute the same as `fold_in_users.fold_in`, from a frame of recordings instead of a matrix.

    The driver does not hold the recording factors, but each task holds all of them.

    Args:
        rows: `user_idx, recording_idx, value` of `fold_in_users.signed_values`, in any order.
        recordings: `idx int, factors array<float>`.
        gram: YᵀY of the recordings, float64 [rank, rank].
        config: the `train` section.

    Returns:
        `idx int, factors array<float>`, one row for each user with at least one of the recordings.
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
    made = {"ids": idx[order].astype(np.int32), "matrix": factor_matrix(rows["factors"])[order]}
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
            solve = block_solver(catalogue, y, basis.T, HalfStep.of(spectrum, len(catalogue), config))
            yield from solve(0, table).to_batches()

    return task
