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


def unset(spark: SparkSession, values: Mapping[str, str]) -> list[str]:
    """`key=value` of what `confs` will not set and the session does not have."""
    return [] if is_ours(spark) else [f"{key}={value}" for key, value in values.items() if spark.conf.get(key, None) != value]


@contextlib.contextmanager
def confs(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Confs for what is done inside; only on a session that is ours."""
    ours = values if is_ours(spark) else {}
    for key, value in ours.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in ours:
            spark.conf.unset(key)
