"""`blocked` where the recordings' factors are too large for the driver: their state in stripes on storage, a Spark job a pass.

The driver sees Gram matrices, losses and 12 bytes a recording. A pass sends every stripe to every block and brings a partial sum of it back:
recordings × rank × (8 · blocks + 24) bytes are shuffled in a half-step, with the directions × (12 · blocks + 24) in a product. What a pass
made is on storage, where the next one reads it.
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
from trackpools.core.als.descent import Matrix, Vector, eigenbasis, finite, settled
from trackpools.core.als.factors import FACTORS
from trackpools.core.als.foldin import HalfStep
from trackpools.shell.engines.visits import Place, Work, answer

SLOTS = ("stripes-a", "stripes-b")  # of whole iterations, written in turn


@dataclass(frozen=True)
class Totals:
    """What the users of all blocks come to: XᵀX, loss, penalty."""

    gram: Matrix
    loss: float
    penalty: float


@dataclass(frozen=True)
class Done:
    """Whole iterations: as many as the loss curve is long, YᵀY of their factors and Σ λ_i‖y_i‖²."""

    curve: list[float]
    gram: Matrix
    weight: float


@dataclass(frozen=True)
class Striped:
    """A training whose recordings stand in stripes under `folder`.

    Attributes:
        blocks: `at int, block int, *BYTES`: one row a block, which stands in the partition of its address.
        place: where machines keep the files of blocks.
    """

    blocks: DataFrame
    config: TrainConfig
    place: Place
    layout: s.Layout
    penalty: Vector
    folder: str

    def fit(
        self, start: float, catalogue: NDArray[np.int32], after: Callable[[float], None]
    ) -> tuple[DataFrame, Done]:
        """Recordings `idx int, factors array<float>`, read from `folder`, and how they came about; goes on from the last whole iteration."""
        done = self._iteration()
        if done is None:
            numbers = self.blocks.sparkSession.range(0, self.layout.count, 1, self.layout.count)
            done = self._finish(numbers.mapInArrow(s.begin(self.layout, self.config.seed, start), s.SUMS), [])
        while len(done.curve) < self.config.iterations and not settled(done.curve, self.config.tolerance):
            done = self._iterate(done)
            after(done.curve[-1])
        return self._read(self._slot(len(done.curve))).mapInArrow(
            s.unpack(self.layout, catalogue), FACTORS
        ), done

    def _iterate(self, done: Done) -> Done:
        spectrum, basis = eigenbasis(done.gram)
        number = len(done.curve)
        work = Work(self.place, number, HalfStep.of(spectrum, self.layout.recordings, self.config))
        y = self._read(self._slot(number)).mapInArrow(s.turn(basis), s.SUMS)
        told = self._pass("pass-0", work, y, None)
        loss = finite(
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
        """The user half-step for `y`, or the product along the directions of a `state`.

        Blocks and factors come along even where an executor holds x in a file: it may be another one than the last time, for Spark lets
        an idle one take what waits.
        """
        sent = y.mapInArrow(s.ship("y"), s.SHIPPED)
        if state is not None:
            sent = sent.unionByName(state.mapInArrow(s.ship("p"), s.SHIPPED))
        visited = self._pairs(sent).mapInArrow(_visit(work, self.layout), s.PARTIALS)
        going = (y if state is None else state).select("stripe", *s.STATE, F.lit(-1).alias("block"))
        # a stripe a file: Spark reads as many rows of a file at once as it can, however large they are
        file = s.address(F.pmod("stripe", F.lit(self.layout.count)), self.layout.count)
        rows = visited.unionByName(going, allowMissingColumns=True).repartition(self.layout.count, file)
        rows.sortWithinPartitions("stripe", "block").mapInArrow(s.add_up(), s.SUMS).write.mode(
            "overwrite"
        ).parquet(f"{self.folder}/{name}")
        *gram, loss, penalty = np.frombuffer(self._read(name, told=True).toArrow()["told"][0].as_buffer())
        return Totals(np.array(gram).reshape(self.layout.rank, -1), float(loss), float(penalty))

    def _pairs(self, sent: DataFrame) -> DataFrame:
        """Every block with every row sent, `block, stripe, name, matrix`; its bytes with the first stripe. Runs where the block is held."""
        # a merge join of two frames that stand side by side moves neither; from the right it holds one block, not all stripes
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

    def _finish(self, state: DataFrame, curve: list[float]) -> Done:
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

    def _iteration(self) -> Done | None:
        """The furthest that was written whole."""
        found = []
        for name in SLOTS:
            try:
                rows = self._read(name).drop("y").orderBy("stripe").toArrow().to_pylist()
            except PySparkException:  # never written, or not to its end
                continue
            if rows and len(rows) == rows[0]["stripes"] == self.layout.count:
                found.append(rows)
        if not found:
            return None
        rows = max(found, key=lambda one: len(one[0]["curve"]))
        grams = np.array([np.frombuffer(row["gram"]) for row in rows]).reshape(
            -1, self.layout.rank, self.layout.rank
        )
        return Done(list(rows[0]["curve"]), grams.sum(axis=0), float(sum(row["weight"] for row in rows)))


def _gathered(batches: Iterator[Any], layout: s.Layout) -> Iterator[dict[str, Any]]:
    """Block after block: its row, with the matrices `y` and `p` [recordings, rank] float32 that came in stripes."""
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
    """Rows of `_pairs` → rows PARTIALS: a partial sum for each stripe, and what the driver is told."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        with threadpool_limits(1, "blas"):  # a task has one core
            for row in _gathered(batches, layout):
                found = answer(work, row, row["y"], row.get("p"))
                assert found.out is not None  # noqa: S101 - the block came along
                for stripe in range(layout.count):
                    yield s.one_row(
                        s.PARTIALS, block=row["block"], stripe=stripe, observed=found.out[layout.part(stripe)]
                    )
                gram = np.zeros(layout.rank**2) if found.gram is None else found.gram.ravel()
                yield s.one_row(
                    s.PARTIALS,
                    block=row["block"],
                    stripe=s.TOLD,
                    told=np.concatenate([gram, [found.loss, found.penalty]]),
                )

    return task
