"""Publish, read, roll back and clean up releases.

A release is one row that pins a version of every table. Readers follow the latest row of their channel and
open every table at the pinned version.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.contracts.newest_row import newest
from trackpools.core.serving.channels import CANARY, CHANNELS, PROD
from trackpools.errors import BusyError, ConfigError, ContractError, InputError
from trackpools.shell.arrays.written_arrays import arrays_folder, remove_unused
from trackpools.shell.releases import integrity
from trackpools.shell.spark.driver_rows import frame_of
from trackpools.shell.store import data_files
from trackpools.shell.store.commits import Stats
from trackpools.shell.store.store import Store
from trackpools.tables import OVERLAYS, RELEASES, TABLES


@dataclass(frozen=True)
class Release:
    """One row of the table `releases`.

    Attributes:
        seq: Number of the release, counted from 1 over all channels.
        release_id: Name of the release, see `new_release_id`.
        run_key: Identity of the work that built the tables.
        tables: Name, version, rows and hash of each pinned table.
        model_version: Version of the model that the factors belong to.
        mlflow_run_id: The MLflow run; None if the run was not tracked.
        dictionary: The codes that pools use for sources and reasons, for decoding.
        as_of: Only plays before this moment counted.
        created_at: When the row was written.
        valid_until: After this moment the release is stale.
        channel: Readers follow `prod`, except for users in a share of the buckets, who get a `canary`. The
            channels `shadow` and `backfill` are read only by readers that name them.
        share: Share of the buckets that follow a canary; None on other channels.
        files: Table name → `data_files.identity` of its files. It is set by `publish`, and None in a row that
            an older version of trackpools wrote.
        arrays: Table name → folder of its arrays (see `shell.arrays`). None in a row that an older version of
            trackpools wrote; empty if the root is no path of the file system.
    """

    seq: int
    release_id: str
    run_key: str
    tables: tuple[Stats, ...]
    model_version: str
    mlflow_run_id: str | None
    dictionary: Mapping[str, str]
    as_of: datetime
    created_at: datetime
    valid_until: datetime
    channel: str = PROD
    share: float | None = None
    files: Mapping[str, str] | None = None
    arrays: Mapping[str, str] | None = None

    def table(self, name: str) -> Stats:
        """Return name, version, rows and hash of a pinned table.

        Raises:
            InputError: If the release does not pin the table.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise InputError(
            f"release {self.release_id} has no table {name}; its tables are {', '.join(t.name for t in self.tables)}"
        )

    def version(self, name: str) -> int:
        """Return the pinned version of a table.

        Raises:
            InputError: If the release does not pin the table.
        """
        return self.table(name).version

    def rows(self, name: str) -> int:
        """Return the number of rows of a pinned table; 0 if the release does not pin the table."""
        return next((table.rows for table in self.tables if table.name == name), 0)

    def holds(self, name: str) -> bool:
        """Return whether the release pins the table."""
        return any(table.name == name for table in self.tables)


def releases(store: Store) -> list[Release]:
    """Return every release, latest first; empty if nothing was published."""
    if not store.exists(RELEASES.name):
        return []
    rows = store.read(RELEASES.name).orderBy(F.desc("seq")).collect()
    return [_release(row.asDict(recursive=True)) for row in rows]


def _release(row: dict[str, Any]) -> Release:
    # Spark returns naive local times
    told = {name: row[name].astimezone(UTC) for name in ("as_of", "created_at", "valid_until")} | {
        "channel": row.get("channel") or PROD
    }
    return Release(**(row | told | {"tables": tuple(Stats(**table) for table in row["tables"])}))


def last_of(known: Sequence[Release], channel: str = PROD) -> Release | None:
    """Return the latest release of a channel, or None.

    Args:
        known: Releases, latest first.
        channel: Name of the channel.
    """
    return next((one for one in known if one.channel == channel), None)


