"""A store beside a store: the log and the catalogue are read where they are, and all that a flow makes of them is kept apart.

So the past can be played again, up to any day and under any settings, without touching what readers follow.
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
from trackpools.shell.delta_place import Span
from trackpools.shell.flow import Flow
from trackpools.shell.lock import local_path
from trackpools.shell.moment import parse_time, resolve
from trackpools.shell.store import Store
from trackpools.shell.tracking import Tracker
from trackpools.table import Table

GIVEN = (t.PLAYS, t.SIGNALS, t.TRACKS, t.USERS, t.VECTORS, t.TRUTH)


class SideStore(Store):
    """The tables of an import are the other's and only read; the rest lies in a folder of its root, or by a prefix in its schema."""

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
        there = super().where(name)
        if name in {table.name for table in GIVEN}:
            return there
        if self.config.catalog is not None:
            return f"{self.config.catalog}.{self.config.schema_}.{self.name}__{name}"
        return f"{str(self.config.root).rstrip('/')}/{self.name}/tables/{name}"

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """As `Store.read`, with what is planted in it, or what is to be read instead; such rows are nowhere but in memory."""
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
        within: Span | None = None,
    ) -> int:
        self._only_ours(table)
        return super()._merge(table, df, metadata, update=update, delete=delete, within=within)

    def _only_ours(self, table: Table) -> None:
        if table in GIVEN:
            raise ValueError(f"{table.name} belongs to the store itself")

    def clear(self) -> None:
        """Delete what was made; on a local root only: elsewhere the next one overwrites it."""
        folder = local_path(self.config.root)
        if folder is not None:
            shutil.rmtree(folder / self.name, ignore_errors=True)


@contextlib.contextmanager
def replay(
    config: Config,
    spark: SparkSession,
    name: str,
    as_of: datetime,
    tell: Callable[[str], None],
    *,
    planted: Mapping[str, DataFrame] | None = None,
    instead: Mapping[str, DataFrame] | None = None,
) -> Iterator[Flow]:
    """A flow beside the store, as of a moment; what it made is deleted when it ends.

    Args:
        planted: table → rows that are read with its own.
        instead: table → rows that are read and not its own.
    """
    untracked = config.mlflow.model_copy(update={"enabled": False})
    store = SideStore(spark, config.store, name, planted, instead)
    try:
        yield Flow(
            config,
            spark,
            Tracker(untracked, None, name, name),
            as_of=as_of.isoformat(),
            progress=tell,
            beside=store,
        )
    finally:
        store.clear()


def last_moment(store: Store, until: str | None) -> datetime:
    """Until when the log is looked at: `--until`, or just after the last play.

    Raises:
        InputError: for a log without plays or without times.
    """
    version = store.version(t.PLAYS.name)
    if version is None:
        raise InputError(
            f"no plays under {store.where(t.PLAYS.name)}; import a log first: trackpools import --help"
        )
    if not is_timed(store):
        raise InputError(
            "the plays of this log have no times, so nothing can be held out by time; compare on pairs: trackpools evaluate --train … --test …"
        )
    return parse_time(until, "--until") if until else resolve(store, version, None, None).as_of


def is_timed(store: Store) -> bool:
    """Whether any play has a time."""
    return bool(
        store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where("played_at IS NOT NULL").limit(1).count()
    )


def days_before(moment: datetime, days: int) -> datetime:
    """So many days before; the cut between what may be known and what is asked."""
    return moment - timedelta(days=days)
