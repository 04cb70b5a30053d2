"""Confs of the session for the length of a call; never on a session of others."""

import contextlib
from collections.abc import Iterator, Mapping

from pyspark.sql import SparkSession

from trackpools.shell.session import is_ours

VACUUM = {
    "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",  # else any retention but 0 hours is ignored
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",  # else none below the table's own is allowed
    "spark.databricks.delta.vacuum.logging.enabled": "false",  # else each vacuum is a version, and the next run takes it for new input
}


def few_rows(cores: int) -> dict[str, str]:
    """For queries of many operators and few rows, on a session of so many cores."""
    return {
        "spark.sql.adaptive.enabled": "false",  # which plans again after each exchange: of few rows that is most of the time
        "spark.sql.ui.explainMode": "simple",  # nobody looks at the text of each plan, which for pools has megabytes
        "spark.sql.shuffle.partitions": str(cores),  # a task each
    }


def unset(spark: SparkSession, values: Mapping[str, str]) -> list[str]:
    """`key=value` of what `confs` will not set and the session does not have."""
    return (
        []
        if is_ours(spark)
        else [f"{key}={value}" for key, value in values.items() if spark.conf.get(key, None) != value]
    )


@contextlib.contextmanager
def confs(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Confs for what is done inside; only on a session that is ours."""
    before = {key: spark.conf.get(key, None) for key in values} if is_ours(spark) else {}
    for key in before:
        spark.conf.set(key, values[key])
    try:
        yield
    finally:
        for key, value in before.items():
            spark.conf.unset(key) if value is None else spark.conf.set(key, value)


def unguarded(spark: SparkSession, root: str | None) -> str | None:
    """A sentence where neither a lock nor Delta keeps a second writer out: on S3, whose log store knows the writers of one process only; else None."""
    scheme = (root or "").partition("://")[0]
    if scheme not in {"s3", "s3a"} or spark.conf.get(f"spark.delta.logStore.{scheme}.impl", None):
        return None
    return f"nothing keeps a second writer out of {root}: let one command write at a time, see docs/object_stores.md"