def latest(store: Store) -> Release:
    """Return the release in force: the latest one of the channel `prod`.

    Raises:
        InputError: If nothing has been published.
    """
    found = last_of(releases(store))
    if found is None:
        raise InputError(
            f"nothing is published under {store.where(RELEASES.name)}; run `trackpools run` first"
        )
    return found


def canary(store: Store) -> Release | None:
    """Return the canary that some readers follow now, or None.

    A canary that has expired, or whose share is 0, is not followed.
    """
    found = last_of(releases(store), CANARY)
    return found if found is not None and found.share and found.valid_until > datetime.now(UTC) else None


def before(store: Store, release: Release) -> list[Release]:
    """Return the earlier releases of the same channel, latest first."""
    return [one for one in releases(store) if one.channel == release.channel and one.seq < release.seq]


def read_pinned(store: Store, release: Release, name: str) -> DataFrame:
    """Read a table at the version that the release pins.

    If the release pins an overlay of the table, the result has the newest row of each user.

    Raises:
        ContractError: If the table is not as it was released, see `require_whole`.
        InputError: If the release does not pin the table, or the version no longer exists.
    """
    require_whole(store, release, name)
    frame, overlay = store.read(name, release.version(name)), OVERLAYS.get(name)
    if overlay is None or not release.holds(overlay.name):
        return frame
    require_whole(store, release, overlay.name)
    if not release.rows(overlay.name):
        return frame
    return newest(frame, store.read(overlay.name, release.version(overlay.name)), TABLES[name].key[0])


def require_whole(store: Store, release: Release, name: str) -> None:
    """Refuse a table that is not as it was released.

    For the errors and the cost, see `integrity.require_whole`.
    """
    integrity.require_whole(store, release.seq, release.table(name), (release.files or {}).get(name))


def damage(store: Store, release: Release, names: Sequence[str] = ()) -> list[str]:
    """Return one sentence for each table of a release that is missing or not as it was released.

    Args:
        store: The store that holds the tables.
        release: The release to check.
        names: The tables to check; empty checks every pinned table.
    """

    def look(table: Stats) -> str | None:
        try:
            require_whole(store, release, table.name)
        except (ContractError, InputError) as error:
            return error.message
        return None

    tables = [release.table(name) for name in names] or release.tables
    with ThreadPoolExecutor(integrity.THREADS) as threads:
        return [found for found in threads.map(look, tables) if found is not None]


def require_undamaged(store: Store, release: Release) -> None:
    """Refuse to build on a damaged release.

    Raises:
        ContractError: If a table is not as it was released; the error names every such table.
    """
    if found := damage(store, release):
        raise ContractError(
            f"release {release.seq} ({release.release_id}) is damaged, so nothing can be built from it; repair or rebuild these tables",
            found,
        )


def _pinned_files(store: Store, release: Release) -> dict[str, str]:
    """Return table name → identity of the data files, for a release that is about to be published.

    Raises:
        ContractError: If an earlier release pins the same version of a table with other files. The Delta log
            of that table was then changed after the earlier release.
    """
    files = integrity.files_of(store, release.tables)
    for earlier in releases(store):
        for table in earlier.tables:
            pinned = (earlier.files or {}).get(table.name)
            if (
                pinned is not None
                and release.holds(table.name)
                and release.version(table.name) == table.version
            ):
                data_files.require_same(table.name, table.version, earlier.seq, pinned, files[table.name])
    return files


def publish(store: Store, release: Release, run_key: str) -> Release:
    """Insert the row of a release, unless another run published the same `seq` first (compare and swap).

    Args:
        store: The store that holds the releases.
        release: The release; its `seq` must be that of the latest release plus 1.
        run_key: Identity of the work, for the metadata of the commit.

    Returns:
        The release as it is published, with the data files of its tables.

    Raises:
        BusyError: If another run published this `seq` first; the release of that run stays.
        ContractError: If a table that an earlier release pins at the same version has other data files now;
            nothing is published.
    """
    store.create(RELEASES)
    release = replace(release, files=_pinned_files(store, release), arrays=dict(release.arrays or {}))
    row = asdict(release) | {
        "tables": [asdict(table) for table in release.tables],
        "dictionary": dict(release.dictionary),
        "files": dict(release.files or {}),
        "arrays": release.arrays,
    }
    store.insert(
        RELEASES, frame_of(store.spark, [row], RELEASES.schema), {"run_key": run_key, "stage": "publish"}
    )
    won = store.read(RELEASES.name).where(F.col("seq") == release.seq).select("release_id").first()
    if won is None or won["release_id"] != release.release_id:
        other = "unknown" if won is None else won["release_id"]
        raise BusyError(
            f"another run published release {release.seq} ({other}) while this one ran; check `trackpools releases`, then run again"
        )
    return release


