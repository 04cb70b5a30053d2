"""What `tables.py` promises, as column expressions: shape, content hash, key."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.errors import ContractError
from trackpools.table import Table


def conform(df: DataFrame, table: Table) -> DataFrame:
    """Exactly the table's columns, in its order and types; nullable columns that are absent become null.

    Raises:
        ContractError: naming every NOT NULL column that is absent.
    """
    missing = [
        f"{table.name}.{c.name} is NOT NULL and absent; got columns {df.columns}"
        for c in table.columns
        if not c.nullable and c.name not in df.columns
    ]
    if missing:
        raise ContractError(f"a frame does not fit table {table.name}", missing)
    return df.select(
        *(
            (F.col(c.name) if c.name in df.columns else F.lit(None)).cast(c.dataType).alias(c.name)
            for c in table.columns
        )
    )


def _hashable(column: T.StructField) -> list[Column]:
    """What of a column goes into the hash of a row."""
    # xxhash64 refuses maps, whose order is not defined; sorted entries are
    value = (
        F.array_sort(F.map_entries(column.name))
        if isinstance(column.dataType, T.MapType)
        else F.col(column.name)
    )
    # and it passes over nulls and empty arrays: without a mark a value could move to another column unseen
    if isinstance(column.dataType, T.ArrayType | T.MapType):
        return [value, F.coalesce(F.size(column.name), F.lit(-1))]
    return [value, F.col(column.name).isNull()] if column.nullable else [value]


def content_hash(df: DataFrame, table: Table, *more: Column) -> DataFrame:
    """One row `rows long, hash string`: row count and Σ xxhash64 of the hashed columns as decimal(38).

    A sum, so that neither row order nor partitions matter.

    Args:
        more: aggregates to tell in the same pass.
    """
    parts = [part for column in table.columns if column.name in table.hashed for part in _hashable(column)]
    row = F.xxhash64(*parts).cast("decimal(38,0)")
    total = F.coalesce(F.sum(row), F.lit(0).cast("decimal(38,0)"))
    return df.agg(
        F.count(F.lit(1)).alias("rows"), F.concat_ws(":", F.count(F.lit(1)), total).alias("hash"), *more
    )


def repeated_keys(df: DataFrame, table: Table) -> DataFrame:
    """Keys that stand more than once, with how often."""
    return df.groupBy(*table.key).count().where(F.col("count") > 1)
