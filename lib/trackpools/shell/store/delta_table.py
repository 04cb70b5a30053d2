"""Delta operations on one table, for both kinds of Spark session.

A classic session uses Delta's Python API (`ApiTableHandle`). A Spark Connect server may lack the plugin for
that API, so a Connect session uses plain Spark (`SqlTableHandle`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.errors import NumberTakenError
from trackpools.schema import Table
from trackpools.shell.spark.context import is_classic
from trackpools.shell.store import sql

NUMBER_TAKEN = "trackpools: this number already belongs to another id"  # raised by `_refuse_taken`


@dataclass(frozen=True)
class ValueRange:
    """A range of target rows: a MERGE needs to look only at rows whose `column` is between two values.

    Attributes:
        column: name of the column.
        low: smallest value, inclusive.
        high: largest value, inclusive.
    """

    column: str
    low: Any
    high: Any

    def of(self, target: str) -> Column:
        """Return the condition, with the prefix `target` before the column's name."""
        return F.col(f"{target}{self.column}").between(F.lit(self.low), F.lit(self.high))


@dataclass(frozen=True)
class TableHandle(ABC):
    """The location of one table, and the Delta commands on it.

    Attributes:
        spark: the session that runs the commands.
        where: a path, or a name of up to three parts; the caller has validated it.
        by_name: True if `where` is a name, False if it is a path.
    """

    spark: SparkSession
    where: str
    by_name: bool

    @abstractmethod
    def exists(self) -> bool:
        """Return whether a Delta table exists at this location."""

    @abstractmethod
    def declare(self, table: Table, properties: Mapping[str, str], *, replace: bool) -> None:
        """Create the table by its contract, empty.

        Args:
            table: the contract.
            properties: table properties to set.
            replace: if True, an existing table is replaced by the empty one; else it is left as it is.
        """

    @abstractmethod
    def history(self, limit: int | None = None) -> DataFrame:
        """Return the commits of the table, latest first, at most `limit` of them."""

    @abstractmethod
    def vacuum(self, hours: int) -> None:
        """Delete the files that were removed from the table more than `hours` ago."""

    @abstractmethod
    def detail(self) -> DataFrame:
        """Return one row that describes the table, with a column `properties map<string,string>`."""

    @abstractmethod
    def restore(self, version: int) -> None:
        """Make an older version the latest again."""

    def merge(
        self,
        source: DataFrame,
        table: Table,
        within: ValueRange | None,
        *,
        update: bool,
        delete: bool = False,
    ) -> None:
        """Insert the rows of `source` whose key is new, in one MERGE.

        In a table that numbers its keys (`Table.number`), rows are matched by number instead of key. The
        numbers in `source` begin right after the highest number of the table version that they were computed
        from. If another run has added keys since, it has taken the first of these numbers, and the match
        finds it. Otherwise all these numbers are free and all these keys are new. If another run commits rows
        while the MERGE runs, Delta refuses the commit of the MERGE, because it read the table without them.

        Args:
            source: rows with the columns of `table`.
            table: contract of the target.
            within: range of target rows that can match; None compares with all rows.
            update: also update the rows that changed.
            delete: also delete the target rows that are not in `source`.

        Raises:
            NumberTakenError: if a number belongs to another key; nothing was written.
        """
        try:
            self._merge(source, table, within, update=update, delete=delete)
        except Exception as error:
            if NUMBER_TAKEN not in str(error):
                raise
            told = f"another run assigned numbers in table {table.name} while this one computed its own; run again"
            raise NumberTakenError(told) from error

    @abstractmethod
    def _merge(
        self,
        source: DataFrame,
        table: Table,
        within: ValueRange | None,
        *,
        update: bool,
        delete: bool,
    ) -> None:
        """Do the same as `merge`, but raise the original error of Spark if a number is taken."""

    @property
    def name(self) -> str:
        """The quoted name of the table in an SQL statement."""
        return sql.quoted(self.where.split(".") if self.by_name else ["delta", self.where])

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set table properties, in a separate commit."""
        sql.mark(self.spark, self.name, properties)

    def has_change_feed(self) -> bool:
        """Return whether the table keeps a change feed."""
        row = self.detail().select(F.col("properties")["delta.enableChangeDataFeed"].alias("fed")).first()
        return row is not None and row["fed"] == "true"


def place(spark: SparkSession, where: str, *, by_name: bool) -> TableHandle:
    """Return the handle of a table that fits the kind of this session."""
    return (ApiTableHandle if is_classic(spark) else SqlTableHandle)(spark, where, by_name)


class ApiTableHandle(TableHandle):
    """The commands through Delta's Python API, for every classic session."""

    def _table(self) -> DeltaTable:
        return (
            DeltaTable.forName(self.spark, self.where)
            if self.by_name
            else DeltaTable.forPath(self.spark, self.where)
        )

    def exists(self) -> bool:
        return bool(
            self.spark.catalog.tableExists(self.where)
            if self.by_name
            else DeltaTable.isDeltaTable(self.spark, self.where)
        )

    def declare(self, table: Table, properties: Mapping[str, str], *, replace: bool) -> None:
        builder = DeltaTable.replace(self.spark) if replace else DeltaTable.createIfNotExists(self.spark)
        # Outside Databricks, this builder knows only the session catalog, and it accepts table names only
        # without the name of that catalog.
        builder = (
            builder.tableName(self.where.removeprefix("spark_catalog."))
            if self.by_name
            else builder.location(self.where)
        )
        builder = builder.addColumns(table.schema).comment(table.grain)
        if table.partitioned_by:
            builder = builder.partitionedBy(*table.partitioned_by)
        if table.cluster_by:
            builder = builder.clusterBy(*table.cluster_by)
        for key, value in properties.items():
            builder = builder.property(key, value)
        builder.execute()

    def history(self, limit: int | None = None) -> DataFrame:
        commits: DataFrame = self._table().history(limit)
        return commits

    def vacuum(self, hours: int) -> None:
        self._table().vacuum(hours)

    def detail(self) -> DataFrame:
        told: DataFrame = self._table().detail()
        return told

    def restore(self, version: int) -> None:
        self._table().restoreToVersion(version)

    def _merge(
        self,
        source: DataFrame,
        table: Table,
        within: ValueRange | None,
        *,
        update: bool,
        delete: bool,
    ) -> None:
        merge = self._table().alias("t").merge(source.alias("s"), _same(table, within, "t.", "s."))
        if table.number is not None:
            refusal = _refuse_taken(table, table.number)
            merge = merge.whenMatchedUpdate(condition=_taken(table, "t.", "s."), set=refusal)
        if update:
            merge = merge.whenMatchedUpdateAll(condition=_changed(table, "t.", "s."))
        if delete:
            merge = merge.whenNotMatchedBySourceDelete()
        merge.whenNotMatchedInsertAll().execute()


