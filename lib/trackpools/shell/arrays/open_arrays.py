"""Open the arrays of a release in the tasks of Spark."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pyspark.sql import SparkSession

from trackpools.config import Config, TopkConfig
from trackpools.core.proposals.release_arrays import OpenArrays, ReleaseArrays
from trackpools.core.proposals.release_layout import LAYOUTS, LaidOut, lay_out, release_arrays
from trackpools.shell.arrays.written_arrays import (
    arrays_folder,
    columns_of,
    folder_names,
    frames_of,
    mapped,
    write_arrays,
)
from trackpools.shell.spark.context import send_once
from trackpools.shell.store.commits import Stats
from trackpools.shell.store.store import Store

LaidOutTables = Mapping[str, LaidOut]  # name of a table of `LAYOUTS` → its arrays
_LAST: dict[str, ReleaseArrays] = {}  # at most one entry; see `OpenedOnce`


@dataclass(frozen=True)
class OpenedOnce:
    """Opens the arrays of a release; tasks get this small object instead of the arrays.

    A process keeps the arrays that it opened last, so that its next task need not prepare them again.

    Attributes:
        key: identifies the arrays.
        lay_out: returns the arrays of each table; it is called in a task.
    """

    key: str
    lay_out: Callable[[], LaidOutTables]

    def __call__(self, config: Config, as_of: datetime) -> ReleaseArrays:
        """Return the arrays, to make pools with a configuration and for a moment.

        Raises:
            ContractError: if a file is missing or damaged.
        """
        if self.key not in _LAST:
            _LAST.clear()
            _LAST[self.key] = release_arrays(self.lay_out(), config, as_of)
        return replace(_LAST[self.key], config=config, as_of=as_of)


def open_arrays(store: Store, tables: Iterable[Stats], topk: TopkConfig) -> OpenArrays:
    """Write the arrays of tables that are not written yet, and return what opens them in a task.

    If the root is no path of the file system, the arrays are built in memory and sent to the executors.

    Args:
        store: the store that holds the tables.
        tables: versions, rows and content hashes; they must include all tables of `LAYOUTS`.
        topk: the settings of the search.

    Raises:
        ConfigError: if an index is needed and faiss is not installed.
        InputError: if the disk is full or cannot be written.
    """
    pinned, folder = list(tables), arrays_folder(store.config.root)
    names = folder_names(pinned, topk)
    if folder is not None:
        return written(folder, write_arrays(store, pinned, topk))
    read = columns_of(frames_of(store, pinned))
    laid_out = {name: lay_out(name, read(name, LAYOUTS[name].columns), topk) for name in names}
    return sent(store.spark, laid_out, json.dumps(names))


def written(folder: Path, names: Mapping[str, str]) -> OpenArrays:
    """Return what maps written arrays into memory.

    Args:
        folder: the folder of `arrays_folder`.
        names: table → name of the folder of its arrays.
    """
    places = {table: folder / name for table, name in names.items()}
    return OpenedOnce(
        json.dumps([str(place) for place in places.values()]),
        lambda: {table: mapped(place) for table, place in places.items()},
    )


def sent(spark: SparkSession, laid_out: LaidOutTables, key: str) -> OpenArrays:
    """Send arrays to the executors, and return what opens them there.

    Args:
        spark: the session.
        laid_out: the arrays of all tables of `LAYOUTS`.
        key: identifies the arrays.
    """
    return OpenedOnce(key, send_once(spark, dict(laid_out)))
