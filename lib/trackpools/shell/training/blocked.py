"""The engine `blocked`: our own ALS, which runs on any cluster.

The evidence of the users is divided into blocks (CSR matrices), which stay on their machines. The driver
holds the recording factors and receives a partial sum from each block. If these are too large, `striped` is
used instead (see `memory_plan.is_striped`).

An iteration is a series of passes, and each pass visits all blocks. The first pass is the half-step of the
users: it computes their factors, and also the loss and the first residual of the recordings. Then there is
one pass for each conjugate gradient step of the recordings. The first pass sends recordings × rank float32
numbers, the factors, to each executor. A later pass sends twice as many, because it also sends the directions
of the step. Each block returns recordings × rank float32 numbers, for any number of users. On a single
machine nothing is sent: threads of the driver do the work of Spark tasks. Results are added up in block
order, in float64. So the factors depend on `train.blocks` and the seed, but not on the number of partitions
or cores.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import TrainConfig
from trackpools.core.als import memory_plan
from trackpools.core.als.blocks import BYTES, DTYPES, pack_table
from trackpools.core.als.factors import as_table
from trackpools.core.als.fold_in_striped import fold_in_by_stripes
from trackpools.core.als.fold_in_users import HalfStep, fold_in, in_blocks, map_blocks, signed_values
from trackpools.core.als.item_solver import Descent, check_finite, eigenbasis, has_converged
from trackpools.core.als.stripes import Layout, address
from trackpools.core.arrays.array_types import Float32Array, Float64Array
from trackpools.errors import InputError
from trackpools.shell.identity.work_identity import code_hash
from trackpools.shell.spark.context import cores, master
from trackpools.shell.training import block_pass
from trackpools.shell.training.block_pass import BlockResult, TrainingScratch, Work
from trackpools.shell.training.checkpoints import Checkpoint, CheckpointStore
from trackpools.shell.training.striped import Striped

START = 0.01  # upper bound of the initial factors


@dataclass(frozen=True)
class Sums:
    """The result of a pass, summed over all blocks; see `BlockResult`.

    In a pass with a direction, all attributes except `partial` are 0.

    Attributes:
        partial: observed residual of the recordings, or product with a direction, float64 [recordings, rank].
        gram: Gram matrix XᵀX of the users, float64 [rank, rank].
        loss: loss of the observed entries.
        penalty: regularisation penalty of the users.
    """

    partial: Float64Array
    gram: Float64Array
    loss: float
    penalty: float


def fit(
    training: DataFrame, config: TrainConfig, rank: int, progress: Callable[[float], None] = lambda _: None
) -> tuple[DataFrame, DataFrame, list[float]]:
    """Train with the engine `blocked`.

    Args:
        training: `user_idx int, recording_idx int, positive double, negative double`.
        config: the `train` section.
        rank: number of factors.
        progress: called with the loss after each iteration.

    Returns:
        `(users, recordings, loss curve)`. Both frames are `idx int, factors array<float>`. The curve holds
        the loss after each half-step of the users. The frame of the users is lazy: their factors are computed
        from the final recording factors each time the frame is used.

    Raises:
        InputError: if a block of users would be larger than 1 GiB, or if the recordings must be kept in
            stripes and `train.checkpoint_dir` is not set; the message gives the arithmetic.
        ModelError: if the loss is not finite.
    """
    rows = signed_values(training, config)
    catalogue, liked, counted, mark = _catalogue(rows)
    if problems := memory_plan.memory_problems(counted, len(catalogue), rank, config):
        raise InputError("engine blocked cannot train on this input", problems)
    journal = CheckpointStore.of(
        training.sparkSession, config, code_hash(fit), (catalogue, liked, mark, rank)
    )
    place = TrainingScratch.create(single_machine=master(training.sparkSession).startswith("local"))
    striped = memory_plan.is_striped(len(catalogue), rank, config)
    blocks = (
        _in_their_places(rows, config.blocks, catalogue).persist()
        if striped
        else _blocks(rows, config.blocks, catalogue, place)
    )
    shape = len(catalogue), rank
    try:
        penalty = config.regularisation * (liked + config.alpha0 * census(blocks)[1]) ** config.exponent
        if striped:
            assert journal.folder is not None  # noqa: S101 - memory_problems refuses this case
            layout = Layout.of(*shape, config.stripe_bytes)
            recordings, done = Striped(blocks, config, place, layout, penalty, journal.folder).fit(
                START, catalogue, progress
            )
            return fold_in_by_stripes(rows, recordings, done.gram, config), recordings, done.curve
        # The initial factors are positive. So the first scores mostly follow popularity, which is the
        # strongest pattern in such data. From factors around 0, the training would need some more iterations.
        start = START * np.random.default_rng(config.seed).random(shape)

        def after(done: Checkpoint) -> None:
            journal.save(done)
            progress(done.curve[-1])

        y, curve = descend(
            Passes(blocks, config, place, shape), journal.load(Checkpoint(start, [])), penalty, config, after
        )
    finally:
        with suppress(PySparkException):  # an error here must not hide the one that ended the training
            _forget(blocks, place)
    return (
        fold_in(rows, catalogue, y, config),
        training.sparkSession.createDataFrame(as_table(catalogue, y)),
        curve,
    )


def _forget(blocks: DataFrame, place: TrainingScratch) -> None:
    """Delete the files of the training on all machines, and unpersist the blocks."""
    if place.shared:
        place.forget()
    else:
        blocks.select("block").mapInArrow(block_pass.clean_up(place), "block int").count()
    blocks.unpersist()


def census(blocks: DataFrame) -> tuple[list[int], int]:
    """Return the numbers of all blocks, and the number of users in them together."""
    made = blocks.select("block", F.length("users").alias("bytes")).toArrow()
    return made["block"].to_pylist(), int(made["bytes"].to_numpy().sum()) // np.dtype(
        DTYPES["users"]
    ).itemsize


def descend(
    passes: "Passes",
    done: Checkpoint,
    penalty: NDArray[np.float64],
    config: TrainConfig,
    after: Callable[[Checkpoint], None] = lambda _: None,
) -> tuple[Float64Array, list[float]]:
    """Run the remaining iterations of a training.

    The training stops before `train.iterations` if an iteration lowers the loss by at most the share
    `train.tolerance`.

    Args:
        passes: the passes over the blocks of users.
        done: the state to continue from.
        penalty: λ_i, the regularisation weight of each recording, float64 [recordings].
        config: the `train` section.
        after: called with the new state after each iteration.

    Returns:
        Recording factors, float64 [recordings, rank], and the loss curve.

    Raises:
        ModelError: if the loss is not finite.
    """
    y, curve = done.y, list(done.curve)
    while len(curve) < config.iterations and not has_converged(curve, config.tolerance):
        spectrum, basis = eigenbasis(y.T @ y)
        y = y @ basis
        sums = passes.half_step(len(curve), y, spectrum)
        fit = sums.loss + float((sums.gram * (y.T @ y)).sum())
        curve.append(check_finite(len(curve) + 1, fit + sums.penalty + float(penalty @ (y * y).sum(axis=1))))
        descent = Descent.start(y, sums.partial, sums.gram, penalty)
        for _ in range(config.recording_steps):
            descent.step(passes.product(descent.p))
        y = descent.y
        after(Checkpoint(y, list(curve)))
    return y, curve


class Passes:
    """Runs passes over the blocks of users and adds up their results.

    On a cluster, each pass is a Spark job. If Spark runs on a single machine, a pass runs in threads of the
    driver.
    """

    def __init__(
        self, blocks: DataFrame, config: TrainConfig, place: TrainingScratch, shape: tuple[int, int]
    ) -> None:
        self._blocks, self._config, self._place, self._shape = blocks, config, place, shape
        self._work: tuple[Work, Float32Array] | None = None
        self._numbers = sorted(census(blocks)[0])

    def half_step(self, iteration: int, y: Float64Array, spectrum: Float64Array) -> Sums:
        """Compute the factors of all users from the recording factors `y`; return the sums over all blocks.

        Args:
            iteration: number of the iteration, from 0.
            y: recording factors, float64 [recordings, rank], in the basis in which YᵀY is diagonal.
            spectrum: eigenvalues of YᵀY, float64 [rank].
        """
        self._work = (
            Work(self._place, iteration, HalfStep.of(spectrum, self._shape[0], self._config)),
            y.astype(np.float32),
        )
        return self._sums(*self._work, None)

    def product(self, p: Float64Array) -> Float64Array:
        """Return Σ_u a_ui x_u (x_u·p_i) for each recording i, with the users' factors of the last half-step.

        Here a_ui is the confidence of the pair minus 1, so only observed pairs count.

        Args:
            p: one direction for each recording, float64 [recordings, rank].

        Returns:
            float64 [recordings, rank].
        """
        assert self._work is not None  # noqa: S101 - descend calls half_step first
        return self._sums(*self._work, p.astype(np.float32)).partial

    def _sums(self, work: Work, y: Float32Array, p: Float32Array | None) -> Sums:
        """Run a pass, and sum the results of all blocks in block order, whichever block is done first."""
        partial, gram, loss, penalty = (
            np.zeros(self._shape),
            np.zeros((self._shape[1], self._shape[1])),
            0.0,
            0.0,
        )
        for told in (self._by_threads if self._place.shared else self._by_tasks)(work, y, p):
            assert told.out is not None  # noqa: S101 - lost blocks were sent and processed again
            partial += told.out
            gram += 0.0 if told.gram is None else told.gram
            loss, penalty = loss + told.loss, penalty + told.penalty
        return Sums(partial, gram, loss, penalty)

    def _by_threads(self, work: Work, y: Float32Array, p: Float32Array | None) -> Iterator[BlockResult]:
        """Process the blocks in threads of the driver; if files of a block are lost, write them again."""
        with ThreadPoolExecutor(cores(self._blocks.sparkSession)) as pool, threadpool_limits(1, "blas"):
            for number, told in zip(
                self._numbers,
                pool.map(
                    lambda number: block_pass.process_block(work, {"block": number}, y, p), self._numbers
                ),
                strict=True,
            ):
                if told.out is None:
                    self._blocks.where(F.col("block") == number).mapInArrow(
                        block_pass.keep_blocks(self._place), self._blocks.schema
                    ).count()
                    told = block_pass.process_block(work, {"block": number}, y, p)  # noqa: PLW2901
                yield told

    def _by_tasks(self, work: Work, y: Float32Array, p: Float32Array | None) -> Iterator[BlockResult]:
        """Process the blocks in a Spark job; a second job sends the bytes of blocks whose files are lost."""
        task, rank = block_pass.visit(work, y, p), self._shape[1]

        def ask(frame: DataFrame) -> dict[int, BlockResult]:
            return {
                row["block"]: block_pass.read(row, rank)
                for row in frame.mapInArrow(task, block_pass.ANSWER).toArrow().to_pylist()
            }

        told = ask(self._blocks.select("block"))
        if missing := [block for block, one in told.items() if one.out is None]:
            told |= ask(self._blocks.where(F.col("block").isin(missing)))
        return (told[number] for number in self._numbers)


def _catalogue(rows: DataFrame) -> tuple[NDArray[np.int32], NDArray[np.float64], int, NDArray[np.int64]]:
    """Summarise the recordings of the training data.

    Returns:
        `(idx, liked, rows, marks)`. `idx`: recording numbers, int32, ascending. `liked`: for each recording,
        the number of users with positive evidence, float64. `rows`: total number of rows. `marks`: for each
        recording, a hash of its rows, int64.
    """
    # XOR makes the hash independent of the order of the rows.
    mark = F.expr("bit_xor(xxhash64(user_idx, recording_idx, value))").alias("mark")
    counts = F.count_if(F.col("value") > 0).alias("liked"), F.count(F.lit(1)).alias("rows"), mark
    found = rows.groupBy("recording_idx").agg(*counts).orderBy("recording_idx").toArrow()
    idx, liked, number, marks = (
        found[name].to_numpy() for name in ("recording_idx", "liked", "rows", "mark")
    )
    return idx.astype(np.int32), liked.astype(np.float64), int(number.sum()), marks


def _blocks(rows: DataFrame, count: int, catalogue: NDArray[np.int32], place: TrainingScratch) -> DataFrame:
    """Build the blocks of users; Spark persists them when they are first used.

    The task that builds a block also saves the block's files on its machine.

    Returns:
        `block int, *BYTES`: one row for each block, and at most one block in each partition.
    """
    schema = f"block int, {BYTES}"
    return (
        map_blocks(in_blocks(rows, count), _packer(catalogue), schema)
        .mapInArrow(block_pass.keep_blocks(place), schema)
        .persist()
    )


def _in_their_places(rows: DataFrame, count: int, catalogue: NDArray[np.int32]) -> DataFrame:
    """Build the blocks of users for `striped`.

    Returns:
        `at int, block int, *BYTES`: one row for each block. Spark's hash of the address `at` puts each block
        into a partition of its own.
    """
    blocks = map_blocks(in_blocks(rows, count), _packer(catalogue), f"block int, {BYTES}")
    return blocks.withColumn("at", address(F.col("block"), count)).repartition(count, "at")


def _packer(catalogue: NDArray[np.int32]) -> Callable[[int, pa.Table], pa.Table]:
    def pack(number: int, table: pa.Table) -> pa.Table:
        block = pack_table(table, catalogue)
        return pa.table(
            {"block": pa.array([number], pa.int32())}
            | {name: pa.array([data], pa.binary()) for name, data in block.to_bytes().items()}
        )

    return pack
