"""What Delta is asked to do with one table, by the session's kind: through its Python API, or where Connect has no plugin for that, through plain Spark."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.shell import statements
from trackpools.shell.cluster import is_classic
from trackpools.table import Table


@dataclass(frozen=True)
class Span:
    """Rows of the target that a MERGE need look at: those whose `column` lies between two values."""

    column: str
    low: Any
    high: Any

    def of(self, target: str) -> Column:
        """The condition, with `target` before the column's name."""
        return F.col(f"{target}{self.column}").between(F.lit(self.low), F.lit(self.high))


@dataclass(frozen=True)
class Place(ABC):
    """Where one table is, and the commands that it takes there.

    Attributes:
        where: a path, or a name of up to three parts; validated by whoever made it.
        by_name: which of the two.
    """

    spark: SparkSession
    where: str
    by_name: bool

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a Delta table."""

    @abstractmethod
    def declare(self, table: Table, properties: Mapping[str, str], *, replace: bool) -> None:
        """Create it by its contract, empty; or, to replace, put the empty one over whatever is there."""

    @abstractmethod
    def history(self, limit: int | None = None) -> DataFrame:
        """Its commits, latest first."""

    @abstractmethod
    def vacuum(self, hours: int) -> None:
        """Delete the files that were removed more than `hours` ago."""

    @abstractmethod
    def detail(self) -> DataFrame:
        """One row that describes it, with `properties map<string,string>`."""

    @abstractmethod
    def restore(self, version: int) -> None:
        """Make an older version the latest again."""

    @abstractmethod
    def merge(
        self, source: DataFrame, table: Table, within: Span | None, *, update: bool, delete: bool = False
    ) -> None:
        """Insert the rows whose key is new; with `update`, also bring those that changed up to date, and with `delete` remove those that are not there."""

    @property
    def name(self) -> str:
        """As a statement names it."""
        return statements.quoted(self.where.split(".") if self.by_name else ["delta", self.where])

    def mark(self, properties: Mapping[str, str]) -> None:
        """Set properties, in a commit of its own."""
        statements.mark(self.spark, self.name, properties)

    def is_fed(self) -> bool:
        """Whether it keeps a change feed."""
        row = self.detail().select(F.col("properties")["delta.enableChangeDataFeed"].alias("fed")).first()
        return row is not None and row["fed"] == "true"


def place(spark: SparkSession, where: str, *, by_name: bool) -> Place:
    """The place of a table for this session."""
    return (ByApi if is_classic(spark) else BySpark)(spark, where, by_name)


class ByApi(Place):
    """Delta's Python API: every classic session."""

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
        # outside Databricks this builder knows the session catalog alone, and only without its name
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

    def merge(
        self, source: DataFrame, table: Table, within: Span | None, *, update: bool, delete: bool = False
    ) -> None:
        merge = self._table().alias("t").merge(source.alias("s"), _same(table, within, "t.", "s."))
        if update:
            merge = merge.whenMatchedUpdateAll(condition=_changed(table, "t.", "s."))
        if delete:
            merge = merge.whenNotMatchedBySourceDelete()
        merge.whenNotMatchedInsertAll().execute()


class BySpark(Place):
    """Spark's own writers and statements of validated names: a Connect server needs no plugin of Delta's for them."""

    def exists(self) -> bool:
        return statements.exists(self.spark, self.name)

    def declare(self, table: Table, properties: Mapping[str, str], *, replace: bool) -> None:
        statements.declare(self.spark, self.name, table, properties, replace=replace)

    def history(self, limit: int | None = None) -> DataFrame:
        return statements.history(self.spark, self.name, limit)

    def vacuum(self, hours: int) -> None:
        statements.vacuum(self.spark, self.name, hours)

    def detail(self) -> DataFrame:
        return statements.detail(self.spark, self.name)

    def restore(self, version: int) -> None:
        statements.restore(self.spark, self.name, version)

    def merge(
        self, source: DataFrame, table: Table, within: Span | None, *, update: bool, delete: bool = False
    ) -> None:
        # a target by its path takes no alias, so the source's names are made other ones
        named = {name: F.col(f"s__{name}") for name in table.schema.names}
        renamed = source.select(*(F.col(name).alias(f"s__{name}") for name in named))
        merge = renamed.mergeInto(self.name, _same(table, within, "", "s__"))
        if update:
            rest = {name: value for name, value in named.items() if name not in table.key}
            merge = merge.whenMatched(_changed(table, "", "s__")).update(rest)
        if delete:
            merge = merge.whenNotMatchedBySource().delete()
        merge.whenNotMatched().insert(named).merge()


def _same(table: Table, within: Span | None, target: str, source: str) -> Column:
    same = F.lit(True) if within is None else within.of(target)
    for key in table.key:
        same = same & (F.col(f"{target}{key}") == F.col(f"{source}{key}"))
    return same


def _changed(table: Table, target: str, source: str) -> Column:
    changed = ~F.lit(True)
    for name in (c.name for c in table.columns if c.name not in table.key):
        changed = changed | ~F.col(f"{target}{name}").eqNullSafe(F.col(f"{source}{name}"))
    return changed
