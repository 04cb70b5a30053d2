"""All access to the SparkContext, with a fallback for sessions that have none (Connect, serverless)."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from pyspark.sql import SparkSession

from trackpools.errors import ConfigError

T = TypeVar("T")


def is_classic(spark: SparkSession) -> bool:
    """Return whether the session has a SparkContext; Connect and serverless sessions have none."""
    return hasattr(spark, "_jsparkSession")


def require_classic(spark: SparkSession, *engines: str) -> None:
    """Refuse an engine that cannot train on this session; call this before any work.

    Raises:
        ConfigError: if mllib is one of the engines and the session is Connect or serverless. The lineage of
            mllib must be cut in a checkpoint folder, which only a SparkContext can set.
    """
    if "mllib" in engines and not is_classic(spark):
        raise ConfigError(
            "engine mllib needs a classic Spark session, but this one is Spark Connect; use another engine (train.engine=implicit or blocked)"
        )


def set_checkpoint_dir(spark: SparkSession, folder: str) -> None:
    """Set the checkpoint folder of a classic session; without it, MLlib ignores its checkpoint interval."""
    if is_classic(spark):
        spark.sparkContext.setCheckpointDir(folder)


def master(spark: SparkSession) -> str:
    """Return the session's master URL, or `connect` for a Connect session, whose server alone knows it."""
    return str(spark.sparkContext.master) if is_classic(spark) else "connect"


def cores(spark: SparkSession) -> int:
    """Return how many tasks a session on this machine runs at once, at most one for each core."""
    return min(int(spark.sparkContext.defaultParallelism), os.cpu_count() or 1)


def slots(spark: SparkSession) -> int:
    """Return how many tasks the session runs at once on all machines, or 0 for a Connect session."""
    return int(spark.sparkContext.defaultParallelism) if is_classic(spark) else 0


def jobs(spark: SparkSession) -> int:
    """Return how many jobs the session has run so far, or 0 for a Connect session."""
    if not is_classic(spark):
        return 0
    return max(spark.sparkContext.statusTracker().getJobIdsForGroup(None), default=-1) + 1


def send_once(spark: SparkSession, value: T) -> Callable[[], T]:
    """Return a function that returns the value in a task.

    A classic session sends the value to each executor once. Spark Connect, which cannot, sends it with each
    query, in one message of bounded size.
    """
    if not is_classic(spark):
        return lambda: value
    shared = spark.sparkContext.broadcast(value)
    return lambda: shared.value


class Usage:
    """What Spark has used since this object was created.

    It measures the core-seconds of tasks, the bytes read and the bytes shuffled; all are 0 without a
    SparkContext.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._before = self._so_far()

    def _so_far(self) -> tuple[float, float, float]:
        """Return the totals of all executors since the session began.

        This costs a few calls, however many stages there were.
        """
        if not is_classic(self._spark):
            return (0.0, 0.0, 0.0)
        context: Any = self._spark.sparkContext
        # The stored summaries are read, because `executorList` reports a driver's uptime, not its task time.
        kind = context._jvm.java.lang.Class.forName("org.apache.spark.status.ExecutorSummaryWrapper")
        executors, told = context._jsc.sc().statusStore().store().view(kind).iterator(), []
        while executors.hasNext():
            one = executors.next().info()
            told.append((one.totalDuration(), one.totalInputBytes(), one.totalShuffleWrite()))
        run_ms, read, shuffled = (
            float(sum(one[i] for one in told)) for i in range(3)
        )  # the list may be empty: at first Spark may know of no executor, not even its driver
        return run_ms / 1000, read, shuffled

    def totals(self) -> dict[str, float]:
        """Return `core_seconds`, `input_bytes` and `shuffle_bytes` since this object was created."""
        names = ("core_seconds", "input_bytes", "shuffle_bytes")
        return {
            name: now - before for name, now, before in zip(names, self._so_far(), self._before, strict=True)
        }
