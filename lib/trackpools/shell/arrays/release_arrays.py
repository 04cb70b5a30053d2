"""Write the arrays of a release below its root, and map them into memory.

The arrays of each table lie in a folder of their own, `<root>/arrays/<table>-<hash>`. The hash is that of the
rows of the table, so a release shares the folders of all tables that it has in common with other releases.
Only a root that is a path of the file system has such folders. Everywhere else, the arrays are built in
memory from the tables.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.core.pools.online import ReleaseArrays
from trackpools.core.serving.release_layout import LAYOUT, LAYOUTS, LaidOut, release_arrays
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


def folder_names(tables: Iterable[Stats]) -> dict[str, str]:
    """Return table → name of the folder of its arrays, for those of the tables that are laid out.

    Args:
        tables: rows and content hashes of the tables of a release.
    """
    named = {}
    for table in tables:
        if table.name in LAYOUTS:
            of = json.dumps([LAYOUT, table.name, table.rows, table.hash])
            named[table.name] = f"{table.name}-{hashlib.sha256(of.encode()).hexdigest()[:24]}"
    return named


def columns_of(frames: Mapping[str, DataFrame]) -> Read:
    """Return a function that reads columns of these frames with Spark; table name → frame."""

    def read(name: str, wanted: Sequence[str]) -> Any:
        frame = frames[name]
        return frame.select(*(column for column in wanted if column in frame.columns)).toArrow()

    return read


def write_missing(folder: Path, names: Mapping[str, str], read: Read) -> None:
    """Write the arrays of the tables that have none yet, or whose files are damaged.

    The files of existing arrays are read once, to compare their hashes. A table is held in memory while its
    arrays are built.

    Args:
        folder: the folder of `arrays_folder`.
        names: the result of `folder_names`.
        read: a function that reads columns of a table of the release.

    Raises:
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
        made = LAYOUTS[table].lay_out(read(table, LAYOUTS[table].columns))
        write_folder(place, made.arrays, made.labels)


def write_arrays(store: Store, tables: Iterable[Stats]) -> dict[str, str]:
    """Write the arrays of the tables of a release that are not written yet.

    Args:
        store: the store that holds the tables.
        tables: versions, rows and content hashes of the tables of the release.

    Returns:
        Table name → folder of its arrays; empty if the root is no path of the file system.
    """
    folder, pinned = arrays_folder(store.config.root), list(tables)
    if folder is None:
        return {}
    names = folder_names(pinned)
    frames = {one.name: store.read(one.name, one.version) for one in pinned if one.name in names}
    write_missing(folder, names, columns_of(frames))
    return names


def _damage(place: Path) -> list[str]:
    try:
        return damaged_files(place)
    except ContractError as error:
        return [error.message]


@dataclass(frozen=True)
class WrittenArrays:
    """The arrays that `write_missing` wrote; calling it maps them into memory.

    Tasks get this small object instead of the arrays. A process keeps the arrays that it mapped last, so that
    its next task does not sort the recordings again.

    Attributes:
        folder: the folder of `arrays_folder`.
        names: the result of `folder_names`.
        config: the merged configuration.
        as_of: the moment that pools are computed for.
    """

    folder: Path
    names: Mapping[str, str]
    config: Config
    as_of: datetime

    def __call__(self) -> ReleaseArrays:
        """Return the arrays.

        Raises:
            ContractError: if a file is missing or damaged.
        """
        key = json.dumps([str(self.folder), dict(self.names), self.config.model_dump_json(), str(self.as_of)])
        if key not in _LAST:
            _LAST.clear()
            laid_out = {table: _mapped(self.folder / name) for table, name in self.names.items()}
            _LAST[key] = release_arrays(laid_out, self.config, self.as_of)
        return _LAST[key]


_LAST: dict[str, ReleaseArrays] = {}  # at most one entry; see `WrittenArrays`


def _mapped(place: Path) -> LaidOut:
    return LaidOut(*map_folder(place))


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
            return _mapped(folder / names[table])
        return LAYOUTS[table].lay_out(read(table, LAYOUTS[table].columns))

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
