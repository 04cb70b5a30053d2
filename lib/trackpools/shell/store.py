"""The only reads and writes of Delta tables: by contract, at pinned versions, in one commit."""

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
from trackpools.core.contract import conform, content_hash
from trackpools.errors import BusyError, ConfigError, InputError
from trackpools.shell.commits import WORK, Commit, Stats, commit_of
from trackpools.shell.confs import VACUUM, confs, unset
from trackpools.shell.delta_place import Place, Span, place
from trackpools.table import Table
from trackpools.tables import TABLES

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MERGE_TRIES = 4
USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
PUBLISHED = {
    "delta.enableDeletionVectors": "false",  # delta-rs, DuckDB and Polars read tables without them
    # Delta opens no version older than these, and anybody's VACUUM keeps to them; `releases.vacuum` alone deletes sooner
    "delta.logRetentionDuration": "interval 365 days",
    "delta.deletedFileRetentionDuration": "interval 365 days",
}


def require_place(config: StoreConfig) -> None:
    """Refuse a configuration that names no place for the tables, or two; costs nothing, so ask before a session starts.

    Raises:
        ConfigError: with what to set.
    """
    if config.root is None and config.catalog is None:
        raise ConfigError(
            "where are the tables? give --root FOLDER, or store.catalog and store.schema in the configuration"
        )
    if config.root is not None and config.catalog is not None:
        both = f"both a root ({config.root}) and a catalog ({config.catalog}.{config.schema_})"
        raise ConfigError(
            f"where are the tables? {both} are set; leave out --root, or set store.catalog and store.schema to null"
        )


