"""All SQL statements of the package, built from validated names and the declarations in `tables.py`.

Names, comments and property values are quoted by `quoted` or `literal`; numbers are formatted as integers.
Connect sessions need the statements: outside Databricks, a Connect server knows Delta's Python API only
through a plugin, which is not published for every Spark version.
"""

from collections.abc import Mapping, Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from trackpools.schema import Table

NO_TABLE = "DELTA_MISSING_DELTA_TABLE"


def quoted(parts: Sequence[str]) -> str:
    """Quote an identifier of one or more parts; the parts may hold any characters."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def literal(text: str) -> str:
    """Write a text as an SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def exists(spark: SparkSession, name: str) -> bool:
    """Return whether a Delta table of this (quoted) name exists."""
    try:
        return bool(spark.catalog.tableExists(name))
    except AnalysisException as error:
        if NO_TABLE in str(error):
            return False
        raise


def columns(table: Table) -> str:
    """Return the SQL column list of a contract, with types, NOT NULL and comments."""
    listed = (
        f"{quoted([c.name])} {c.dataType.simpleString()}{'' if c.nullable else ' NOT NULL'} COMMENT {literal(c.metadata['comment'])}"
        for c in table.columns
    )
    return ", ".join(listed)


def declare(
    spark: SparkSession, name: str, table: Table, properties: Mapping[str, str], *, replace: bool
) -> None:
    """Create an empty table by its contract if none exists; with `replace`, replace the existing one."""
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
    """Set properties of a table with ALTER TABLE."""
    spark.sql(
        f"ALTER TABLE {name} SET TBLPROPERTIES ({', '.join(f'{literal(key)} = {literal(value)}' for key, value in properties.items())})"
    )


def history(spark: SparkSession, name: str, limit: int | None) -> DataFrame:
    """Return the commits of a table, latest first; all of them if `limit` is None."""
    return spark.sql(f"DESCRIBE HISTORY {name}" + ("" if limit is None else f" LIMIT {limit:d}"))


def vacuum(spark: SparkSession, name: str, hours: int) -> None:
    """Delete the files that were removed from a table more than `hours` ago."""
    spark.sql(f"VACUUM {name} RETAIN {hours:d} HOURS")


def detail(spark: SparkSession, name: str) -> DataFrame:
    """Return one row that describes a table."""
    return spark.sql(f"DESCRIBE DETAIL {name}")


def restore(spark: SparkSession, name: str, version: int) -> None:
    """Make an older version of a table the latest again."""
    spark.sql(f"RESTORE TABLE {name} TO VERSION AS OF {version:d}").collect()
