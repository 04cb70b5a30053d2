"""Fold users in: compute user factors from fixed recording factors, in Spark tasks.

This is one of the two half-steps of a training iteration. It is also used alone: after the last iteration,
and after a training on a sample, for all users.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als.blocks import Block, pack_table
from trackpools.core.als.factors import FACTORS, as_table
from trackpools.core.als.item_solver import eigenbasis
from trackpools.core.arrays.array_types import Float32Array


def signed_values(training: DataFrame, config: TrainConfig) -> DataFrame:
    """Compute the signed value of each row of training data.

    Args:
        training: `user_idx, recording_idx, positive, negative`, where the last two are w⁺ and w⁻, at least 0.
        config: the `train` section; it has α and β.

    Returns:
        `user_idx, recording_idx, value float`. The value is α·w⁺ if w⁺ is above 0, else −β·w⁻. Rows with
        value 0 are left out.
    """
    value = F.when(F.col("positive") > 0, config.alpha * F.col("positive")).otherwise(
        -config.beta * F.col("negative")
    )
    return training.select("user_idx", "recording_idx", value.cast("float").alias("value")).where(
        "value <> 0"
    )


def in_blocks(rows: DataFrame, count: int) -> DataFrame:
    """Repartition the rows by user into `count` blocks, and add `block int`, the number of the block.

    `block` is computed with the hash that Spark uses for repartitioning, so each block is one partition.
    """
    return rows.repartition(count, "user_idx").withColumn("block", F.pmod(F.hash("user_idx"), F.lit(count)))


def map_blocks(rows: DataFrame, compute: Callable[[int, pa.Table], pa.Table], schema: str) -> DataFrame:
    """Apply a function to each block.

    Args:
        rows: the result of `in_blocks`.
        compute: a function from the number of a block and an Arrow table of its rows (in any order) to an
            Arrow table.
        schema: columns of the tables that `compute` returns.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        held = [batch for batch in batches if batch.num_rows]
        if held:
            table = pa.Table.from_batches(held)
            held.clear()
            for number in pc.unique(table["block"]).to_pylist():
                yield from compute(number, table.filter(pc.equal(table["block"], number))).to_batches()

    return rows.mapInArrow(task, schema)


@dataclass(frozen=True)
class HalfStep:
    """The parameters for computing user factors from fixed recording factors Y.

    Attributes:
        spectrum: eigenvalues of YᵀY, float32 [rank].
        reg: λ. The penalty of a user who has positive evidence for n recordings is λ(n + prior)^ν.
        nu: ν.
        prior: α₀ times the number of recordings.
        steps: greatest number of conjugate gradient steps; with 0, the equations are solved exactly, by
            Cholesky decomposition.
    """

    spectrum: Float32Array
    reg: float
    nu: float
    prior: float
    steps: int

    @classmethod
    def of(cls, spectrum: NDArray[np.float64], recordings: int, config: TrainConfig) -> "HalfStep":
        """Return the parameters for a spectrum, float64 [rank], from the `train` section."""
        return cls(
            spectrum.astype(np.float32),
            config.regularisation,
            config.exponent,
            config.alpha0 * recordings,
            config.user_steps,
        )

    def penalties(self, block: Block) -> Float32Array:
        """Return the penalty λ_u of each user of the block, float32 [users]."""
        return block.penalties(self.reg, self.nu, self.prior)

    def solve(self, block: Block, y: Float32Array, toward: Float32Array | None = None) -> Float32Array:
        """Return the factors of the block's users, float32 [users, rank], in the basis of `y`.

        Args:
            block: the users' evidence.
            y: recording factors, float32 [recordings, rank], in the eigenbasis of YᵀY.
            toward: float32 [users, rank], in the same basis: the vectors towards which the penalty draws the
                users' factors; None if all are 0.
        """
        from trackpools.core.als import kernels

        x = np.empty((len(block.users), y.shape[1]), np.float32)
        drawn = np.empty((0, y.shape[1]), np.float32) if toward is None else toward
        rows = (block.indptr, block.columns, block.values, y, self.spectrum, self.penalties(block), drawn)
        if self.steps:
            kernels.conjugate_gradient(*rows, self.steps, x)
        else:
            kernels.cholesky(*rows, x)
        return x


def fold_in(
    rows: DataFrame, catalogue: NDArray[np.int32], y: NDArray[np.float64], config: TrainConfig
) -> DataFrame:
    """Compute the factors of each user in `rows` from fixed recording factors.

    A user's factors depend on no other user's rows. But they depend on all of the user's own rows, so `rows`
    must hold the user's whole history. A user who has none of the recordings in `catalogue` is left out,
    because factors of 0 would mean that the user likes everything equally.

    Args:
        rows: `user_idx, recording_idx, value` of `signed_values`, in any order.
        catalogue: int32, recording idx of the rows of `y`, ascending; rows of other recordings are ignored.
        y: recording factors, float64 [recordings, rank].
        config: the `train` section.

    Returns:
        `idx int, factors array<float>`, one row for each user who is not left out.
    """
    spectrum, basis = eigenbasis(y.T @ y)
    turned, back = (y @ basis).astype(np.float32), basis.T
    return map_blocks(
        in_blocks(rows, config.blocks),
        block_solver(catalogue, turned, back, HalfStep.of(spectrum, len(y), config)),
        FACTORS,
    )


def block_solver(
    catalogue: NDArray[np.int32], y: Float32Array, back: NDArray[np.float64], half: HalfStep
) -> Callable[[int, pa.Table], pa.Table]:
    """Return a function for `map_blocks`: rows of users (see `fold_in`) → table with the columns FACTORS.

    Args:
        catalogue: int32, recording idx of the rows of `y`, ascending.
        y: recording factors, float32 [recordings, rank], in the eigenbasis of YᵀY.
        back: float64 [rank, rank]; user factors are multiplied by it to return from the eigenbasis.
        half: the parameters of the computation.
    """

    def solve(_: int, table: pa.Table) -> pa.Table:
        block = pack_table(table, catalogue)
        known = np.diff(block.indptr) > 0
        return as_table(block.users[known], half.solve(block, y)[known] @ back)

    return solve
