"""ALS on any cluster, ours: users in CSR blocks that stay where they are, recordings in the driver, few and large messages between.

An iteration is one pass for the user half-step, which also brings the first residual of the recordings and the loss, and one pass for
each conjugate gradient step of the recordings. A pass moves recordings × rank floats to each executor and from each block, whatever the
number of users; on a single machine it moves nothing, and threads of the driver do what tasks do elsewhere. Sums run in block order in
float64, so factors depend on `train.blocks` and the seed, not on partitions or cores.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import TrainConfig
from trackpools.core.als import plan
from trackpools.core.als.blocks import BYTES, DTYPES, pack_table
from trackpools.core.als.descent import Descent, eigenbasis, finite, settled
from trackpools.core.als.factors import as_table
from trackpools.core.als.foldin import HalfStep, by_block, fold_in, in_blocks, signed
from trackpools.core.als.foldin_stripes import fold_in_by_stripes
from trackpools.core.als.stripes import Layout, address
from trackpools.errors import InputError
from trackpools.shell.cluster import cores, master
from trackpools.shell.engines import visits
from trackpools.shell.engines.journal import Finished, Journal
from trackpools.shell.engines.striped import Striped
from trackpools.shell.engines.visits import Answer, Place, Work

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
START = 0.01  # the largest factor to begin with


@dataclass(frozen=True)
class Sums:
    """What a pass brings: the sum over blocks of the partials [recordings, rank], the users' Gram matrix, loss and penalty."""

    partial: Matrix
    gram: Matrix
    loss: float
    penalty: float


def fit(
    training: DataFrame, config: TrainConfig, rank: int, progress: Callable[[float], None] = lambda _: None
) -> tuple[DataFrame, DataFrame, list[float]]:
    """`(users, recordings, loss curve)`; frames are `idx int, factors array<float>`.

    The curve holds the loss after each user half-step; `progress` is told it once the iteration is over. Users are folded in
    against the final recordings when their frame is written.

    Raises:
        InputError: where blocks or messages would be too large, with the arithmetic.
        ModelError: where the loss is not finite.
    """
    rows = signed(training, config)
    catalogue, liked, counted, mark = _catalogue(rows)
    if problems := plan.problems(counted, len(catalogue), rank, config):
        raise InputError("engine blocked cannot train this", problems)
    journal = Journal.of(training.sparkSession, config, (catalogue, liked, mark, rank))
    place = Place.make(single_machine=master(training.sparkSession).startswith("local"))
    striped = plan.is_striped(len(catalogue), rank, config)
    blocks = (
        _in_their_places(rows, config.blocks, catalogue).persist()
        if striped
        else _blocks(rows, config.blocks, catalogue, place)
    )
    shape = len(catalogue), rank
    try:
        penalty = config.regularisation * (liked + config.alpha0 * census(blocks)[1]) ** config.exponent
        if striped:
            assert journal.folder is not None  # noqa: S101 - a problem of the plan
            layout = Layout.of(*shape, config.stripe_bytes)
            recordings, done = Striped(blocks, config, place, layout, penalty, journal.folder).fit(
                START, catalogue, progress
            )
            return fold_in_by_stripes(rows, recordings, done.gram, config), recordings, done.curve
        # above 0, near the popularity that comes first in such data: from numbers around 0 the loss needs some iterations more
        start = START * np.random.default_rng(config.seed).random(shape)

        def after(done: Finished) -> None:
            journal.save(done)
            progress(done.curve[-1])

        y, curve = descend(
            Passes(blocks, config, place, shape), journal.load(Finished(start, [])), penalty, config, after
        )
    finally:
        with suppress(PySparkException):  # what ended the training tells more
            _forget(blocks, place)
    return (
        fold_in(rows, catalogue, y, config),
        training.sparkSession.createDataFrame(as_table(catalogue, y)),
        curve,
    )


def _forget(blocks: DataFrame, place: Place) -> None:
    """Delete what machines hold of the training."""
    if place.shared:
        place.forget()
    else:
        blocks.select("block").mapInArrow(visits.clean_up(place), "block int").count()
    blocks.unpersist()


def census(blocks: DataFrame) -> tuple[list[int], int]:
    """Numbers of the blocks that hold users, and how many users they hold."""
    made = blocks.select("block", F.length("users").alias("bytes")).toArrow()
    return made["block"].to_pylist(), int(made["bytes"].to_numpy().sum()) // np.dtype(
        DTYPES["users"]
    ).itemsize


def descend(
    passes: "Passes",
    done: Finished,
    penalty: NDArray[np.float64],
    config: TrainConfig,
    after: Callable[[Finished], None] = lambda _: None,
) -> tuple[Matrix, list[float]]:
    """Iterate on from what is `done`, telling `after` each iteration; stops early where the loss falls by less than `train.tolerance` of itself."""
    y, curve = done.y, list(done.curve)
    while len(curve) < config.iterations and not settled(curve, config.tolerance):
        spectrum, basis = eigenbasis(y.T @ y)
        y = y @ basis
        sums = passes.half_step(len(curve), y, spectrum)
        fit = sums.loss + float((sums.gram * (y.T @ y)).sum())
        curve.append(finite(len(curve) + 1, fit + sums.penalty + float(penalty @ (y * y).sum(axis=1))))
        descent = Descent.start(y, sums.partial, sums.gram, penalty)
        for _ in range(config.recording_steps):
            descent.step(passes.product(descent.p))
        y = descent.y
        after(Finished(y, list(curve)))
    return y, curve


