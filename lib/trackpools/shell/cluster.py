"""The one place that touches the SparkContext; does nothing where there is none (Connect, serverless)."""

import os
from typing import Any

from pyspark.sql import SparkSession

from trackpools.errors import ConfigError


def is_classic(spark: SparkSession) -> bool:
    """False for Connect and serverless, which know no SparkContext."""
    return hasattr(spark, "_jsparkSession")


def require_classic(spark: SparkSession, *engines: str) -> None:
    """Refuse an engine that cannot train on this session; asked before any work.

    Raises:
        ConfigError: on Connect and serverless, for mllib: its lineage is cut in a folder that only a SparkContext can set.
    """
    if "mllib" in engines and not is_classic(spark):
        raise ConfigError(
            "engine mllib needs a classic Spark session and this one is Spark Connect; take another (train.engine=implicit or blocked)"
        )


def set_checkpoint_dir(spark: SparkSession, folder: str) -> None:
    """Give long lineages a place to be cut; ALS ignores its checkpoint interval without one."""
    if is_classic(spark):
        spark.sparkContext.setCheckpointDir(folder)


def master(spark: SparkSession) -> str:
    """Where the session runs; `connect` where only the server knows."""
    return str(spark.sparkContext.master) if is_classic(spark) else "connect"


def cores(spark: SparkSession) -> int:
    """How many tasks a session on this machine runs at once, at most one a core."""
    return min(int(spark.sparkContext.defaultParallelism), os.cpu_count() or 1)


def slots(spark: SparkSession) -> int:
    """How many tasks the session runs at once, on all machines; 0 where only the server knows."""
    return int(spark.sparkContext.defaultParallelism) if is_classic(spark) else 0


class Usage:
    """What Spark used since it was made: core-seconds of tasks, bytes read and shuffled; zeros where Spark does not tell."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._before = self._so_far()

    def _so_far(self) -> tuple[float, float, float]:
        """Of all executors since the session began: a few calls, however many stages there were."""
        if not is_classic(self._spark):
            return (0.0, 0.0, 0.0)
        context: Any = self._spark.sparkContext
        # as they are kept: `executorList` tells of a driver how long it has been there instead of how long its tasks took
        kind = context._jvm.java.lang.Class.forName("org.apache.spark.status.ExecutorSummaryWrapper")
        executors, told = context._jsc.sc().statusStore().store().view(kind).iterator(), []
        while executors.hasNext():
            one = executors.next().info()
            told.append((one.totalDuration(), one.totalInputBytes(), one.totalShuffleWrite()))
        run_ms, read, shuffled = (
            float(sum(one[i] for one in told)) for i in range(3)
        )  # at first Spark may know of no executor, not even its driver
        return run_ms / 1000, read, shuffled

    def totals(self) -> dict[str, float]:
        """`core_seconds, input_bytes, shuffle_bytes` since."""
        names = ("core_seconds", "input_bytes", "shuffle_bytes")
        return {
            name: now - before for name, now, before in zip(names, self._so_far(), self._before, strict=True)
        }
