"""The engine `blocked` for recording factors that are too large for the driver.

The recordings are divided into stripes: groups of recordings whose factors are stored as one row of a table
on storage. A pass over the blocks of users is one Spark job here. The driver holds only Gram matrices, losses
and 12 bytes for each recording.

A pass sends every stripe to every block of users, and each block returns its partial sum for every stripe.
The half-step of the users shuffles recordings × rank × (8 · blocks + 24) bytes. A product also sends the
directions, and shuffles recordings × rank × (12 · blocks + 24) bytes. Each pass writes its result to storage,
where the next pass reads it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import TrainConfig
from trackpools.core.als import stripes as s
from trackpools.core.als.blocks import DTYPES
from trackpools.core.als.factors import FACTORS
from trackpools.core.als.fold_in_users import HalfStep
from trackpools.core.als.item_solver import check_finite, eigenbasis, has_converged
from trackpools.core.arrays.array_types import Float64Array
from trackpools.shell.training.block_pass import TrainingScratch, Work, process_block

SLOTS = ("stripes-a", "stripes-b")  # folders of finished iterations; they are written in turn


@dataclass(frozen=True)
class Totals:
    """The sums of a pass over the users of all blocks.

    Attributes:
        gram: Gram matrix XᵀX of the users' factors, float64 [rank, rank].
        loss: loss of the observed entries.
        penalty: regularisation penalty of the users.
    """

    gram: Float64Array
    loss: float
    penalty: float


@dataclass(frozen=True)
class FinishedIterations:
    """The state after some finished iterations, without the factors, which stay on storage.

    Attributes:
        curve: the loss of each iteration so far.
        gram: Gram matrix YᵀY of the recording factors, float64 [rank, rank].
        weight: regularisation penalty of the recordings, Σ λ_i‖y_i‖².
    """

    curve: list[float]
    gram: Float64Array
    weight: float


@dataclass(frozen=True)
class Striped:
    """A training whose recording factors are stored in stripes under `folder`.

    Attributes:
        blocks: `at int, block int, *BYTES`; one row for each block. Spark's hash of the address `at` puts
            each block into a partition of its own.
        config: the `train` section.
        place: folder in which each machine keeps the files of blocks.
        layout: the division of the recordings into stripes.
        penalty: λ_i, the regularisation weight of each recording, float64 [recordings].
        folder: folder of the stripes and of the results of passes, on storage.
    """

    blocks: DataFrame
    config: TrainConfig
    place: TrainingScratch
    layout: s.Layout
    penalty: Float64Array
    folder: str

    def fit(
        self, start: float, catalogue: NDArray[np.int32], after: Callable[[float], None]
    ) -> tuple[DataFrame, FinishedIterations]:
        """Run the iterations, continuing from the last finished one that is stored in `folder`.

        Args:
            start: upper bound of the random initial factors.
            catalogue: recording numbers, int32 [recordings], ascending.
            after: called with the loss after each iteration.

        Returns:
            The recording factors, `idx int, factors array<float>`, as a frame that reads `folder`; and the
            state after the last iteration.
        """
        done = self._iteration()
        if done is None:
            numbers = self.blocks.sparkSession.range(0, self.layout.count, 1, self.layout.count)
            done = self._finish(numbers.mapInArrow(s.begin(self.layout, self.config.seed, start), s.SUMS), [])
        while len(done.curve) < self.config.iterations and not has_converged(
            done.curve, self.config.tolerance
        ):
            done = self._iterate(done)
            after(done.curve[-1])
        return self._read(self._slot(len(done.curve))).mapInArrow(
            s.unpack(self.layout, catalogue), FACTORS
        ), done

    def _iterate(self, done: FinishedIterations) -> FinishedIterations:
        """Run one iteration: the half-step of the users, then the recordings' conjugate gradient steps."""
        spectrum, basis = eigenbasis(done.gram)
        number = len(done.curve)
        work = Work(self.place, number, HalfStep.of(spectrum, self.layout.recordings, self.config))
        y = self._read(self._slot(number)).mapInArrow(s.turn(basis), s.SUMS)
        told = self._pass("pass-0", work, y, None)
        loss = check_finite(
            number + 1,
            told.loss + float((told.gram * (basis.T @ done.gram @ basis)).sum()) + told.penalty + done.weight,
        )
        state = self._read("pass-0").mapInArrow(
            s.Step(self.layout, told.gram, self.penalty, opening=True), s.SUMS
        )
        for step in range(1, self.config.recording_steps + 1):
            self._pass(f"pass-{step}", work, y, state)
            state = self._read(f"pass-{step}").mapInArrow(
                s.Step(self.layout, told.gram, self.penalty, opening=False), s.SUMS
            )
        return self._finish(state, [*done.curve, loss])

    def _pass(self, name: str, work: Work, y: DataFrame, state: DataFrame | None) -> Totals:
        """Run one pass: the half-step of the users for `y`, or the product with the directions of `state`.

        Every task gets the bytes of its blocks and the recording factors `y`, even if its executor has the
        users' factors x in a file. The reason is that Spark gives waiting tasks to idle executors, so a block
        may be processed on another executor than last time.

        Args:
            name: folder of the result, under `folder`.
            work: the parameters of the pass.
            y: recording factors, with the columns SUMS.
            state: state with the directions, with the columns SUMS; None for the half-step.

        Returns:
            The totals over the users of all blocks. The sums for the recordings are written to the folder
            `name`.
        """
        sent = y.mapInArrow(s.ship("y"), s.SHIPPED)
        if state is not None:
            sent = sent.unionByName(state.mapInArrow(s.ship("p"), s.SHIPPED))
        visited = self._pairs(sent).mapInArrow(_visit(work, self.layout), s.PARTIALS)
        going = (y if state is None else state).select("stripe", *s.STATE, F.lit(-1).alias("block"))
        # Each stripe gets its own file, because Spark would read many rows of a file at once, however large
        # they are.
        file = s.address(F.pmod("stripe", F.lit(self.layout.count)), self.layout.count)
        rows = visited.unionByName(going, allowMissingColumns=True).repartition(self.layout.count, file)
        rows.sortWithinPartitions("stripe", "block").mapInArrow(s.add_up(), s.SUMS).write.mode(
            "overwrite"
        ).parquet(f"{self.folder}/{name}")
        *gram, loss, penalty = np.frombuffer(self._read(name, told=True).toArrow()["told"][0].as_buffer())
        return Totals(np.array(gram).reshape(self.layout.rank, -1), float(loss), float(penalty))

    def _pairs(self, sent: DataFrame) -> DataFrame:
        """Pair every block with every sent row; the blocks are not moved for this.

        Returns:
            `block, stripe, name, matrix` and the block's bytes, which are null except in rows of stripe 0.
        """
        # A merge join of two frames with the same partitions moves neither of them. A right join holds one
        # block in memory; a left join would hold all stripes.
        pairs = self.blocks.hint("merge").join(
            s.addressed(sent, self.config.blocks).repartition(self.config.blocks, "at"), "at", "right"
        )
        return pairs.select(
            "block",
            "stripe",
            "name",
            "matrix",
            *(F.when(F.col("stripe") == 0, F.col(name)).alias(name) for name in DTYPES),
        )

    def _finish(self, state: DataFrame, curve: list[float]) -> FinishedIterations:
        """Write the recording factors of a finished iteration to its slot, and return the new state."""
        made = state.mapInArrow(s.finish(self.layout, self.penalty, curve), s.ITERATION)
        made.write.mode("overwrite").parquet(f"{self.folder}/{self._slot(len(curve))}")
        done = self._iteration()
        assert done is not None  # noqa: S101 - just written
        return done

    def _slot(self, iterations: int) -> str:
        return SLOTS[iterations % 2]

    def _read(self, name: str, *, told: bool = False) -> DataFrame:
        schema = s.ITERATION if name in SLOTS else s.SUMS
        return (
            self.blocks.sparkSession.read.schema(schema)
            .parquet(f"{self.folder}/{name}")
            .where("stripe < 0" if told else "stripe >= 0")
        )

    def _iteration(self) -> FinishedIterations | None:
        """Return the state after the latest iteration that was written completely, or None without one."""
        found = []
        for name in SLOTS:
            try:
                rows = self._read(name).drop("y").orderBy("stripe").toArrow().to_pylist()
            except PySparkException:  # the slot was never written, or not to its end
                continue
            if rows and len(rows) == rows[0]["stripes"] == self.layout.count:
                found.append(rows)
        if not found:
            return None
        rows = max(found, key=lambda one: len(one[0]["curve"]))
        grams = np.array([np.frombuffer(row["gram"]) for row in rows]).reshape(
            -1, self.layout.rank, self.layout.rank
        )
        return FinishedIterations(
            list(rows[0]["curve"]), grams.sum(axis=0), float(sum(row["weight"] for row in rows))
        )


