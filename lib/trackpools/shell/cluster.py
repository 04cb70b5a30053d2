"""The one place that touches the SparkContext; does nothing where there is none (Connect, serverless)."""

import os
from typing import Any

from pyspark.sql import SparkSession


def _is_classic(spark: SparkSession) -> bool:
    return hasattr(spark, "_jsparkSession")


def set_checkpoint_dir(spark: SparkSession, folder: str) -> None:
    """Give long lineages a place to be cut; ALS ignores its checkpoint interval without one."""
    if _is_classic(spark):
        spark.sparkContext.setCheckpointDir(folder)


def master(spark: SparkSession) -> str:
    """Where the session runs; `connect` where only the server knows."""
    return str(spark.sparkContext.master) if _is_classic(spark) else "connect"


def cores(spark: SparkSession) -> int:
    """How many tasks a session on this machine runs at once, at most one a core."""
    return min(int(spark.sparkContext.defaultParallelism), os.cpu_count() or 1)


class Usage:
    """What Spark used since it was made: core-seconds of tasks, bytes read and shuffled; zeros where Spark does not tell."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._before = max((stage.stageId() for stage in self._stages()), default=-1)

    def _stages(self) -> list[Any]:
        if not _is_classic(self._spark):
            return []
        context: Any = self._spark.sparkContext
        no_quantiles, no_states = context._gateway.new_array(context._jvm.double, 0), context._jvm.java.util.ArrayList()
        found = context._jsc.sc().statusStore().stageList(None, False, False, no_quantiles, no_states)
        return [found.apply(i) for i in range(found.size())]

    def totals(self) -> dict[str, float]:
        """`core_seconds, input_bytes, shuffle_bytes` of the stages that began since."""
        new = [stage for stage in self._stages() if stage.stageId() > self._before]
        return {
            "core_seconds": sum(stage.executorRunTime() for stage in new) / 1000,
            "input_bytes": float(sum(stage.inputBytes() for stage in new)),
            "shuffle_bytes": float(sum(stage.shuffleWriteBytes() for stage in new)),
        }
