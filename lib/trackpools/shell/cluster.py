"""The one place that touches the SparkContext; does nothing where there is none (Connect, serverless)."""

from pyspark.sql import SparkSession


def _is_classic(spark: SparkSession) -> bool:
    return hasattr(spark, "_jsparkSession")


def set_checkpoint_dir(spark: SparkSession, folder: str) -> None:
    """Give long lineages a place to be cut; ALS ignores its checkpoint interval without one."""
    if _is_classic(spark):
        spark.sparkContext.setCheckpointDir(folder)


def executor_totals(spark: SparkSession) -> dict[str, float]:
    """What all executors have used since the session began: core-seconds of tasks, bytes read and shuffled."""
    totals = {"core_seconds": 0.0, "input_bytes": 0.0, "shuffle_bytes": 0.0}
    if not _is_classic(spark):
        return totals
    executors = spark.sparkContext._jsc.sc().statusStore().executorList(False)  # noqa: SLF001 - no public door to these numbers
    for i in range(executors.size()):
        one = executors.apply(i)
        totals["core_seconds"] += one.totalDuration() / 1000
        totals["input_bytes"] += one.totalInputBytes()
        totals["shuffle_bytes"] += one.totalShuffleWrite()
    return totals


def master(spark: SparkSession) -> str:
    """Where the session runs; `connect` where only the server knows."""
    return str(spark.sparkContext.master) if _is_classic(spark) else "connect"