def _gathered(batches: Iterator[Any], layout: s.Layout) -> Iterator[dict[str, Any]]:
    """Put the matrices of each block together again from their stripes.

    Args:
        batches: rows of `_pairs`, sorted by block.
        layout: the division of the recordings into stripes.

    Yields:
        One row for each block, with the matrices `y` and `p` (float32 [recordings, rank]) and the block's
        bytes.
    """
    row: dict[str, Any] = {}
    for given in s.rows_of(batches):
        if row.get("block") != given["block"]:
            if row:
                yield row
            row = {"block": given["block"]}
        if given["name"] not in row:
            row[given["name"]] = np.empty((layout.recordings, layout.rank), np.float32)
        part = layout.part(given["stripe"])
        row[given["name"]][part] = np.frombuffer(given["matrix"], np.float32).reshape(-1, layout.rank)
        row |= {name: given[name] for name in DTYPES if given.get(name) is not None}
    if row:
        yield row


def _visit(work: Work, layout: s.Layout) -> s.Task:
    """Return a task that processes blocks, from rows of `_pairs` to rows with the columns PARTIALS.

    For each block there is one row for each stripe, with the block's partial sum of the stripe. One more row
    is for the driver; it holds the Gram matrix, the loss and the penalty of the block's users.
    """

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        with threadpool_limits(1, "blas"):  # a task has one core
            for row in _gathered(batches, layout):
                found = process_block(work, row, row["y"], row.get("p"))
                assert found.out is not None  # noqa: S101 - `row` holds the block's bytes
                for stripe in range(layout.count):
                    yield s.one_row(
                        s.PARTIALS, block=row["block"], stripe=stripe, observed=found.out[layout.part(stripe)]
                    )
                gram = np.zeros(layout.rank**2) if found.gram is None else found.gram.ravel()
                yield s.one_row(
                    s.PARTIALS,
                    block=row["block"],
                    stripe=s.DRIVER_STRIPE,
                    told=np.concatenate([gram, [found.loss, found.penalty]]),
                )

    return task
