"""One pass of the engine `blocked` over one block of users, on the machine that has the block's files.

A block is the evidence of some users, as a sparse matrix. A pass either computes the factors x of its users
from the recording factors Y, or multiplies the block by a matrix. Each machine keeps its blocks as files in a
scratch folder and maps them into memory. So Spark sends only the number of a block, not the block.

The files are only a cache. A task that finds no files reports this, and is called again with the block's
bytes. It then computes x again. The result is the same, because x depends only on the block and Y. So a lost
executor costs time, but does not change the result.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trackpools.core.als.blocks import DTYPES, Block
from trackpools.core.als.fold_in_users import HalfStep
from trackpools.core.als.stripes import Task, one_row
from trackpools.core.arrays.array_types import Float32Array
from trackpools.shell.resilience.atomic_file import atomic_file

PREFIX = "trackpools-blocked-"
ANSWER = "block int, partial binary, gram binary, loss double, penalty double"  # columns of a `BlockResult`


@dataclass(frozen=True)
class TrainingScratch:
    """The folder in which each machine keeps its files of one training.

    Attributes:
        run: identifier of the training.
        shared: if Spark runs on a single machine, the folder that the driver and all tasks share. None on a
            cluster: there each executor uses one of its Spark folders, which Spark deletes when the executor
            ends.
    """

    run: str
    shared: str | None

    @classmethod
    def create(cls, *, single_machine: bool) -> "TrainingScratch":
        """Choose an identifier; on a single machine, also create a folder that no other account may enter."""
        return cls(uuid.uuid4().hex, tempfile.mkdtemp(prefix=PREFIX) if single_machine else None)

    @property
    def folder(self) -> Path:
        if self.shared is not None:
            return Path(self.shared)
        # Spark passes the executor's folders to its Python workers in this variable.
        return Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0]) / (
            PREFIX + self.run
        )

    def forget(self) -> None:
        """Delete this machine's files of the training."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _save(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Save an array completely or not at all.

    This matters because two tasks may write the same file at once, and a task may be killed while it writes.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The file need not be durable: nothing reads it after the machine has failed.
    with atomic_file(folder / f"{name}.npy", durable=False) as draft, draft.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _load(folder: Path, name: str) -> Any:
    """Map an array from its file.

    The array is mapped copy-on-write and not read-only, because Numba would compile every kernel a second
    time for read-only arrays.
    """
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False))


def _save_block(folder: Path, block: Block) -> None:
    for name in DTYPES:
        _save(folder, name, getattr(block, name))


def _load_block(folder: Path) -> Block | None:
    try:
        return Block(**{name: _load(folder, name) for name in DTYPES})
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Work:
    """The parameters of a pass.

    Attributes:
        place: the folder of the training's files.
        iteration: number of the iteration; it is part of the name of the file with the users' factors.
        half: computes the factors of users from fixed recording factors.
    """

    place: TrainingScratch
    iteration: int
    half: HalfStep


@dataclass(frozen=True)
class BlockResult:
    """The result of a pass for one block of users.

    Attributes:
        out: the block's part of the recordings' residual, or of the product with a direction, float32
            [recordings, rank]. None if the machine has no files of the block and its bytes were not sent.
        gram: XᵀX of the block's users, float64 [rank, rank]; None in a pass with a direction.
        loss: loss of the block's observed entries; 0 in a pass with a direction.
        penalty: regularisation penalty of the block's users; 0 in a pass with a direction.
    """

    out: Float32Array | None
    gram: NDArray[np.float64] | None = None
    loss: float = 0.0
    penalty: float = 0.0


def keep_blocks(place: TrainingScratch) -> Task:
    """Return a task that saves the files of each block on the machine on which the task runs.

    It takes rows `block, *BYTES` and returns them unchanged.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for row in batch.to_pylist():
                _save_block(place.folder / str(row["block"]), Block.from_bytes(row))
            yield batch

    return task


def visit(work: Work, y: Float32Array, direction: Float32Array | None) -> Task:
    """Return a task that runs `process_block` on each block; `y` and `direction` are sent with the task.

    Args:
        work: the parameters of the pass.
        y: recording factors, float32 [recordings, rank].
        direction: as for `process_block`.

    Returns:
        A task for `mapInArrow` from rows `block[, *BYTES]` to rows `ANSWER`, one row for each block.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        with threadpool_limits(1, "blas"):  # a task has one core
            for batch in batches:
                for row in batch.to_pylist():
                    told = process_block(work, row, y, direction)
                    yield one_row(
                        ANSWER,
                        block=row["block"],
                        partial=told.out,
                        gram=told.gram,
                        loss=told.loss,
                        penalty=told.penalty,
                    )

    return task


def process_block(
    work: Work, row: dict[str, Any], y: Float32Array, direction: Float32Array | None
) -> BlockResult:
    """Run a pass on the block that `row` names.

    Without a direction, this is the half-step of the users: it computes their factors x from `y`, and also
    the block's part of the recordings' residual and of the loss, both for observed pairs only. With a
    direction p, it computes the block's part of the product Σ_u a_ui x_u (x_u·p_i), again for observed pairs
    only (a_ui is the confidence minus 1). Then `y` is only needed to compute x again if the file of x was
    lost.

    Args:
        work: the parameters of the pass.
        row: `block`, and optionally the block's bytes, which are used if this machine has no files of the
            block.
        y: recording factors, float32 [recordings, rank].
        direction: float32 [recordings, rank], or None.
    """
    from trackpools.core.als import kernels

    folder = work.place.folder / str(row["block"])
    block = _load_block(folder)
    if block is None and row.get("users") is not None:
        block = Block.from_bytes(row)
        _save_block(folder, block)
    name = f"x-{work.iteration}"
    x = _load(folder, name) if (folder / f"{name}.npy").exists() else None
    if block is None:
        return BlockResult(None)
    if x is None:
        x = work.half.solve(block, y)
        for old in folder.glob("x-*.npy"):
            old.unlink(missing_ok=True)
        _save(folder, name, x)
    if direction is not None:
        out = np.zeros_like(direction)
        kernels.product(block.indptr, block.columns, block.values, x, direction, out)
        return BlockResult(out)
    out = np.zeros_like(y)
    loss = kernels.residual(block.indptr, block.columns, block.values, x, y, out)
    wide = x.astype(np.float64)
    return BlockResult(
        out,
        wide.T @ wide,
        loss,
        float(work.half.penalties(block).astype(np.float64) @ (wide * wide).sum(axis=1)),
    )


def read(row: dict[str, Any], rank: int) -> BlockResult:
    """Decode a row of `ANSWER`; a null matrix becomes None."""
    if row["partial"] is None:
        return BlockResult(None)
    gram = None if row["gram"] is None else np.frombuffer(row["gram"]).reshape(rank, rank)
    return BlockResult(
        np.frombuffer(row["partial"], np.float32).reshape(-1, rank), gram, row["loss"], row["penalty"]
    )


def clean_up(place: TrainingScratch) -> Task:
    """Return a task that deletes the training's files on the machine on which the task runs.

    It takes rows `block` and returns them unchanged.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            place.forget()
            yield batch

    return task
