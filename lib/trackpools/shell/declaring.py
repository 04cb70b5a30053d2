"""What `tables.py` says of a table, as Delta's builder takes it."""

from delta.tables import DeltaTableBuilder

from trackpools.table import Table

PUBLISHED = {
    "delta.enableDeletionVectors": "false",  # delta-rs, DuckDB and Polars read tables without them
    # Delta opens no version older than these, and anybody's VACUUM keeps to them; `releases.vacuum` alone deletes sooner
    "delta.logRetentionDuration": "interval 365 days",
    "delta.deletedFileRetentionDuration": "interval 365 days",
}


def declare(builder: DeltaTableBuilder, table: Table, where: str, *, by_name: bool) -> None:
    """Create or replace a table with its columns, comments, NOT NULL and CHECK.

    Args:
        where: path, or three-level name with `by_name`.
    """
    # outside Databricks this builder knows the session catalog alone, and only without its name
    builder = builder.tableName(where.removeprefix("spark_catalog.")) if by_name else builder.location(where)
    builder = builder.addColumns(table.schema).comment(table.grain)
    if table.partitioned_by:
        builder = builder.partitionedBy(*table.partitioned_by)
    if table.cluster_by:
        builder = builder.clusterBy(*table.cluster_by)
    checks = {f"delta.constraints.{name}": rule for name, rule in table.checks.items()}
    for key, value in (PUBLISHED | table.properties | checks).items():
        builder = builder.property(key, value)
    builder.execute()
