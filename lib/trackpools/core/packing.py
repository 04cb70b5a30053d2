"""Rows of users, packed: a few rows of bytes a block of users instead of a row each, for bytes are what Spark moves and groups fastest.

`packed` makes such rows where the rows lie, before a shuffle; `values` and `Lists` take them apart in a task that has all of a block.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

PIECE = (
    2**25
)  # bytes of rows that a task packs at a time; more makes fewer, larger rows where users lie scattered
HASHES = 2**31  # of an int32 idx
FIBONACCI = 1_327_217_885  # odd, next to HASHES / golden ratio: neighbours end far from each other
Longs = NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Which block a `user_idx` belongs to, a number from 0.

    Neighbours by idx; or, of few who lie scattered among all, whoever multiplicative hashing (Knuth 1973, 6.4) puts together: blocks are as full then,
    also where the few are newcomers whose numbers follow each other.

    Attributes:
        size: users a block.
        few: how many users there are, where they are few of all.
    """

    size: int
    few: int | None = None

    @property
    def _width(self) -> int:
        return self.size if self.few is None else max(1, HASHES * self.size // max(1, self.few))

    @property
    def column(self) -> Column:
        """Of the column `user_idx`, long."""
        place = (
            F.col("user_idx")
            if self.few is None
            else F.col("user_idx").cast("long") * F.lit(FIBONACCI) % F.lit(HASHES)
        )
        return F.floor(place / F.lit(self._width))

    def of(self, idx: NDArray[np.int32]) -> Longs:
        """Of these, int64."""
        wide = idx.astype(np.int64)
        return (wide if self.few is None else wide * FIBONACCI % HASHES) // self._width


def packed(rows: DataFrame, blocks: Blocks, types: Mapping[str, Any]) -> DataFrame:
    """`block long` and a binary column for each of `types`: the values of some users' rows one behind the other, in the same order in all.

    A block may have several such rows, as its users' rows lay in several places; in which order depends on partitions.

    Args:
        rows: has `user_idx int` and the columns of `types`, none of them null.
        types: NumPy type of a column; bytes for a binary column, whose lengths another column must tell.
    """
    schema = ", ".join(["block long", *(f"{name} binary" for name in types)])
    return rows.select(*dict.fromkeys(["user_idx", *types])).mapInArrow(_pack(blocks, types), schema)


def _pack(into: Blocks, types: Mapping[str, Any]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        held: list[Any] = []
        size_held = 0
        for batch in batches:
            held.append(batch)
            size_held += batch.nbytes
            if size_held >= PIECE:
                yield _by_block(pa.Table.from_batches(held), into, types)
                held, size_held = [], 0
        if held:
            yield _by_block(pa.Table.from_batches(held), into, types)

    return run


def _by_block(rows: Any, into: Blocks, types: Mapping[str, Any]) -> Any:
    blocks = into.of(rows["user_idx"].to_numpy())
    order = None
    if (blocks[1:] < blocks[:-1]).any():
        order = np.argsort(_small(blocks), kind="stable")
        blocks = blocks[order]
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    bounds = np.append(starts, len(blocks))
    columns = [_bytes(name, rows[name], kind, order, bounds) for name, kind in types.items()]
    return pa.RecordBatch.from_arrays([pa.array(blocks[starts]), *columns], ["block", *types])


def _small(numbers: NDArray[Any]) -> NDArray[Any]:
    """Numbers that sort as these; of 16 bits where they fit, which NumPy sorts by radix."""
    least = numbers.min(initial=HASHES - 1)
    return (numbers - least).astype(np.uint16) if len(numbers) and numbers.max() - least < 2**16 else numbers


def _bytes(name: str, column: Any, kind: Any, order: Longs | None, bounds: Longs) -> Any:
    """The bytes of a column between bounds.

    Raises:
        ValueError: where a value is null: no bytes say so.
    """
    if column.null_count:
        raise ValueError(f"cannot pack null; {name} has {column.null_count}")
    if kind is bytes:
        sorted_ = column if order is None else pc.take(column, pa.array(order))
        flat, ends = _flat(sorted_)
        return binaries(flat, ends[bounds])
    numbers = np.asarray(column.to_numpy(), kind)
    numbers = numbers if order is None else numbers[order]
    return binaries(numbers, bounds * numbers.itemsize)


def binaries(data: NDArray[Any], ends: Longs) -> Any:
    """An Arrow array of the bytes of `data` between `ends` [rows + 1]."""
    return pa.BinaryArray.from_buffers(
        pa.binary(),
        len(ends) - 1,
        [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))],
    )


def _flat(column: Any) -> tuple[NDArray[np.uint8], Longs]:
    """All bytes of a binary column, and the ends [rows + 1] of its rows in them; of a null row none."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = whole.cast(pa.large_binary())
    _, ends, data = whole.buffers()
    if data is None or ends is None:
        return np.empty(0, np.uint8), np.zeros(len(whole) + 1, np.int64)
    edges = np.frombuffer(ends, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    return np.frombuffer(data, np.uint8)[edges[0] : edges[-1]], edges - edges[0]


def values(column: Any, kind: Any) -> NDArray[Any]:
    """What the rows of a packed column hold, one behind the other, as numbers of this type; read only."""
    found: NDArray[Any] = _flat(column)[0].view(kind)
    return found if found.flags.aligned else found.copy()


@dataclass(frozen=True)
class Lists:
    """Which of some rows belong to each user: `rows[offsets[u]:offsets[u + 1]]`.

    Attributes:
        offsets: int64 [users + 1].
        rows: int64, row numbers.
    """

    offsets: Longs
    rows: Longs

    @staticmethod
    def of(users: NDArray[np.int32], owners: NDArray[np.int32]) -> "Lists":
        """The rows of each of `users` (ascending) by the user idx of each row; rows of others are left out."""
        order = np.argsort(_small(owners), kind="stable")
        starts, ends = (np.searchsorted(owners[order], users, side) for side in ("left", "right"))
        offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        return Lists(offsets, order[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)])