class Passes:
    """Passes over the blocks of users: a Spark job each or, where all files are on the driver's machine, the driver's threads."""

    def __init__(self, blocks: DataFrame, config: TrainConfig, place: Place, shape: tuple[int, int]) -> None:
        self._blocks, self._config, self._place, self._shape = blocks, config, place, shape
        self._work: tuple[Work, Floats] | None = None
        self._numbers = sorted(census(blocks)[0])

    def half_step(self, iteration: int, y: Matrix, spectrum: Any) -> Sums:
        """Solve all users for recording factors `y` in their eigenbasis."""
        self._work = (
            Work(self._place, iteration, HalfStep.of(spectrum, self._shape[0], self._config)),
            y.astype(np.float32),
        )
        return self._sums(*self._work, None)

    def product(self, p: Matrix) -> Matrix:
        """Σ_u a_ui x_u (x_u·p_i) at the users of the last half-step."""
        assert self._work is not None  # noqa: S101 - descend calls half_step first
        return self._sums(*self._work, p.astype(np.float32)).partial

    def _sums(self, work: Work, y: Floats, p: Floats | None) -> Sums:
        """Over the blocks in their order, whoever is done first."""
        partial, gram, loss, penalty = (
            np.zeros(self._shape),
            np.zeros((self._shape[1], self._shape[1])),
            0.0,
            0.0,
        )
        for told in (self._by_threads if self._place.shared else self._by_tasks)(work, y, p):
            assert told.out is not None  # noqa: S101 - what was lost has been made again
            partial += told.out
            gram += 0.0 if told.gram is None else told.gram
            loss, penalty = loss + told.loss, penalty + told.penalty
        return Sums(partial, gram, loss, penalty)

    def _by_threads(self, work: Work, y: Floats, p: Floats | None) -> Iterator[Answer]:
        with ThreadPoolExecutor(cores(self._blocks.sparkSession)) as pool, threadpool_limits(1, "blas"):
            for number, told in zip(
                self._numbers,
                pool.map(lambda number: visits.answer(work, {"block": number}, y, p), self._numbers),
                strict=True,
            ):
                if told.out is None:
                    self._blocks.where(F.col("block") == number).mapInArrow(
                        visits.keep_blocks(self._place), self._blocks.schema
                    ).count()
                    told = visits.answer(work, {"block": number}, y, p)  # noqa: PLW2901
                yield told

    def _by_tasks(self, work: Work, y: Floats, p: Floats | None) -> Iterator[Answer]:
        task, rank = visits.visit(work, y, p), self._shape[1]

        def ask(frame: DataFrame) -> dict[int, Answer]:
            return {
                row["block"]: visits.read(row, rank)
                for row in frame.mapInArrow(task, visits.ANSWER).toArrow().to_pylist()
            }

        told = ask(self._blocks.select("block"))
        if missing := [block for block, one in told.items() if one.out is None]:
            told |= ask(self._blocks.where(F.col("block").isin(missing)))
        return (told[number] for number in self._numbers)


def _catalogue(rows: DataFrame) -> tuple[NDArray[np.int32], NDArray[np.float64], int, NDArray[np.int64]]:
    """Recording idx in order, how many users have positive evidence of each, how many rows there are, and a mark of each one's rows."""
    mark = F.expr("bit_xor(xxhash64(user_idx, recording_idx, value))").alias("mark")  # in no order
    counts = F.count_if(F.col("value") > 0).alias("liked"), F.count(F.lit(1)).alias("rows"), mark
    found = rows.groupBy("recording_idx").agg(*counts).orderBy("recording_idx").toArrow()
    idx, liked, number, marks = (
        found[name].to_numpy() for name in ("recording_idx", "liked", "rows", "mark")
    )
    return idx.astype(np.int32), liked.astype(np.float64), int(number.sum()), marks


def _blocks(rows: DataFrame, count: int, catalogue: NDArray[np.int32], place: Place) -> DataFrame:
    """`block int, *BYTES`: one row a block and a block a partition, kept by Spark, each with its files on the machine that made it."""
    schema = f"block int, {BYTES}"
    return (
        by_block(in_blocks(rows, count), _packer(catalogue), schema)
        .mapInArrow(visits.keep_blocks(place), schema)
        .persist()
    )


def _in_their_places(rows: DataFrame, count: int, catalogue: NDArray[np.int32]) -> DataFrame:
    """`at int, block int, *BYTES`: one row a block, in the partition where Spark hashes its address `at`."""
    blocks = by_block(in_blocks(rows, count), _packer(catalogue), f"block int, {BYTES}")
    return blocks.withColumn("at", address(F.col("block"), count)).repartition(count, "at")


def _packer(catalogue: NDArray[np.int32]) -> Callable[[int, Any], Any]:
    def pack(number: int, table: Any) -> Any:
        block = pack_table(table, catalogue)
        return pa.table(
            {"block": pa.array([number], pa.int32())}
            | {name: pa.array([data], pa.binary()) for name, data in block.to_bytes().items()}
        )

    return pack