class SqlTableHandle(TableHandle):
    """The commands through Spark's own writers and SQL, which need no Delta plugin on a Connect server."""

    def exists(self) -> bool:
        return sql.exists(self.spark, self.name)

    def declare(self, table: Table, properties: Mapping[str, str], *, replace: bool) -> None:
        sql.declare(self.spark, self.name, table, properties, replace=replace)

    def history(self, limit: int | None = None) -> DataFrame:
        return sql.history(self.spark, self.name, limit)

    def vacuum(self, hours: int) -> None:
        sql.vacuum(self.spark, self.name, hours)

    def detail(self) -> DataFrame:
        return sql.detail(self.spark, self.name)

    def restore(self, version: int) -> None:
        sql.restore(self.spark, self.name, version)

    def _merge(
        self,
        source: DataFrame,
        table: Table,
        within: ValueRange | None,
        *,
        update: bool,
        delete: bool,
    ) -> None:
        # A target given by path accepts no alias, so the source columns are renamed to tell them apart.
        named = {name: F.col(f"s__{name}") for name in table.schema.names}
        renamed = source.select(*(F.col(name).alias(f"s__{name}") for name in named))
        merge = renamed.mergeInto(self.name, _same(table, within, "", "s__"))
        if table.number is not None:
            merge = merge.whenMatched(_taken(table, "", "s__")).update(_refuse_taken(table, table.number))
        if update:
            rest = {name: value for name, value in named.items() if name not in table.key}
            merge = merge.whenMatched(_changed(table, "", "s__")).update(rest)
        if delete:
            merge = merge.whenNotMatchedBySource().delete()
        merge.whenNotMatched().insert(named).merge()


def _same(table: Table, within: ValueRange | None, target: str, source: str) -> Column:
    same = F.lit(True) if within is None else within.of(target)
    for name in table.key if table.number is None else (table.number,):
        same = same & (F.col(f"{target}{name}") == F.col(f"{source}{name}"))
    return same


def _taken(table: Table, target: str, source: str) -> Column:
    """Return the condition that two rows with the same number have different keys."""
    taken = F.lit(False)
    for key in table.key:
        taken = taken | (F.col(f"{target}{key}") != F.col(f"{source}{key}"))
    return taken


def _refuse_taken(table: Table, number: str) -> dict[str, Column]:
    """Return an update (column → value) that raises an error when applied, so the whole MERGE fails."""
    return {number: F.raise_error(F.lit(NUMBER_TAKEN)).cast(table.schema[number].dataType)}


def _changed(table: Table, target: str, source: str) -> Column:
    changed = ~F.lit(True)
    for name in (c.name for c in table.columns if c.name not in table.key):
        changed = changed | ~F.col(f"{target}{name}").eqNullSafe(F.col(f"{source}{name}"))
    return changed
