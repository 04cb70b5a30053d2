"""Check whether a table in the store is still as a release published it, from its Delta log alone.

No data files are read.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from trackpools.errors import ContractError
from trackpools.shell.store import data_files
from trackpools.shell.store.commits import Stats
from trackpools.shell.store.store import Store

THREADS = 4  # number of tables that are checked at the same time; each check is a small job that mostly waits


def files(store: Store, name: str, version: int) -> str:
    """Return `data_files.identity` of the data files of a table at a version.

    The first call for a table version runs one small Spark job; later calls on the same store use a cache.
    The job lists the files from the log, which a reader of the table has to do anyway.

    Raises:
        InputError: If the version no longer exists.
    """
    key = name, version
    if key not in store.data_files:
        store.data_files[key] = data_files.identity(store.read(name, version).inputFiles())
    return store.data_files[key]


def files_of(store: Store, tables: Sequence[Stats]) -> dict[str, str]:
    """Return table name → identity of its data files, see `files`."""
    with ThreadPoolExecutor(THREADS) as threads:
        found = threads.map(lambda table: files(store, table.name, table.version), tables)
        return dict(zip((table.name for table in tables), found, strict=True))


def require_whole(store: Store, seq: int, table: Stats, pinned: str | None) -> None:
    """Refuse a table that is not as it was released.

    Delta itself does not notice that a commit of its log was emptied or replaced.

    Args:
        store: The store that holds the table.
        seq: Number of the release.
        table: Name, version and rows of the table as the release pins them.
        pinned: Identity of the data files at the time of the release (see `files`). It is None if an older
            version of trackpools, which did not pin files, published the release; then the rows are counted
            instead, which Delta also does from the log.

    Raises:
        ContractError: If the data files, or the number of rows, are not the released ones.
        InputError: If the version no longer exists.
    """
    if pinned is not None:
        data_files.require_same(
            table.name, table.version, seq, pinned, files(store, table.name, table.version)
        )
        return
    got = store.read(table.name, table.version).count()
    if got != table.rows:
        raise ContractError(
            f"table {table.name} at version {table.version} has {got} rows, but release {seq} published {table.rows}: the table is damaged. "
            f"{data_files.WAY_OUT}"
        )