class Store:
    """Tables by name under one root path or one catalog.schema; every method validates the name.

    A store looks at each table once: what was latest then stays latest for it, until it writes the table itself.
    """

    def __init__(self, spark: SparkSession, config: StoreConfig) -> None:
        require_place(config)
        self.spark = spark
        self.config = config
        self._commits: dict[str, Commit] = {}

    def where(self, name: str) -> str:
        """Path or three-level name of a table."""
        if not TABLE_NAME.fullmatch(name):
            raise ConfigError(f"not a table name: {name!r:.80}")
        if self.config.catalog is not None:
            return f"{self.config.catalog}.{self.config.schema_}.{name}"
        return f"{str(self.config.root).rstrip('/')}/tables/{name}"

    @property
    def _by_name(self) -> bool:
        return self.config.catalog is not None

    def _at(self, name: str) -> Place:
        return place(self.spark, self.where(name), by_name=self._by_name)

    def exists(self, name: str) -> bool:
        return name in self._commits or self._at(name).exists()

    def create(self, table: Table) -> None:
        """Create by DDL, with comments, NOT NULL and CHECK; does nothing where it exists."""
        if not self.exists(table.name):
            self._declare(table)
            self._commits[table.name] = Commit(
                0, {}, time.time(), {}
            )  # which its log would say, by a Spark job

    def _declare(self, table: Table, *, replace: bool = False, work: Mapping[str, Any] | None = None) -> None:
        checks = {f"delta.constraints.{name}": rule for name, rule in table.checks.items()}
        told = {} if work is None else {WORK: _text(work)}
        self._at(table.name).declare(table, PUBLISHED | table.properties | checks | told, replace=replace)

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """A table at a version (None: the latest).

        Raises:
            InputError: where the table does not exist or no longer has that version.
        """
        reader = self.spark.read.format("delta").options(
            **({} if version is None else {"versionAsOf": version})
        )
        try:
            frame = reader.table(self.where(name)) if self._by_name else reader.load(self.where(name))
            _ = frame.schema  # Connect looks for the table no sooner
            return frame
        except AnalysisException as error:
            pinned = "" if version is None else f" at version {version}"
            raise InputError(
                f"table {name} at {self.where(name)} cannot be read{pinned}: {str(error).splitlines()[0]}"
            ) from error

    def commit(self, name: str) -> Commit:
        """The latest commit of a table that exists."""
        if name not in self._commits:
            self._commits[name] = commit_of(name, self._at(name).history(1))
        return self._commits[name]

    def commit_at(self, name: str, version: int) -> Commit:
        """An older commit; an InputError where the log no longer knows it."""
        return commit_of(name, self._at(name).history().where(F.col("version") == version))

    def version(self, name: str) -> int | None:
        """Latest version, or None where the table does not exist."""
        return self.commit(name).version if self.exists(name) else None

    def vacuum(self, name: str, hours: int) -> None:
        """Delete files removed more than `hours` ago; only `releases.vacuum` knows how many are safe.

        Raises:
            ConfigError: where the session is not ours and would not keep to `hours`.
        """
        if missing := unset(self.spark, VACUUM):
            raise ConfigError(
                "Delta would not keep to the hours asked for; start the session with these, and run again",
                missing,
            )
        with confs(self.spark, VACUUM):
            self._at(name).vacuum(hours)

    def stats(self, name: str, version: int) -> Stats:
        """Rows and content hash as they are on disk: a read-back, not what the writer believed."""
        return self.stats_of({name: version})[0]

    def stats_of(self, versions: Mapping[str, int]) -> list[Stats]:
        """The same of some tables at once."""
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
        """Replace the whole content in one commit; returns the version."""
        return self._save(table, df, metadata, None)

    def replace_days(
        self, table: Table, df: DataFrame, since: date | None, metadata: Mapping[str, Any]
    ) -> int:
        """Replace the rows of `day >= since` (None: all) in one commit; returns the version."""
        # since is a date, so this string holds nothing but digits and dashes
        return self._save(table, df, metadata, None if since is None else f"day >= '{since.isoformat()}'")

    def replace_buckets(
        self,
        table: Table,
        df: DataFrame,
        buckets: Sequence[int],
        metadata: Mapping[str, Any],
        refresh: int | None = None,
    ) -> int:
        """Replace the rows of buckets, and of a refresh and later ones, in one commit; returns the version."""
        where = (
            [f"bucket IN ({', '.join(str(int(one)) for one in buckets)})"] if buckets else []
        )  # whole numbers, nothing else
        return self._save(
            table,
            df,
            metadata,
            " OR ".join([*where, *([] if refresh is None else [f"refresh >= {int(refresh)}"])]),
        )

    def restore(self, name: str, version: int) -> None:
        """Make an older version the latest again, with its metadata; no file is written."""
        told = self.commit_at(name, version).metadata
        with confs(self.spark, {USER_METADATA: _text(told)}):
            self._at(name).restore(version)
        self._commits.pop(name, None)
        if self.commit(name).metadata != told:
            self.mark(name, told)

    def mark(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Say whose work a table is in a commit of its own: a MERGE that changed nothing made none, and on a session of others its commit cannot say it."""
        self._at(name).mark({WORK: _text(metadata)})
        self._commits.pop(name, None)

    def changes(self, name: str, after: int, until: int) -> DataFrame | None:
        """The change feed of the versions above `after` up to `until`; None where the table was made without one.

        Returns:
            The rows with `_change_type` (insert, delete, update_preimage, update_postimage) and other columns that Delta adds.
        """
        if not self._at(name).is_fed():
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
            # of an older trackpools: readers hold versions, and what follows writes all of it
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
            # nothing in place of nothing is no commit, but whose work it is must be told
            self._declare(table, replace=True, work=metadata)
            del self._commits[table.name]
        return self.commit(table.name).version

    def _grow(self, table: Table) -> None:
        """Add the columns that an older trackpools did not know; they are nullable."""
        there = self.read(table.name)
        if set(table.schema.names) <= set(there.columns):
            return
        writer = (
            conform(there.limit(0), table).write.format("delta").mode("append").option("mergeSchema", "true")
        )
        writer.saveAsTable(self.where(table.name)) if self._by_name else writer.save(self.where(table.name))

    def insert(
        self, table: Table, df: DataFrame, metadata: Mapping[str, Any], within: Span | None = None
    ) -> int:
        """Insert the rows whose key is new; returns how many Delta says it inserted."""
        return self._merge(table, df, metadata, update=False, within=within)

    def upsert(self, table: Table, df: DataFrame, metadata: Mapping[str, Any]) -> int:
        """Insert new keys and update changed rows; returns inserted + updated."""
        return self._merge(table, df, metadata, update=True)

    def difference(self, table: Table, df: DataFrame, metadata: Mapping[str, Any]) -> int:
        """Make the content that of `df` and commit only what differs, so that the change feed holds nothing else; returns how many rows did."""
        return self._merge(table, df, metadata, update=True, delete=True)

    def _merge(
        self,
        table: Table,
        df: DataFrame,
        metadata: Mapping[str, Any],
        *,
        update: bool,
        delete: bool = False,
        within: Span | None = None,
    ) -> int:
        self.create(table)
        self._grow(table)
        source = conform(df, table)
        self._commits.pop(table.name, None)
        before = self.commit(table.name).version
        for attempt in range(MERGE_TRIES):
            try:
                with confs(self.spark, {USER_METADATA: _text(metadata)}):  # MERGE has no option for it
                    self._at(table.name).merge(source, table, within, update=update, delete=delete)
                break
            except Exception as error:
                # only a lost race is worth another try; Delta names all of them Concurrent…
                if "concurrent" not in (type(error).__name__ + str(error)[:2000]).lower():
                    raise
                if attempt == MERGE_TRIES - 1:
                    raise BusyError(
                        f"table {table.name} was written by others {MERGE_TRIES} times while we tried; run again later"
                    ) from error
                time.sleep(0.2 * 2**attempt)
        del self._commits[table.name]
        last = self.commit(table.name)
        if last.version == before:
            return 0  # a MERGE that changes nothing makes no commit
        return sum(
            int(last.counted.get(f"numTargetRows{done}", 0)) for done in ("Inserted", "Updated", "Deleted")
        )


def _text(metadata: Mapping[str, Any]) -> str:
    return json.dumps(dict(metadata), sort_keys=True)
