"""Checkpoints of a `blocked` training on storage.

A rerun of a killed training continues from its last checkpoint and gives the same result, bit for bit.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from trackpools.config import TrainConfig

# Columns of a checkpoint. Each row holds a stripe, which is some consecutive rows of the factors; `stripes`
# is the number of all stripes.
STRIPES = "stripe int, stripes int, y binary, curve array<double>"
STRIPE_BYTES = 16 * 2**20
SLOTS = ("a", "b")  # folders that are written in turn, so that one stays complete if a write is interrupted


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after some iterations.

    Attributes:
        y: recording factors, float64 [recordings, rank].
        curve: the loss of each iteration so far.
    """

    y: NDArray[np.float64]
    curve: list[float]


@dataclass
class CheckpointStore:
    """The checkpoints of one training.

    Attributes:
        spark: the session that reads and writes the checkpoints.
        folder: folder of this training only; its name is a hash of the training's data, configuration and
            code. None means that no checkpoints are kept.
        every_s: least number of seconds between two writes.
    """

    spark: SparkSession
    folder: str | None
    every_s: float
    _written: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, spark: SparkSession, config: TrainConfig, code: str, data: Iterable[ArrayLike]
    ) -> "CheckpointStore":
        """Return the checkpoint store of one training, under `train.checkpoint_dir`.

        Trainings that differ in code, configuration or data have different folders. Without
        `train.checkpoint_dir`, the store keeps no checkpoints.

        Args:
            spark: the session that reads and writes the checkpoints.
            config: the `train` section.
            code: hash of the code that trains.
            data: arrays and numbers that identify the training data.
        """
        if config.checkpoint_dir is None:
            return cls(spark, None, 0.0)
        said = config.model_dump_json(exclude={"checkpoint_dir", "save_every_s"})
        digest = hashlib.sha256(f"{code} {said}".encode())
        for part in data:
            digest.update(np.ascontiguousarray(part).tobytes())
        return cls(
            spark,
            f"{config.checkpoint_dir.rstrip('/')}/blocked-{digest.hexdigest()[:16]}",
            config.save_every_s,
        )

    def save(self, done: Checkpoint) -> None:
        """Write a checkpoint, unless the last write was less than `every_s` seconds ago."""
        if self.folder is None or time.monotonic() - self._written < self.every_s:
            return
        rows = max(1, STRIPE_BYTES // done.y[:1].nbytes)
        stripes = [
            np.ascontiguousarray(done.y[start : start + rows]).tobytes()
            for start in range(0, len(done.y), rows)
        ]
        table = pa.table(
            {
                "stripe": pa.array(range(len(stripes)), pa.int32()),
                "stripes": pa.array([len(stripes)] * len(stripes), pa.int32()),
                "y": pa.array(stripes, pa.binary()),
                "curve": pa.array([done.curve] * len(stripes), pa.list_(pa.float64())),
            }
        )
        self.spark.createDataFrame(table).write.mode("overwrite").parquet(
            f"{self.folder}/{SLOTS[len(done.curve) % 2]}"
        )
        self._written = time.monotonic()

    def load(self, start: Checkpoint) -> Checkpoint:
        """Return the complete checkpoint with the most iterations, or `start` if there is none."""
        found = [
            start,
            *(slot for slot in map(self._slot, SLOTS) if slot is not None and slot.y.size == start.y.size),
        ]
        furthest = max(found, key=lambda one: len(one.curve))
        return start if furthest is start else Checkpoint(furthest.y.reshape(start.y.shape), furthest.curve)

    def _slot(self, name: str) -> Checkpoint | None:
        if self.folder is None:
            return None
        try:
            rows = (
                self.spark.read.schema(STRIPES)
                .parquet(f"{self.folder}/{name}")
                .orderBy("stripe")
                .toArrow()
                .to_pylist()
            )
        except PySparkException:  # the slot was never written, or not to its end
            return None
        if not rows or len(rows) < rows[0]["stripes"]:
            return None
        return Checkpoint(np.frombuffer(b"".join(row["y"] for row in rows)).copy(), list(rows[0]["curve"]))
