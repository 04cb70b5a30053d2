"""Recordings in stripes: what `blocked` moves where the driver should not hold the factors of all of them.

A stripe is a row. It goes to every block of users, each block answers with its partial sum for it, and the sum over the blocks, in block
order and float64, stands in the row again: all by shuffles, so no machine ever holds more than a stripe of the float64 state.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.als.descent import Descent, Matrix, Vector, eigenbasis
from trackpools.core.als.factors import as_table

STRIPE_BYTES = (
    4 * 2**20
)  # of float32 factors at most; a row of state and sums is 8 times that, and Spark holds some copies of a row
STATE = ("y", "residual", "p", "rz")  # of `Descent`, float64; `y` alone between two iterations
SUMS = f"stripe int, {', '.join(f'{name} binary' for name in STATE)}, observed binary, told binary"
PARTIALS = f"block int, {SUMS}"
SHIPPED = "stripe int, name string, matrix binary"
TOLD = -1  # the stripe of what blocks tell the driver
ITERATION = "stripe int, stripes int, y binary, gram binary, weight double, curve array<double>"
Task = Callable[[Iterator[Any]], Iterator[Any]]


@dataclass(frozen=True)
class Layout:
    """Which recordings, by their position in the catalogue, stand in which stripe.

    Attributes:
        recordings, rank: of the factors.
        rows: recordings a stripe; the last may hold fewer.
    """

    recordings: int
    rank: int
    rows: int

    @staticmethod
    def of(recordings: int, rank: int, most_bytes: int) -> "Layout":
        """Stripes of at most so many bytes of float32 factors, and of STRIPE_BYTES."""
        return Layout(recordings, rank, max(1, min(most_bytes, STRIPE_BYTES) // (4 * rank)))

    @property
    def count(self) -> int:
        return -(-self.recordings // self.rows)

    def part(self, stripe: int) -> slice:
        """Its recordings."""
        return slice(stripe * self.rows, min((stripe + 1) * self.rows, self.recordings))


def addresses(blocks: int) -> list[int]:
    """For each block an int that Spark hashes into it: the least of `pmod(murmur3(int), blocks)`."""
    tried = 16 * blocks
    while True:
        found, first = np.unique(_murmur3(np.arange(tried, dtype=np.uint32)) % blocks, return_index=True)
        if len(found) == blocks:
            return [int(number) for number in first]
        tried *= 2


def _murmur3(values: NDArray[np.uint32]) -> NDArray[np.int64]:
    """What Spark's `hash` makes of ints (Appleby's MurmurHash3_x86_32 of four bytes, seed 42)."""
    k = values * np.uint32(0xCC9E2D51)
    k = (k << np.uint32(15) | k >> np.uint32(17)) * np.uint32(0x1B873593)
    h = np.uint32(42) ^ k
    h = (h << np.uint32(13) | h >> np.uint32(19)) * np.uint32(5) + np.uint32(0xE6546B64) ^ np.uint32(4)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> np.uint32(shift)) * np.uint32(factor)
    return (h ^ h >> np.uint32(16)).view(np.int32).astype(np.int64)


def address(number: Column, count: int) -> Column:
    """The int that Spark hashes into partition `number` of `count`."""
    return F.element_at(F.lit(addresses(count)), number + 1)


def addressed(shipped: DataFrame, blocks: int) -> DataFrame:
    """Rows of the frame once for each block, with `at int`, which Spark hashes into it."""
    return shipped.withColumn("at", F.explode(F.lit(addresses(blocks))))


def rows_of(batches: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Row by row, binaries as buffers that are not copied: rows are few and large."""
    for batch in batches:
        for i in range(batch.num_rows):
            row = {name: batch.column(name)[i] for name in batch.schema.names}
            yield {
                name: value.as_buffer()
                if pa.types.is_binary(value.type) and value.is_valid
                else value.as_py()
                for name, value in row.items()
            }


def one_row(schema: str, **values: Any) -> Any:
    """A batch of one row; what is not given is null; arrays and buffers become binaries without a copy."""
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


def _one(value: Any, kind: Any) -> Any:
    if isinstance(value, np.ndarray | pa.Buffer):
        data = pa.py_buffer(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)
        return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(np.array([0, data.size], np.int32)), data])
    return pa.array([value], kind)


def begin(layout: Layout, seed: int, scale: float) -> Task:
    """Rows `id` of stripes → rows SUMS with the start, what `blocked` begins with too: uniform in [0, scale)."""

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


def turn(basis: Matrix) -> Task:
    """Rows of ITERATION → rows SUMS, their factors turned into another basis."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            yield one_row(SUMS, stripe=given["stripe"], y=_matrix(given["y"], len(basis)) @ basis)

    return task


@dataclass(frozen=True)
class Step:
    """A step of the recording half-step, stripe by stripe; the same as `Descent` takes for all recordings at once.

    Attributes:
        gram: XᵀX of the users.
        penalty: λ_i of all recordings.
        opening: whether the sums are the observed residual, from which the descent starts.
    """

    layout: Layout
    gram: Matrix
    penalty: Vector
    opening: bool

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
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
    """Rows SUMS → rows SHIPPED: one of their matrices as float32."""

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
    """Rows PARTIALS, by stripe and then block, the state of a stripe as its block −1 → rows SUMS: the state and the sum over blocks."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        state: dict[str, Any] = {}
        for given in rows_of(batches):
            if state.get("stripe") != given["stripe"]:
                if state:
                    yield one_row(SUMS, **state)
                state = {name: given[name] for name in ("stripe", *STATE)}
            name, kind = ("told", np.float64) if given["stripe"] == TOLD else ("observed", np.float32)
            if given[name] is not None:
                values = np.frombuffer(given[name], kind)
                state[name] = state[name] + values if name in state else values.astype(np.float64)
        if state:
            yield one_row(SUMS, **state)

    return task


def finish(layout: Layout, penalty: Vector, curve: Sequence[float]) -> Task:
    """Rows SUMS → rows ITERATION: factors, their Gram matrix, and Σ λ_i‖y_i‖²."""

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
    """Rows of ITERATION → rows `idx int, factors array<float>`."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for given in rows_of(batches):
            yield from as_table(
                catalogue[layout.part(given["stripe"])], _matrix(given["y"], layout.rank)
            ).to_batches()

    return task


def _matrix(data: Any, rank: int) -> Matrix:
    return np.frombuffer(data).reshape(-1, rank)
