"""Read and write the Delta tables of trackpools.

All other modules go through `Store`. It writes rows that conform to the table's contract
(`trackpools.tables`), one commit for each write, and reads a table at a pinned version.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import StoreConfig
from trackpools.core.contracts.conform import conform, content_hash
from trackpools.errors import ConfigError, InputError
from trackpools.schema import Table
from trackpools.shell.spark.temporary_conf import VACUUM, temporary_confs, unset
from trackpools.shell.store.commits import WORK, Commit, Stats, commit_of
from trackpools.shell.store.delta_table import TableHandle, ValueRange, place
from trackpools.shell.store.merge_retry import merge_with_retry
from trackpools.tables import TABLES

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
PUBLISHED = {
    "delta.enableDeletionVectors": "false",  # delta-rs, DuckDB and Polars read tables without them
    # Delta opens no version older than these intervals, and every VACUUM respects them.
    # Only `releases.vacuum` deletes files sooner.
    "delta.logRetentionDuration": "interval 365 days",
    "delta.deletedFileRetentionDuration": "interval 365 days",
}


def require_place(config: StoreConfig) -> None:
    """Refuse a configuration that names no place for the tables, or two places.

    The check costs nothing, so call it before a Spark session starts.

    Raises:
        ConfigError: if neither or both of root and catalog are set; the message says what to set.
    """
    if config.root is None and config.catalog is None:
        raise ConfigError(
            "no place for the tables is set; give --root FOLDER, or set store.catalog and store.schema in the configuration"
        )
    if config.root is not None and config.catalog is not None:
        both = f"both a root ({config.root}) and a catalog ({config.catalog}.{config.schema_})"
        raise ConfigError(
            f"the place of the tables is ambiguous: {both} are set; leave out --root, or set store.catalog and store.schema to null"
        )


class Store:
    """Tables by name, under one root path or in one `catalog.schema`.

    Every method validates the table name. The methods `commit` and `version` look up the latest commit of a
    table once and keep it: they do not see commits of other writers until the store writes the table itself.

    Attributes:
        spark: the session that reads and writes.
        config: the `store` section of the configuration.
        data_files: a cache of `integrity.files`, by table name and version.
    """

    def __init__(self, spark: SparkSession, config: StoreConfig) -> None:
        require_place(config)
        self.spark = spark
        self.config = config
        self._commits: dict[str, Commit] = {}
        self.data_files: dict[tuple[str, int], str] = {}  # see `integrity.files`

    def where(self, name: str) -> str:
        """Return the path of a table, or its three-level name in a catalog.

        Raises:
            ConfigError: if `name` is not a valid table name.
        """
        if not TABLE_NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r:.80} is not a valid table name; a name has 1 to 64 lower-case letters, digits and _, and begins with a letter"
            )
        if self.config.catalog is not None:
            return f"{self.config.catalog}.{self.config.schema_}.{name}"
        return f"{str(self.config.root).rstrip('/')}/tables/{name}"

    @property
    def _by_name(self) -> bool:
        return self.config.catalog is not None

    def _at(self, name: str) -> TableHandle:
        return place(self.spark, self.where(name), by_name=self._by_name)

    def exists(self, name: str) -> bool:
        """Return whether a table exists; a table that the store has looked up is not checked again."""
        return name in self._commits or self._at(name).exists()

    def create(self, table: Table) -> None:
        """Create an empty table with its comments, NOT NULL and CHECKs; do nothing if it exists."""
        if not self.exists(table.name):
            self._declare(table)
            self._commits[table.name] = Commit(
                0, {}, time.time(), {}, "CREATE TABLE"
            )  # the log would say the same, but reading it costs a Spark job

    def _declare(self, table: Table, *, replace: bool = False, work: Mapping[str, Any] | None = None) -> None:
        checks = {f"delta.constraints.{name}": rule for name, rule in table.checks.items()}
        told = {} if work is None else {WORK: _text(work)}
        self._at(table.name).declare(table, PUBLISHED | table.properties | checks | told, replace=replace)

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """Read a table.

        Args:
            name: name of the table.
            version: Delta version to read; None reads the latest one.

        Raises:
            InputError: if the table does not exist or no longer has that version.
        """
        reader = self.spark.read.format("delta").options(
            **({} if version is None else {"versionAsOf": version})
        )
        try:
            frame = reader.table(self.where(name)) if self._by_name else reader.load(self.where(name))
            _ = frame.schema  # on Spark Connect, a missing table is reported only here
            return frame
        except AnalysisException as error:
            pinned = "" if version is None else f" at version {version}"
            raise InputError(
                f"table {name} at {self.where(name)} cannot be read{pinned}: {str(error).splitlines()[0]}"
            ) from error

    def commit(self, name: str) -> Commit:
        """Return the latest commit of a table that exists; it is cached until the store writes the table."""
        if name not in self._commits:
            self._commits[name] = commit_of(name, self._at(name).history(1))
        return self._commits[name]

    def commit_at(self, name: str, version: int) -> Commit:
        """Return the commit of one version of a table.

        Raises:
            InputError: if the Delta log no longer holds that version.
        """
        return commit_of(name, self._at(name).history().where(F.col("version") == version))

    def version(self, name: str) -> int | None:
        """Return the latest version of a table, or None if the table does not exist."""
        return self.commit(name).version if self.exists(name) else None

    def vacuum(self, name: str, hours: int) -> None:
        """Delete the data files that were removed from the table more than `hours` ago.

        Only `releases.vacuum` knows how many hours are safe.

        Raises:
            ConfigError: if trackpools did not build the session and its settings would ignore `hours`.
        """
        if missing := unset(self.spark, VACUUM):
            raise ConfigError(
                "Delta would ignore how many hours are to be kept; start the Spark session with these settings, and run again",
                missing,
            )
        with temporary_confs(self.spark, VACUUM):
            self._at(name).vacuum(hours)

    def stats(self, name: str, version: int) -> Stats:
        """Return row count and content hash of one table version, computed from the stored rows."""
        return self.stats_of({name: version})[0]

    def stats_of(self, versions: Mapping[str, int]) -> list[Stats]:
        """Return the `Stats` of several tables (name → version), computed in one Spark query."""
        each = [
            content_hash(self.read(name, version), TABLES[name]).withColumn("name", F.lit(name))
            for name, version in versions.items()
        ]
        told = {row["name"]: row for row in reduce(DataFrame.unionByName, each).collect()} if each else {}
        return [
            Stats(name, version, int(told[name]["rows"]), told[name]["hash"])
            for name, version in versions.items()
        ]

    def overwrite(self, table: Table, df: DataFrame, metadata: Mapping[str, Any]) -> int:
        """Replace the whole content of a table in one commit, and return the new version."""
        return self._save(table, df, metadata, None)

    def replace_days(
        self, table: Table, df: DataFrame, since: date | None, metadata: Mapping[str, Any]
    ) -> int:
        """Replace the rows with `day >= since` (None: all rows) in one commit, and return the new version."""
        # `since` is a date, so the condition holds only digits and dashes and cannot inject SQL.
        return self._save(table, df, metadata, None if since is None else f"day >= '{since.isoformat()}'")

    def replace_buckets(
        self,
        table: Table,
        df: DataFrame,
        buckets: Sequence[int],
        metadata: Mapping[str, Any],
        refresh: int | None = None,
    ) -> int:
        """Replace the rows of some buckets, and of one refresh and all later ones, in one commit.

        Args:
            table: contract of the table.
            df: the new rows.
            buckets: values of the column `bucket` whose rows are replaced.
            metadata: our metadata for the commit.
            refresh: the rows of this refresh number and above are replaced too, unless it is None.

        Returns:
            The new version.
        """
        where = (
            [f"bucket IN ({', '.join(str(int(one)) for one in buckets)})"] if buckets else []
        )  # int() lets only whole numbers into the condition
        return self._save(
            table,
            df,
            metadata,
            " OR ".join([*where, *([] if refresh is None else [f"refresh >= {int(refresh)}"])]),
        )

    def restore(self, name: str, version: int) -> None:
        """Commit an older version of a table as the latest one, with its metadata; no data file is written.

        Raises:
            InputError: if the Delta log no longer holds that version.
        """
        told = self.commit_at(name, version).metadata
        with temporary_confs(self.spark, {USER_METADATA: _text(told)}):
            self._at(name).restore(version)
        self._commits.pop(name, None)
        if self.commit(name).metadata != told:
            self.mark(name, told)

    def mark(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Record our metadata of a table in a commit of its own, as a table property.

        A separate commit is needed in two cases: a MERGE that changed nothing makes no commit, and on a
        session that trackpools did not build, the commit of a MERGE cannot carry our metadata.
        """
        self._at(name).set_properties({WORK: _text(metadata)})
        self._commits.pop(name, None)

    def changes(self, name: str, after: int, until: int) -> DataFrame | None:
        """Read the change feed of the versions above `after`, up to and including `until`.

        Returns:
            The changed rows, with `_change_type` (insert, delete, update_preimage, update_postimage) and the
            other columns that Delta adds; no rows if `after >= until`. None if the table has no change feed.
        """
        if not self._at(name).has_change_feed():
            return None
        if after >= until:
            return self.read(name, until).limit(0).withColumn("_change_type", F.lit(""))
        reader = (
            self.spark.read.format("delta")
            .option("readChangeFeed", "true")
            .option("startingVersion", after + 1)
            .option("endingVersion", until)
        )
        return reader.table(self.where(name)) if self._by_name else reader.load(self.where(name))

    def _save(
        self, table: Table, df: DataFrame, metadata: Mapping[str, Any], replace_where: str | None
    ) -> int:
        self.create(table)
        if replace_where is None and self.read(table.name).columns != table.schema.names:
            # An older trackpools wrote the table with other columns. Declaring it anew is safe: readers pin
            # versions, and the write below replaces the whole content.
            self._declare(table, replace=True)
            self._commits.pop(table.name, None)
        before = self.commit(table.name).version
        writer = (
            conform(df, table)
            .write.format("delta")
            .mode("overwrite")
            .option("compression", "zstd")
            .option("userMetadata", _text(metadata))
        )
        if replace_where is not None:
            writer = writer.option("replaceWhere", replace_where)
        if self._by_name:
            writer.saveAsTable(self.where(table.name))
        else:
            writer.save(self.where(table.name))
        del self._commits[table.name]
        if replace_where is None and self.commit(table.name).version == before:
            # Delta makes no commit when nothing replaces nothing, but our metadata must be recorded.
            self._declare(table, replace=True, work=metadata)
            del self._commits[table.name]
        return self.commit(table.name).version

    def _grow(self, table: Table) -> None:
        """Add to the stored table the columns that an older trackpools did not write; they are nullable."""
        there = self.read(table.name)
        if set(table.schema.names) <= set(there.columns):
            return
        writer = (
            conform(there.limit(0), table).write.format("delta").mode("append").option("mergeSchema", "true")
        )
        writer.saveAsTable(self.where(table.name)) if self._by_name else writer.save(self.where(table.name))

    def insert(
        self, table: Table, df: DataFrame, metadata: Mapping[str, Any], within: ValueRange | None = None
    ) -> int:
        """Insert the rows whose key is new.

        Args:
            table: contract of the table; with `Table.number`, rows are matched by that number instead of the
                key.
            df: the rows to insert.
            metadata: our metadata for the commit.
            within: range of the table's rows that can match; None compares the new rows with all rows.

        Returns:
            How many rows Delta reports as inserted.

        Raises:
            NumberTakenError: if a number already belongs to another key.
            BusyError: if other writers won the race in every try, see `merge_retry`.
        """
        return self._merge(table, df, metadata, update=False, within=within)

    def upsert(self, table: Table, df: DataFrame, metadata: Mapping[str, Any]) -> int:
        """Insert the rows whose key is new, update the rows that changed, and return the number of both.

        Raises:
            BusyError: if other writers won the race in every try, see `merge_retry`.
        """
        return self._merge(table, df, metadata, update=True)

    def difference(self, table: Table, df: DataFrame, metadata: Mapping[str, Any]) -> int:
        """Make the content of the table equal to `df`, and commit only the rows that differ.

        The change feed then holds only real differences. Returns how many rows were inserted, updated or
        deleted.

        Raises:
            BusyError: if other writers won the race in every try, see `merge_retry`.
        """
        return self._merge(table, df, metadata, update=True, delete=True)

    def _merge(
        self,
        table: Table,
        df: DataFrame,
        metadata: Mapping[str, Any],
        *,
        update: bool,
        delete: bool = False,
        within: ValueRange | None = None,
    ) -> int:
        self.create(table)
        self._grow(table)
        source = conform(df, table)
        self._commits.pop(table.name, None)
        before = commit_of(table.name, self._at(table.name).history(1)).version

        def merge() -> None:
            # MERGE has no option for metadata, so a conf carries it
            with temporary_confs(self.spark, {USER_METADATA: _text(metadata)}):
                self._at(table.name).merge(source, table, within, update=update, delete=delete)

        merge_with_retry(table.name, merge)
        last = self.commit(table.name)
        if last.version == before:
            return 0  # a MERGE that changes nothing makes no commit
        return sum(
            int(last.counted.get(f"numTargetRows{done}", 0)) for done in ("Inserted", "Updated", "Deleted")
        )


def _text(metadata: Mapping[str, Any]) -> str:
    return json.dumps(dict(metadata), sort_keys=True)