def new_release_id(created_at: datetime, run_key: str) -> str:
    """Build a release id from the time, the start of the run key, and a random suffix.

    Ids sort by time, identify the work, and differ between two publishers of the same work.
    """
    return f"{created_at:%Y%m%dT%H%M%SZ}-{run_key[:8]}-{uuid4().hex[:6]}"


def rollback(store: Store, seq: int, created_at: datetime) -> Release:
    """Publish the tables of an older release again, as a new row.

    Args:
        store: The store that holds the releases.
        seq: Number of the older release.
        created_at: The time of the new row.

    Raises:
        ConfigError: If there is no such release.
        ContractError: If a table is not as it was released.
        InputError: If a pinned version no longer exists.
    """
    known: Sequence[Release] = releases(store)
    old = next((release for release in known if release.seq == seq), None)
    if old is None:
        raise ConfigError(
            f"there is no release with seq {seq}; the releases are: {', '.join(str(r.seq) for r in known) or 'none'}"
        )
    for table in old.tables:
        require_whole(store, old, table.name)
    return again(store, old, created_at)


def again(store: Store, old: Release, created_at: datetime, **otherwise: Any) -> Release:
    """Publish the tables of a release as a new row with the same lifetime.

    Args:
        store: The store that holds the releases.
        old: The release whose tables are published.
        created_at: The time of the new row.
        otherwise: New values of further fields of the row, by name.
    """
    life = old.valid_until - old.created_at
    seq, release_id = releases(store)[0].seq + 1, new_release_id(created_at, old.run_key)
    return publish(
        store,
        replace(
            old,
            seq=seq,
            release_id=release_id,
            created_at=created_at,
            valid_until=created_at + life,
            **otherwise,
        ),
        old.run_key,
    )


def vacuum(store: Store, keep: int, now: datetime, floor_hours: int = 168) -> dict[str, int]:
    """Delete data files and arrays that no kept release needs.

    A file that a pinned version reads was removed from the table, if at all, after the commit of that
    version. So files that were removed before the oldest pinned commit can be deleted. Files that
    were removed less than `floor_hours` ago are kept, because open readers and running jobs may need them.

    Args:
        store: The store that holds the tables.
        keep: Number of releases of each channel, latest first, that must stay readable. A rollback to an
            older release is no longer possible.
        now: The present time.
        floor_hours: Hours of history that are kept in any case.

    Returns:
        Table name → hours of history that were kept; only tables that a kept release pins.
    """
    known = releases(store)
    # releases are counted by channel, so that many backfills do not displace the release in force
    kept = [one for channel in CHANNELS for one in [each for each in known if each.channel == channel][:keep]]
    hours = {}
    for name in sorted({table.name for release in kept for table in release.tables}):
        oldest = min(release.version(name) for release in kept if release.holds(name))
        age = (now - datetime.fromtimestamp(store.commit_at(name, oldest).at, UTC)).total_seconds() / 3600
        # Delta rounds to whole hours, so round up; half an hour less would delete files that are needed
        hours[name] = math.ceil(max(floor_hours, age + 1 / 60))
        store.vacuum(name, hours[name])
    if folder := arrays_folder(store.config.root):
        pinned = {name for release in kept for name in (release.arrays or {}).values()}
        remove_unused(folder, pinned, floor_hours)
    return hours
