"""A sandbox store: imported tables are read from the real store, and everything else is kept apart.

A flow in a sandbox can replay the past up to any day and under any settings, without changing the tables
that readers follow.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from trackpools import tables as t
from trackpools.config import Config, StoreConfig
from trackpools.errors import InputError
from trackpools.schema import Table
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.store.delta_table import ValueRange
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.store.store import Store
from trackpools.shell.store.time_travel import parse_time, resolve
from trackpools.shell.tracking.tracker import Tracker

IMPORTED_TABLES = (t.PLAYS, t.SIGNALS, t.TRACKS, t.USERS, t.VECTORS, t.TRUTH)


class SideStore(Store):
    """A store that reads the imported tables of another store and keeps all other tables apart.

    Its own tables are stored in a folder under the root of the other store or, with a catalog, in the same
    schema under names with a prefix. Writing to an imported table raises a ValueError.

    Args:
        spark: The session.
        config: Configuration of the other store.
        name: Folder name or prefix of the tables.
        planted: Table name → rows that `read` adds to the rows of the table.
        instead: Table name → rows that `read` returns instead of the rows of the table.
    """

    def __init__(
        self,
        spark: SparkSession,
        config: StoreConfig,
        name: str,
        planted: Mapping[str, DataFrame] | None = None,
        instead: Mapping[str, DataFrame] | None = None,
    ) -> None:
        super().__init__(spark, config)
        self.name, self.planted, self.instead = name, planted or {}, instead or {}

    def where(self, name: str) -> str:
        """Return the path or name of a table: in the other store if it is imported, else in the sandbox."""
        there = super().where(name)
        if name in {table.name for table in IMPORTED_TABLES}:
            return there
        if self.config.catalog is not None:
            return f"{self.config.catalog}.{self.config.schema_}.{self.name}__{name}"
        return f"{str(self.config.root).rstrip('/')}/{self.name}/tables/{name}"

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """Read a table as `Store.read` does, with planted rows added or replacement rows used.

        Planted and replacement rows exist in memory only; they are never written.
        """
        rows = self.instead[name] if name in self.instead else super().read(name, version)
        return (
            rows.unionByName(self.planted[name], allowMissingColumns=True) if name in self.planted else rows
        )

    def _save(
        self, table: Table, df: DataFrame, metadata: Mapping[str, Any], replace_where: str | None
    ) -> int:
        self._only_ours(table)
        return super()._save(table, df, metadata, replace_where)

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
        self._only_ours(table)
        return super()._merge(table, df, metadata, update=update, delete=delete, within=within)

    def _only_ours(self, table: Table) -> None:
        if table in IMPORTED_TABLES:
            raise ValueError(f"a sandbox must not write {table.name}, which belongs to the store itself")

    def clear(self) -> None:
        """Delete the tables of the sandbox if the root is local; else the next sandbox overwrites them."""
        folder = local_path(self.config.root)
        if folder is not None:
            shutil.rmtree(folder / self.name, ignore_errors=True)


@contextlib.contextmanager
def open_sandbox(
    config: Config,
    spark: SparkSession,
    name: str,
    as_of: datetime,
    progress: Callable[[str], None],
    *,
    planted: Mapping[str, DataFrame] | None = None,
    instead: Mapping[str, DataFrame] | None = None,
) -> Iterator[Flow]:
    """Yield an untracked flow in a sandbox, and clear the sandbox at the end (see `SideStore.clear`).

    Args:
        config: Configuration of the flow; MLflow is switched off for it.
        spark: The session.
        name: Folder name or prefix of the tables of the sandbox.
        as_of: Only plays before this moment count.
        progress: Called with one line before each step.
        planted: Table name → rows that every read of the table adds to its rows.
        instead: Table name → rows that every read of the table returns instead of its rows.
    """
    untracked = config.mlflow.model_copy(update={"enabled": False})
    store = SideStore(spark, config.store, name, planted, instead)
    try:
        yield Flow(
            config,
            spark,
            Tracker(untracked, None, name, name),
            as_of=as_of.isoformat(),
            progress=progress,
            sandbox=store,
        )
    finally:
        store.clear()


def last_moment(store: Store, until: str | None) -> datetime:
    """Return the end of the log: `until` if it is given, else the moment just after the last play.

    Raises:
        InputError: If the log has no plays, or its plays have no times.
    """
    version = store.version(t.PLAYS.name)
    if version is None:
        raise InputError(
            f"there are no plays under {store.where(t.PLAYS.name)}; import a log first: trackpools import --help"
        )
    if not is_timed(store):
        raise InputError(
            "the plays of this log have no times, so nothing can be held out by time; "
            "compare engines instead with `trackpools evaluate`, which splits such a log at random"
        )
    return parse_time(until, "--until") if until else resolve(store, version, None, None).as_of


def is_timed(store: Store) -> bool:
    """Return whether any play has a time."""
    return bool(
        store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where("played_at IS NOT NULL").limit(1).count()
    )


def days_before(moment: datetime, days: int) -> datetime:
    """Return the moment `days` days earlier, which divides the training data from the held-out data."""
    return moment - timedelta(days=days)
