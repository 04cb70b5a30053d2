"""What `blocked` does with a block of users: solve it, or multiply by it; on the machine that holds the block's files.

A block is read from files in this machine's scratch folder, mapped and not copied, so a pass moves block numbers instead of blocks.
Files are a cache: who finds none says so, and is asked again with the block's bytes; x is solved again, for it is a pure function of block
and Y. A lost executor therefore changes nothing but time.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trackpools.core.als.blocks import DTYPES, Block
from trackpools.core.als.foldin import HalfStep
from trackpools.core.als.stripes import one_row

Floats = NDArray[np.float32]
PREFIX = "trackpools-blocked-"
ANSWER = "block int, partial binary, gram binary, loss double, penalty double"


@dataclass(frozen=True)
class Place:
    """Where a machine keeps its files of a training.

    Attributes:
        run: names the training.
        shared: folder of the driver and all tasks on a single machine; None lets each executor use the folders that die with it.
    """

    run: str
    shared: str | None

    @classmethod
    def make(cls, *, single_machine: bool) -> "Place":
        """A new one; on a single machine a new folder that nobody else may enter."""
        return cls(uuid.uuid4().hex, tempfile.mkdtemp(prefix=PREFIX) if single_machine else None)

    @property
    def folder(self) -> Path:
        if self.shared is not None:
            return Path(self.shared)
        # Spark tells its Python workers their executor's folders
        return Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0]) / (
            PREFIX + self.run
        )

    def forget(self) -> None:
        """Delete this machine's files of the training."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _save(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Whole or not at all: two tasks may write the same file, and one may be killed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = folder / f"{name}.{os.getpid()}.tmp"
    with unfinished.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    unfinished.replace(folder / f"{name}.npy")


def _load(folder: Path, name: str) -> Any:
    """An array mapped from its file; copy on write, for kernels compile apart for arrays they may not write."""
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
    """What a pass is about: its files, its iteration, and how users are solved."""

    place: Place
    iteration: int
    half: HalfStep


@dataclass(frozen=True)
class Answer:
    """What a block of users says of a pass.

    Attributes:
        out: partial sum float32 [recordings, rank]; None where the block is lost and its bytes did not come along.
        gram: XᵀX [rank, rank]; None in a pass with a direction, as loss and penalty are 0 there.
    """

    out: Floats | None
    gram: NDArray[np.float64] | None = None
    loss: float = 0.0
    penalty: float = 0.0


def keep_blocks(place: Place) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Rows `block, *BYTES` pass through; each leaves its files on this machine."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for row in batch.to_pylist():
                _save_block(place.folder / str(row["block"]), Block.from_bytes(row))
            yield batch

    return task


def visit(work: Work, y: Floats, direction: Floats | None) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Rows `block[, *BYTES]` → rows `ANSWER`, a row a block; see `answer`. Spark broadcasts the matrices."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        with threadpool_limits(1, "blas"):  # a task has one core
            for batch in batches:
                for row in batch.to_pylist():
                    told = answer(work, row, y, direction)
                    yield one_row(
                        ANSWER,
                        block=row["block"],
                        partial=told.out,
                        gram=told.gram,
                        loss=told.loss,
                        penalty=told.penalty,
                    )

    return task


def answer(work: Work, row: dict[str, Any], y: Floats, direction: Floats | None) -> Answer:
    """Of the block that `row` names, from this machine's files or, where it has them, from the row's bytes.

    Without a direction: the user half-step, and the observed residual of the recordings and of the loss in the same pass. With one:
    its observed product; `y` is there to solve x again where it was lost.
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
        return Answer(None)
    if x is None:
        x = work.half.solve(block, y)
        for old in folder.glob("x-*.npy"):
            old.unlink(missing_ok=True)
        _save(folder, name, x)
    if direction is not None:
        out = np.zeros_like(direction)
        kernels.product(block.indptr, block.columns, block.values, x, direction, out)
        return Answer(out)
    out = np.zeros_like(y)
    loss = kernels.residual(block.indptr, block.columns, block.values, x, y, out)
    wide = x.astype(np.float64)
    return Answer(
        out,
        wide.T @ wide,
        loss,
        float(work.half.penalties(block).astype(np.float64) @ (wide * wide).sum(axis=1)),
    )


def read(row: dict[str, Any], rank: int) -> Answer:
    """The answer of a row of `ANSWER`; None is what it does not say."""
    if row["partial"] is None:
        return Answer(None)
    gram = None if row["gram"] is None else np.frombuffer(row["gram"]).reshape(rank, rank)
    return Answer(
        np.frombuffer(row["partial"], np.float32).reshape(-1, rank), gram, row["loss"], row["penalty"]
    )


def clean_up(place: Place) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Rows `block` pass through; the machines that hold them forget the training."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            place.forget()
            yield batch

    return task
