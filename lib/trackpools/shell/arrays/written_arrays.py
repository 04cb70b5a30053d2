"""Write the arrays of a release below its root, map them into memory, and remove unused ones.

The arrays of each table lie in a folder of their own, `<root>/arrays/<table>-<hash>`. The hash is that of the
rows of the table, and of the settings of the index where there is one. So a release shares the folders of all
tables that it has in common with other releases. Only a root that is a path of the file system has such
folders. Everywhere else, the arrays are built in memory from the tables.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from trackpools.config import Config, TopkConfig
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.proposals.release_layout import (
    LAYOUT,
    LAYOUTS,
    LaidOut,
    is_indexed,
    lay_out,
    release_arrays,
)
from trackpools.errors import ContractError
from trackpools.shell.arrays.array_folder import damaged_files, is_complete, map_folder, write_folder
from trackpools.shell.store.commits import Stats
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.store.store import Store

LOG = logging.getLogger(__name__)
# (name of a table, columns) → an Arrow table with those of the columns that the stored table has
Read = Callable[[str, Sequence[str]], Any]


def arrays_folder(root: str | None) -> Path | None:
    """Return the folder of all arrays below a root; None if the root is an object store or a catalog."""
    folder = local_path(root)
    return None if folder is None else folder.absolute() / "arrays"


def folder_names(tables: Iterable[Stats], topk: TopkConfig) -> dict[str, str]:
    """Return table → name of the folder of its arrays, for those of the tables that are laid out.

    Args:
        tables: rows and content hashes of the tables of a release.
        topk: the settings of the search.
    """
    named = {}
    for table in tables:
        if table.name in LAYOUTS:
            index = [topk.index_stripe] if is_indexed(table.name, table.rows, topk) else []
            of = json.dumps([LAYOUT, table.name, table.rows, table.hash, *index])
            named[table.name] = f"{table.name}-{hashlib.sha256(of.encode()).hexdigest()[:24]}"
    return named


def columns_of(frames: Mapping[str, DataFrame]) -> Read:
    """Return a function that reads columns of these frames with Spark; table name → frame."""

    def read(name: str, wanted: Sequence[str]) -> Any:
        frame = frames[name]
        return frame.select(*(column for column in wanted if column in frame.columns)).toArrow()

    return read


def write_missing(folder: Path, names: Mapping[str, str], read: Read, topk: TopkConfig) -> None:
    """Write the arrays of the tables that have none yet, or whose files are damaged.

    The files of existing arrays are read once, to compare their hashes. A table is held in memory while its
    arrays are built.

    Args:
        folder: the folder of `arrays_folder`.
        names: the result of `folder_names`.
        read: a function that reads columns of a table of the release.
        topk: the settings of the search.

    Raises:
        ConfigError: if an index is needed and faiss is not installed.
        InputError: if the disk is full or cannot be written.
    """
    for table, name in names.items():
        place = folder / name
        if is_complete(place):
            found = _damage(place)
            if not found:
                continue
            LOG.warning("the arrays in %s are damaged and are built again: %s", place, "; ".join(found))
            shutil.rmtree(place)
        laid_out = lay_out(table, read(table, LAYOUTS[table].columns), topk)
        write_folder(place, laid_out.arrays, laid_out.labels)


def write_arrays(store: Store, tables: Iterable[Stats], topk: TopkConfig) -> dict[str, str]:
    """Write the arrays of the tables of a release that are not written yet.

    Args:
        store: the store that holds the tables.
        tables: versions, rows and content hashes of the tables of the release.
        topk: the settings of the search.

    Returns:
        Table name → folder of its arrays; empty if the root is no path of the file system.
    """
    folder, pinned = arrays_folder(store.config.root), list(tables)
    if folder is None:
        return {}
    names = folder_names(pinned, topk)
    write_missing(folder, names, columns_of(frames_of(store, pinned)), topk)
    return names


def frames_of(store: Store, tables: Iterable[Stats]) -> dict[str, DataFrame]:
    """Return name → frame, for those of the tables that are laid out."""
    return {one.name: store.read(one.name, one.version) for one in tables if one.name in LAYOUTS}


def mapped(place: Path) -> LaidOut:
    """Map the arrays of a table into memory; `place` is their folder.

    Raises:
        ContractError: if a file is missing or damaged.
    """
    return LaidOut(*map_folder(place))


def _damage(place: Path) -> list[str]:
    try:
        return damaged_files(place)
    except ContractError as error:
        return [error.message]


def arrays(
    read: Read,
    config: Config,
    as_of: datetime,
    folder: Path | None = None,
    names: Mapping[str, str] | None = None,
) -> ReleaseArrays:
    """Map the arrays of a release where they are written; build the others in memory from the tables.

    Building takes some seconds and some gigabytes of memory for each million recordings.

    Args:
        read: a function that reads columns of a table of the release.
        config: the merged configuration.
        as_of: the moment that pools are computed for.
        folder: the folder of `arrays_folder`, or None.
        names: table → name of its folder, as the release pins it; None if it pins none.
    """

    def laid_out(table: str) -> LaidOut:
        if folder is not None and names and table in names and is_complete(folder / names[table]):
            return mapped(folder / names[table])
        return lay_out(table, read(table, LAYOUTS[table].columns), config.topk)

    return release_arrays({table: laid_out(table) for table in LAYOUTS}, config, as_of)


def remove_unused(folder: Path, needed: Iterable[str], floor_hours: int) -> list[str]:
    """Delete the folders of arrays that no kept release needs, and return their names.

    Args:
        folder: the folder of `arrays_folder`; nothing happens if it does not exist.
        needed: names of folders to keep.
        floor_hours: folders younger than this are kept in any case, because a run may be about to pin them.
    """
    if not folder.is_dir():
        return []
    keep, oldest = set(needed), time.time() - 3600 * floor_hours
    gone = sorted(
        place.name
        for place in folder.iterdir()
        if place.is_dir() and place.name not in keep and place.stat().st_mtime < oldest
    )
    for name in gone:
        shutil.rmtree(folder / name)
    return gone
