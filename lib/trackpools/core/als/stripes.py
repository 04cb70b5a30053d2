"""Recording factors in stripes, for trainings in which the driver should not hold all of them.

A stripe is a group of recordings with successive positions in the catalogue. One row of a frame holds the
stripe's factors and the state of its conjugate gradient (see `item_solver.Descent`). In each pass, every
stripe is sent to every block of users, and each block returns its partial sum for the stripe. The partial
sums are added up in block order, in float64, in a new row of the stripe. All this is done by Spark shuffles,
so no task ever holds more than one stripe of the float64 state.

This module has the functions that Spark tasks run; `shell.training.striped` runs the passes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.als.factors import as_table
from trackpools.core.als.item_solver import Descent, eigenbasis
from trackpools.core.arrays.array_types import Float64Array

# The largest size in bytes of a stripe's float32 factors. A row of state and sums is 8 times as large, and
# Spark holds some copies of a row.
STRIPE_BYTES = 4 * 2**20
# Fields of `Descent`, float64. Between two iterations only `y` has a value.
STATE = ("y", "residual", "p", "rz")
# The state of a stripe after a pass. `observed` is the sum of what the blocks computed for the stripe,
# float64. `told` has a value only in the row of DRIVER_STRIPE: the Gram matrix of the users, their loss and
# their penalty, summed over blocks, float64 [rank² + 2]. The driver reads them.
SUMS = f"stripe int, {', '.join(f'{name} binary' for name in STATE)}, observed binary, told binary"
# A row holds what one block computed for one stripe; its `observed` is float32. The row with block −1 holds
# the state of the stripe instead.
PARTIALS = f"block int, {SUMS}"
SHIPPED = (
    "stripe int, name string, matrix binary"  # a float32 matrix for the blocks; `name` is its field in STATE
)
DRIVER_STRIPE = -1  # the stripe number of values that blocks report to the driver
# The result of an iteration for one stripe; see `finish`.
ITERATION = "stripe int, stripes int, y binary, gram binary, weight double, curve array<double>"
Task = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]  # the argument of `mapInArrow`


@dataclass(frozen=True)
class Layout:
    """The division of the recordings into stripes, by their position in the catalogue.

    Attributes:
        recordings, rank: the shape of the factors of all recordings.
        rows: number of recordings in a stripe; the last stripe may hold fewer.
    """

    recordings: int
    rank: int
    rows: int

    @staticmethod
    def of(recordings: int, rank: int, most_bytes: int) -> "Layout":
        """Return stripes with at most `most_bytes`, and at most STRIPE_BYTES, of float32 factors each.

        A stripe holds at least one recording, even if its factors are larger.
        """
        return Layout(recordings, rank, max(1, min(most_bytes, STRIPE_BYTES) // (4 * rank)))

    @property
    def count(self) -> int:
        """The number of stripes."""
        return -(-self.recordings // self.rows)

    def part(self, stripe: int) -> slice:
        """Return the positions of the stripe's recordings in the catalogue."""
        return slice(stripe * self.rows, min((stripe + 1) * self.rows, self.recordings))


def addresses(blocks: int) -> list[int]:
    """Return, for each block, its address: the smallest int ≥ 0 that Spark hashes into that block.

    Spark's hash partitioning puts an int into the partition `pmod(hash(int), blocks)`.
    """
    tried = 16 * blocks
    while True:
        found, first = np.unique(_murmur3(np.arange(tried, dtype=np.uint32)) % blocks, return_index=True)
        if len(found) == blocks:
            return [int(number) for number in first]
        tried *= 2


def _murmur3(values: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return Spark's `hash` of ints: Appleby's MurmurHash3_x86_32 of four bytes, with seed 42."""
    k = values * np.uint32(0xCC9E2D51)
    k = (k << np.uint32(15) | k >> np.uint32(17)) * np.uint32(0x1B873593)
    h = np.uint32(42) ^ k
    h = (h << np.uint32(13) | h >> np.uint32(19)) * np.uint32(5) + np.uint32(0xE6546B64) ^ np.uint32(4)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> np.uint32(shift)) * np.uint32(factor)
    return (h ^ h >> np.uint32(16)).view(np.int32).astype(np.int64)


def address(number: Column, count: int) -> Column:
    """Return the address of partition `number` out of `count`, see `addresses`."""
    return F.element_at(F.lit(addresses(count)), number + 1)


def addressed(shipped: DataFrame, blocks: int) -> DataFrame:
    """Repeat every row for each block, with a column `at int`, the address of the block (see `addresses`)."""
    return shipped.withColumn("at", F.explode(F.lit(addresses(blocks))))


def rows_of(batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yield each row as a dict. Binaries are Arrow buffers, because copies of such large values cost much."""
    for batch in batches:
        for i in range(batch.num_rows):
            row = {name: batch.column(name)[i] for name in batch.schema.names}
            yield {
                name: value.as_buffer()
                if pa.types.is_binary(value.type) and value.is_valid
                else value.as_py()
                for name, value in row.items()
            }


def one_row(schema: str, **values: object) -> pa.RecordBatch:
    """Return a batch of one row.

    NumPy arrays and Arrow buffers become binaries without a copy.

    Args:
        schema: names and types of the columns, such as SUMS.
        values: column name → value; the other columns are null.
    """
    kinds = {
        "int": pa.int32(),
        "string": pa.string(),
        "double": pa.float64(),
        "binary": pa.binary(),
        "array<double>": pa.list_(pa.float64()),
    }
    fields = dict(field.split() for field in schema.split(", "))
    return pa.RecordBatch.from_arrays(
        [_one(values.get(name), kinds[kind]) for name, kind in fields.items()], list(fields)
    )


def _one(value: object, kind: pa.DataType) -> pa.Array:
    if isinstance(value, np.ndarray | pa.Buffer):
        data = pa.py_buffer(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)
        return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(np.array([0, data.size], np.int32)), data])
    return pa.array([value], kind)


