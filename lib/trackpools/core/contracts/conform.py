"""Apply the declarations of `tables.py` to frames: select columns, hash content, find repeated keys."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.errors import ContractError
from trackpools.schema import Table


def conform(df: DataFrame, table: Table) -> DataFrame:
    """Select exactly the table's columns, in its order and cast to its types.

    A nullable column that the frame lacks is added as null. A column that the table lacks is left out.

    Raises:
        ContractError: if the frame lacks NOT NULL columns; the error names all of them.
    """
    missing = [
        f"{table.name}.{c.name} is NOT NULL, but the frame lacks it; the frame has the columns {', '.join(df.columns)}"
        for c in table.columns
        if not c.nullable and c.name not in df.columns
    ]
    if missing:
        raise ContractError(f"the frame lacks columns that table {table.name} requires", missing)
    return df.select(
        *(
            (F.col(c.name) if c.name in df.columns else F.lit(None)).cast(c.dataType).alias(c.name)
            for c in table.columns
        )
    )


def _hashable(column: T.StructField) -> list[Column]:
    """Return the expressions by which a column enters the hash of a row."""
    # xxhash64 refuses maps, because their order is not defined. So the sorted entries are hashed instead.
    value = (
        F.array_sort(F.map_entries(column.name))
        if isinstance(column.dataType, T.MapType)
        else F.col(column.name)
    )
    # xxhash64 also skips nulls and empty arrays. So the size, or whether the value is null, is hashed too.
    # Otherwise the hash would stay the same if a value moved to a neighbouring column.
    if isinstance(column.dataType, T.ArrayType | T.MapType):
        return [value, F.coalesce(F.size(column.name), F.lit(-1))]
    return [value, F.col(column.name).isNull()] if column.nullable else [value]


def content_hash(df: DataFrame, table: Table, *more: Column) -> DataFrame:
    """Compute the number of rows and the content hash of a table.

    The hash contains a sum over rows, so it depends neither on the order of rows nor on partitions.

    Args:
        df: rows of the table.
        table: the declaration; `table.hashed` names the columns to hash.
        more: further aggregates to compute in the same pass.

    Returns:
        One row `rows long, hash string`, then the columns of `more`. The hash is the number of rows, a colon,
        and the sum of the rows' xxhash64 as decimal(38,0).
    """
    parts = [part for column in table.columns if column.name in table.hashed for part in _hashable(column)]
    row = F.xxhash64(*parts).cast("decimal(38,0)")
    total = F.coalesce(F.sum(row), F.lit(0).cast("decimal(38,0)"))
    return df.agg(
        F.count(F.lit(1)).alias("rows"), F.concat_ws(":", F.count(F.lit(1)), total).alias("hash"), *more
    )


def repeated_keys(df: DataFrame, table: Table) -> DataFrame:
    """Return the keys that occur in more than one row: the table's key columns and `count long`."""
    return df.groupBy(*table.key).count().where(F.col("count") > 1)
