"""Pack the many small rows of each block of users into a few rows of bytes.

Spark shuffles and groups a few large binary values faster than many small rows. `pack_rows` packs the rows in
the partitions where they are, before a shuffle. After the shuffle, a task that has all packed rows of a block
unpacks them with `unpack_values`, and finds the rows of each user with `UserRows`.
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

from trackpools.core.arrays.array_types import Int64Array

# Bytes of rows that a task collects before it packs them. A larger number gives fewer, larger packed rows if
# the users of a block are scattered over a partition.
PIECE = 2**25
HASHES = 2**31  # hashes of `user_idx` are below this
FIBONACCI = 1_327_217_885  # odd, and next to HASHES / golden ratio, so consecutive numbers get distant hashes


@dataclass(frozen=True)
class BlockAssignment:
    """The assignment of users, by `user_idx`, to blocks, which are numbered from 0.

    If all users are assigned, a block holds `size` consecutive values of `user_idx`. If only a small subset
    of the users is assigned, multiplicative hashing (Knuth 1973, 6.4) chooses the block instead. This makes
    the blocks about equally full, even if the subset is new users, who have consecutive numbers.

    Attributes:
        size: number of users in a block; with hashing, the average number.
        subset_size: number of users in the subset; None if all users are assigned.
    """

    size: int
    subset_size: int | None = None

    @property
    def _width(self) -> int:
        return (
            self.size if self.subset_size is None else max(1, HASHES * self.size // max(1, self.subset_size))
        )

    @property
    def column(self) -> Column:
        """A Spark column, long: the block of the user in column `user_idx`."""
        place = (
            F.col("user_idx")
            if self.subset_size is None
            else F.col("user_idx").cast("long") * F.lit(FIBONACCI) % F.lit(HASHES)
        )
        return F.floor(place / F.lit(self._width))

    def of(self, idx: NDArray[np.int32]) -> Int64Array:
        """Return the blocks of these users, int64."""
        wide = idx.astype(np.int64)
        return (wide if self.subset_size is None else wide * FIBONACCI % HASHES) // self._width


def pack_rows(rows: DataFrame, blocks: BlockAssignment, types: Mapping[str, type[object]]) -> DataFrame:
    """Pack rows of users by block.

    A block gets several packed rows if its users' rows are in several partitions, or if a partition has
    more than PIECE bytes of rows. The order of the values depends on the partitions.

    Args:
        rows: `user_idx int` and the columns of `types`, without nulls.
        blocks: the assignment of users to blocks.
        types: column name → NumPy type of its values, or `bytes` for a binary column. The bytes are packed
            without their lengths, so another column must hold the length of each value.

    Returns:
        `block long`, and one binary column for each of `types`. A binary holds, one after another, the
        column's values of all rows of `rows` that were packed into it. The order of these rows is the same in
        all columns.

    Raises:
        ValueError: in the Spark task, if a value is null.
    """
    schema = ", ".join(["block long", *(f"{name} binary" for name in types)])
    return rows.select(*dict.fromkeys(["user_idx", *types])).mapInArrow(_pack(blocks, types), schema)


def _pack(
    into: BlockAssignment, types: Mapping[str, type[object]]
) -> Callable[[Iterator[Any]], Iterator[Any]]:
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


def _by_block(rows: pa.Table, into: BlockAssignment, types: Mapping[str, type[object]]) -> pa.RecordBatch:
    """Return the packed rows of a table, one row for each block; see `pack_rows`."""
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
    """Return numbers that sort in the same order as `numbers`, as uint16 if their range allows it.

    NumPy sorts 16-bit integers by radix, which is faster.
    """
    least = numbers.min(initial=HASHES - 1)
    return (numbers - least).astype(np.uint16) if len(numbers) and numbers.max() - least < 2**16 else numbers


def _bytes(
    name: str, column: pa.ChunkedArray, kind: type[object], order: Int64Array | None, bounds: Int64Array
) -> pa.BinaryArray:
    """Reorder a column's values, and return an Arrow binary array with one row of bytes for each group.

    Args:
        name: the column's name, for the error.
        column: the values, one for each row.
        kind: NumPy type of the values, or `bytes`.
        order: int64, the row numbers in their new order; None to keep the order.
        bounds: int64 [groups + 1]; group `i` is the values `bounds[i]:bounds[i + 1]` in the new order.

    Raises:
        ValueError: if a value is null, which bytes cannot represent.
    """
    if column.null_count:
        raise ValueError(f"nulls cannot be packed; column {name} has {column.null_count}")
    if kind is bytes:
        sorted_ = column if order is None else pc.take(column, pa.array(order))
        flat, ends = _flat(sorted_)
        return binaries(flat, ends[bounds])
    numbers = np.asarray(column.to_numpy(), kind)
    numbers = numbers if order is None else numbers[order]
    return binaries(numbers, bounds * numbers.itemsize)


def binaries(data: NDArray[Any], ends: Int64Array) -> pa.BinaryArray:
    """Return an Arrow binary array whose row `i` has the bytes `ends[i]:ends[i + 1]` of `data`."""
    return pa.BinaryArray.from_buffers(
        pa.binary(),
        len(ends) - 1,
        [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))],
    )


def _flat(column: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.uint8], Int64Array]:
    """Return the bytes of all rows of a binary column, and where each row begins and ends in them.

    Returns:
        (uint8 `data`, int64 `edges` [rows + 1]). Row `i` has the bytes `data[edges[i]:edges[i + 1]]`; a null
        has no bytes.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    whole = whole.cast(pa.large_binary())
    _, ends, data = whole.buffers()
    if data is None or ends is None:
        return np.empty(0, np.uint8), np.zeros(len(whole) + 1, np.int64)
    edges = np.frombuffer(ends, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    return np.frombuffer(data, np.uint8)[edges[0] : edges[-1]], edges - edges[0]


def unpack_values(column: pa.Array | pa.ChunkedArray, kind: type[object]) -> NDArray[Any]:
    """Return the values of all rows of a packed column, as one array of the NumPy type `kind`.

    Do not write to the result: it may be a read-only view of the column's memory.
    """
    found: NDArray[Any] = _flat(column)[0].view(kind)
    return found if found.flags.aligned else found.copy()


@dataclass(frozen=True)
class UserRows:
    """The row numbers that belong to each user.

    Attributes:
        offsets: int64 [users + 1]; the rows of user `u` are `rows[offsets[u]:offsets[u + 1]]`.
        rows: int64, row numbers, ascending for each user.
    """

    offsets: Int64Array
    rows: Int64Array

    @staticmethod
    def of(users: NDArray[np.int32], owners: NDArray[np.int32]) -> "UserRows":
        """Find the rows of each of `users`; rows of other users are left out.

        Args:
            users: user idx, ascending.
            owners: the user idx of each row.
        """
        order = np.argsort(_small(owners), kind="stable")
        starts, ends = (np.searchsorted(owners[order], users, side) for side in ("left", "right"))
        offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        return UserRows(
            offsets, order[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)]
        )