def begin(layout: Layout, seed: int, scale: float) -> Task:
    """Return a task: rows with the number of a stripe in `id` → rows SUMS with the first factors in `y`.

    The factors are uniformly distributed in [0, scale). They are equal to those of a training in the driver
    with the same seed.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            part = layout.part(given["id"])
            numbers = np.random.PCG64(seed)
            numbers.advance(part.start * layout.rank)
            yield one_row(
                SUMS,
                stripe=given["id"],
                y=scale * np.random.Generator(numbers).random((part.stop - part.start, layout.rank)),
            )

    return task


def turn(basis: Float64Array) -> Task:
    """Return a task: rows of ITERATION → rows SUMS with the factors `y` in another basis.

    Args:
        basis: the vectors of the new basis as columns, float64 [rank, rank].
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            yield one_row(SUMS, stripe=given["stripe"], y=_matrix(given["y"], len(basis)) @ basis)

    return task


@dataclass(frozen=True)
class Step:
    """A task that does one step of `item_solver.Descent` for each stripe: rows SUMS → rows SUMS.

    The result is the same as that of the step for all recordings at once.

    Attributes:
        layout: the division of the recordings into stripes.
        gram: XᵀX of the users, float64 [rank, rank].
        penalty: λ_i of all recordings, float64 [recordings].
        opening: if true, the column `observed` holds the observed residual, and the task returns the state
            before the first step. If false, it holds the observed products with `p`, and the task does a
            step.
    """

    layout: Layout
    gram: Float64Array
    penalty: Float64Array
    opening: bool

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rank = self.layout.rank
        spectrum, basis = eigenbasis(self.gram)
        for given in rows_of(batches):
            penalty, observed = (
                self.penalty[self.layout.part(given["stripe"])],
                _matrix(given["observed"], rank),
            )
            if self.opening:
                descent = Descent.start(_matrix(given["y"], rank), observed, self.gram, penalty)
            else:
                y, residual, p = (_matrix(given[name], rank).copy() for name in ("y", "residual", "p"))
                descent = Descent(
                    y, residual, self.gram, penalty, spectrum, basis, p, np.frombuffer(given["rz"])
                )
                descent.step(observed)
            yield one_row(SUMS, stripe=given["stripe"], **{name: getattr(descent, name) for name in STATE})


def ship(name: str) -> Task:
    """Return a task: rows SUMS → rows SHIPPED with the matrix `name` (a field of STATE) as float32."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            yield one_row(
                SHIPPED,
                stripe=given["stripe"],
                name=name,
                matrix=np.frombuffer(given[name]).astype(np.float32),
            )

    return task


def add_up() -> Task:
    """Return a task: rows PARTIALS → rows SUMS with the state of each stripe and its sums over all blocks.

    All rows of a stripe must be in one partition, ordered by stripe, then block. The first row of a stripe,
    with block −1, holds the state; DRIVER_STRIPE has no such row.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        state: dict[str, Any] = {}
        for given in rows_of(batches):
            if state.get("stripe") != given["stripe"]:
                if state:
                    yield one_row(SUMS, **state)
                state = {name: given[name] for name in ("stripe", *STATE)}
            name, kind = (
                ("told", np.float64) if given["stripe"] == DRIVER_STRIPE else ("observed", np.float32)
            )
            if given[name] is not None:
                values = np.frombuffer(given[name], kind)
                state[name] = state[name] + values if name in state else values.astype(np.float64)
        if state:
            yield one_row(SUMS, **state)

    return task


def finish(layout: Layout, penalty: Float64Array, curve: Sequence[float]) -> Task:
    """Return a task: rows SUMS → rows ITERATION, the result of an iteration.

    `stripes` is the number of all stripes, `y` the factors, `gram` their Gram matrix, and `weight` is
    Σ λ_i‖y_i‖² of the stripe.

    Args:
        layout: the division of the recordings into stripes.
        penalty: λ_i of all recordings, float64 [recordings].
        curve: the loss of each iteration so far; it is copied to each row.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            y = _matrix(given["y"], layout.rank)
            weight = float(penalty[layout.part(given["stripe"])] @ (y * y).sum(axis=1))
            yield one_row(
                ITERATION,
                stripe=given["stripe"],
                stripes=layout.count,
                y=y,
                gram=y.T @ y,
                weight=weight,
                curve=list(curve),
            )

    return task


def unpack(layout: Layout, catalogue: NDArray[np.int32]) -> Task:
    """Return a task: rows of ITERATION → rows `idx int, factors array<float>`.

    Args:
        layout: the division of the recordings into stripes.
        catalogue: idx of all recordings, int32 [recordings], ascending.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            yield from as_table(
                catalogue[layout.part(given["stripe"])], _matrix(given["y"], layout.rank)
            ).to_batches()

    return task


def _matrix(data: Any, rank: int) -> Float64Array:
    return np.frombuffer(data).reshape(-1, rank)
