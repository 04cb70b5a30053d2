"""The SQL statements of the package, all of them: made of validated names and of the contracts in `tables.py`, never of a value that a user gave.

For Connect sessions: outside Databricks a server knows Delta's Python API by a plugin only, which is not published for every Spark.
"""

from collections.abc import Mapping, Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from trackpools.table import Table

NO_TABLE = "DELTA_MISSING_DELTA_TABLE"


def quoted(parts: Sequence[str]) -> str:
    """An identifier of one or more parts, whatever characters they have."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def literal(text: str) -> str:
    """A text as SQL reads it back."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def exists(spark: SparkSession, name: str) -> bool:
    """Whether there is a Delta table of this (quoted) name."""
    try:
        return bool(spark.catalog.tableExists(name))
    except AnalysisException as error:
        if NO_TABLE in str(error):
            return False
        raise


def columns(table: Table) -> str:
    """The column list of a contract: types, NOT NULL and comments."""
    listed = (
        f"{quoted([c.name])} {c.dataType.simpleString()}{'' if c.nullable else ' NOT NULL'} COMMENT {literal(c.metadata['comment'])}"
        for c in table.columns
    )
    return ", ".join(listed)


def declare(
    spark: SparkSession, name: str, table: Table, properties: Mapping[str, str], *, replace: bool
) -> None:
    """CREATE a table by its contract where there is none, or REPLACE the one there by an empty one."""
    verb = "REPLACE TABLE" if replace else "CREATE TABLE IF NOT EXISTS"
    text = f"{verb} {name} ({columns(table)}) USING delta COMMENT {literal(table.grain)}"
    if table.partitioned_by:
        text += f" PARTITIONED BY ({', '.join(quoted([one]) for one in table.partitioned_by)})"
    if table.cluster_by:
        text += f" CLUSTER BY ({', '.join(quoted([one]) for one in table.cluster_by)})"
    spark.sql(
        f"{text} TBLPROPERTIES ({', '.join(f'{literal(key)} = {literal(value)}' for key, value in properties.items())})"
    )


def mark(spark: SparkSession, name: str, properties: Mapping[str, str]) -> None:
    """Set properties of a table."""
    spark.sql(
        f"ALTER TABLE {name} SET TBLPROPERTIES ({', '.join(f'{literal(key)} = {literal(value)}' for key, value in properties.items())})"
    )


def history(spark: SparkSession, name: str, limit: int | None) -> DataFrame:
    """The commits of a table, latest first."""
    return spark.sql(f"DESCRIBE HISTORY {name}" + ("" if limit is None else f" LIMIT {limit:d}"))


def vacuum(spark: SparkSession, name: str, hours: int) -> None:
    """VACUUM to so many hours."""
    spark.sql(f"VACUUM {name} RETAIN {hours:d} HOURS")


def detail(spark: SparkSession, name: str) -> DataFrame:
    """One row that describes a table."""
    return spark.sql(f"DESCRIBE DETAIL {name}")


def restore(spark: SparkSession, name: str, version: int) -> None:
    """RESTORE an older version as the latest."""
    spark.sql(f"RESTORE TABLE {name} TO VERSION AS OF {version:d}").collect()
