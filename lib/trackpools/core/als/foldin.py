"""The user half-step alone: every user against fixed recording factors, distributed; what training on a sample leaves to do."""

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
from trackpools.core.als.descent import eigenbasis
from trackpools.core.als.factors import FACTORS, as_table

Floats = NDArray[np.float32]


def signed(training: DataFrame, config: TrainConfig) -> DataFrame:
    """`user_idx, recording_idx, value float` of `user_idx, recording_idx, positive, negative`: α·w⁺, or −β·w⁻ where there is no w⁺."""
    value = F.when(F.col("positive") > 0, config.alpha * F.col("positive")).otherwise(
        -config.beta * F.col("negative")
    )
    return training.select("user_idx", "recording_idx", value.cast("float").alias("value")).where(
        "value <> 0"
    )


def in_blocks(rows: DataFrame, count: int) -> DataFrame:
    """The rows with `block int`: users hashed into so many, each block a partition of its own; Spark hashes partitions the same way."""
    return rows.repartition(count, "user_idx").withColumn("block", F.pmod(F.hash("user_idx"), F.lit(count)))


def by_block(rows: DataFrame, make: Callable[[int, Any], Any], schema: str) -> DataFrame:
    """Rows of `in_blocks` → what `make(block, Arrow table)` makes of each block, an Arrow table; nothing is sorted."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        held = [batch for batch in batches if batch.num_rows]
        if held:
            table = pa.Table.from_batches(held)
            held.clear()
            for number in pc.unique(table["block"]).to_pylist():
                yield from make(number, table.filter(pc.equal(table["block"], number))).to_batches()

    return rows.mapInArrow(task, schema)


@dataclass(frozen=True)
class HalfStep:
    """How users are solved for recording factors in their eigenbasis.

    Attributes:
        spectrum: eigenvalues of YᵀY, float32 [rank].
        reg, nu, prior: λ(n_u + prior)^ν is a user's penalty; prior is α₀·|recordings|.
        steps: of conjugate gradient; 0 is Cholesky.
    """

    spectrum: Floats
    reg: float
    nu: float
    prior: float
    steps: int

    @classmethod
    def of(cls, spectrum: NDArray[np.float64], recordings: int, config: TrainConfig) -> "HalfStep":
        return cls(
            spectrum.astype(np.float32),
            config.regularisation,
            config.exponent,
            config.alpha0 * recordings,
            config.user_steps,
        )

    def penalties(self, block: Block) -> Floats:
        """λ_u of the block's users."""
        return block.penalties(self.reg, self.nu, self.prior)

    def solve(self, block: Block, y: Floats, toward: Floats | None = None) -> Floats:
        """User factors of the block, float32 [users, rank]; `toward` [users, rank] is where their penalty draws them instead of to 0."""
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
    """`idx int, factors array<float>`: the optimum of each user in `rows` for fixed recording factors.

    A user's factors depend on his rows and `y` alone, so `rows` must be his whole history. Who knows none of the recordings is left out:
    factors of 0 would say that he likes everything as much.

    Args:
        rows: `user_idx, recording_idx, value` of `signed`, in any order.
        catalogue: recording idx of the rows of `y`, ascending; rows of other recordings are passed over.
        y: recording factors [recordings, rank].
    """
    spectrum, basis = eigenbasis(y.T @ y)
    turned, back = (y @ basis).astype(np.float32), basis.T
    return by_block(
        in_blocks(rows, config.blocks),
        solver(catalogue, turned, back, HalfStep.of(spectrum, len(y), config)),
        FACTORS,
    )


def solver(
    catalogue: NDArray[np.int32], y: Floats, back: NDArray[np.float64], half: HalfStep
) -> Callable[[int, Any], Any]:
    """For `by_block`: rows of users → their `FACTORS`, for recordings `y` in their eigenbasis, turned `back`."""

    def solve(_: int, table: Any) -> Any:
        block = pack_table(table, catalogue)
        known = np.diff(block.indptr) > 0
        return as_table(block.users[known], half.solve(block, y)[known] @ back)

    return solve
