"""Set confs during a `with` block and restore them at its end, on sessions that trackpools built."""

import contextlib
from collections.abc import Iterator, Mapping

from pyspark.sql import SparkSession

from trackpools.shell.spark.session import is_ours

# Without these, Delta's VACUUM does not delete by the number of hours that it is given.
VACUUM = {
    "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",  # else Delta ignores any retention but 0 hours
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",  # else Delta allows no retention below the table's own
    "spark.databricks.delta.vacuum.logging.enabled": "false",  # else each vacuum makes a version, which the next run mistakes for new input
}


def few_rows(cores: int) -> dict[str, str]:
    """Return the confs for queries with many operators and few rows, on a session with `cores` cores."""
    return {
        "spark.sql.adaptive.enabled": "false",  # it plans again after each exchange, which for few rows is most of the time
        "spark.sql.ui.explainMode": "simple",  # the text of each plan is not used, and for pools it has megabytes
        "spark.sql.shuffle.partitions": str(cores),  # one task for each core
    }


def unset(spark: SparkSession, values: Mapping[str, str]) -> list[str]:
    """List, as `key=value`, the confs that the session lacks and that `temporary_confs` will not set."""
    return (
        []
        if is_ours(spark)
        else [f"{key}={value}" for key, value in values.items() if spark.conf.get(key, None) != value]
    )


@contextlib.contextmanager
def temporary_confs(spark: SparkSession, values: Mapping[str, str]) -> Iterator[None]:
    """Set confs during a `with` block, then restore them; skip sessions that trackpools did not build."""
    before = {key: spark.conf.get(key, None) for key in values} if is_ours(spark) else {}
    for key in before:
        spark.conf.set(key, values[key])
    try:
        yield
    finally:
        for key, value in before.items():
            spark.conf.unset(key) if value is None else spark.conf.set(key, value)


def second_writer_warning(spark: SparkSession, root: str | None) -> str | None:
    """Return a warning if neither a lock nor Delta keeps a second writer out of the root, else None.

    The warning is needed on S3 without a configured log store, because Delta's default log store coordinates
    only the writers of one process.
    """
    scheme = (root or "").partition("://")[0]
    if scheme not in {"s3", "s3a"} or spark.conf.get(f"spark.delta.logStore.{scheme}.impl", None):
        return None
    return f"nothing stops a second writer at {root}: let only one command write at a time, see docs/object_stores.md"
