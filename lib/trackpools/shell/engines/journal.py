"""What a training of `blocked` has finished, kept on storage: a rerun of a killed one goes on from its last iteration, to the same bits."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from trackpools.config import TrainConfig
from trackpools.shell.identity import code_hash

STRIPES = "stripe int, stripes int, y binary, curve array<double>"
STRIPE_BYTES = 16 * 2**20
SLOTS = ("a", "b")  # written in turn, so that one is whole whenever the process dies


@dataclass(frozen=True)
class Finished:
    """Recording factors [recordings, rank] float64 after as many iterations as the loss curve is long."""

    y: NDArray[np.float64]
    curve: list[float]


@dataclass
class Journal:
    """Where a training writes what it has finished.

    Attributes:
        folder: of this very training, by its data, configuration and code; None keeps nothing.
        every_s: seconds between two writes at least.
    """

    spark: SparkSession
    folder: str | None
    every_s: float
    _written: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, spark: SparkSession, config: TrainConfig, data: Iterable[Any]) -> "Journal":
        """The journal of the training of `data` (arrays and numbers that identify it) under `train.checkpoint_dir`."""
        if config.checkpoint_dir is None:
            return cls(spark, None, 0.0)
        said = config.model_dump_json(exclude={"checkpoint_dir", "save_every_s"})
        digest = hashlib.sha256(f"{code_hash()} {said}".encode())
        for part in data:
            digest.update(np.ascontiguousarray(part).tobytes())
        return cls(
            spark,
            f"{config.checkpoint_dir.rstrip('/')}/blocked-{digest.hexdigest()[:16]}",
            config.save_every_s,
        )

    def save(self, done: Finished) -> None:
        """Write, unless the last time was a moment ago."""
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

    def load(self, start: Finished) -> Finished:
        """The furthest that was written whole; `start` where there is none."""
        found = [
            start,
            *(slot for slot in map(self._slot, SLOTS) if slot is not None and slot.y.size == start.y.size),
        ]
        furthest = max(found, key=lambda one: len(one.curve))
        return start if furthest is start else Finished(furthest.y.reshape(start.y.shape), furthest.curve)

    def _slot(self, name: str) -> Finished | None:
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
        except PySparkException:  # never written, or not to its end
            return None
        if not rows or len(rows) < rows[0]["stripes"]:
            return None
        return Finished(np.frombuffer(b"".join(row["y"] for row in rows)).copy(), list(rows[0]["curve"]))
