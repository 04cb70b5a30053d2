"""Releases: the one row that makes tables visible. Readers follow it and open every table at its pinned version."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.channels import CANARY, CHANNELS, PROD
from trackpools.core.overlay import newest
from trackpools.errors import BusyError, ConfigError, ContractError, InputError
from trackpools.shell.commits import Stats
from trackpools.shell.rows import frame_of
from trackpools.shell.store import Store
from trackpools.tables import OVERLAYS, RELEASES, TABLES


@dataclass(frozen=True)
class Release:
    """One row of `releases`.

    Attributes:
        channel: readers follow `prod`; a canary is followed in its share of the buckets; shadow and backfill are read by who names them.
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

    def version(self, name: str) -> int:
        """Pinned version of a table.

        Raises:
            InputError: where the release does not hold it.
        """
        for table in self.tables:
            if table.name == name:
                return table.version
        raise InputError(
            f"release {self.release_id} has no table {name}; it has {', '.join(t.name for t in self.tables)}"
        )

    def rows(self, name: str) -> int:
        """How many rows of a table it pins; 0 where it does not hold the table."""
        return next((table.rows for table in self.tables if table.name == name), 0)

    def holds(self, name: str) -> bool:
        """Whether it pins the table."""
        return any(table.name == name for table in self.tables)


def releases(store: Store) -> list[Release]:
    """Every release, latest first."""
    if not store.exists(RELEASES.name):
        return []
    rows = store.read(RELEASES.name).orderBy(F.desc("seq")).collect()
    return [_release(row.asDict(recursive=True)) for row in rows]


def _release(row: dict[str, Any]) -> Release:
    # rows come back with naive local times
    told = {name: row[name].astimezone(UTC) for name in ("as_of", "created_at", "valid_until")} | {
        "channel": row.get("channel") or PROD
    }
    return Release(**(row | told | {"tables": tuple(Stats(**table) for table in row["tables"])}))


def last_of(known: Sequence[Release], channel: str = PROD) -> Release | None:
    """Of releases, latest first, the last of a channel."""
    return next((one for one in known if one.channel == channel), None)


def latest(store: Store) -> Release:
    """The release in force.

    Raises:
        InputError: where nothing has been published.
    """
    found = last_of(releases(store))
    if found is None:
        raise InputError(
            f"nothing is published under {store.where(RELEASES.name)}; run `trackpools run` first"
        )
    return found


def canary(store: Store) -> Release | None:
    """The canary that some readers follow now, if there is one."""
    found = last_of(releases(store), CANARY)
    return found if found is not None and found.share and found.valid_until > datetime.now(UTC) else None


def before(store: Store, release: Release) -> list[Release]:
    """Releases of the same channel before it, latest first."""
    return [one for one in releases(store) if one.channel == release.channel and one.seq < release.seq]


def released(store: Store, release: Release, name: str) -> DataFrame:
    """A table as the release pins it, never latest; where listeners were refreshed, with the newest row of each.

    Raises:
        ContractError: where the row count is not the released one: the Delta log lost a commit, which Delta cannot see.
    """
    require_whole(store, release, name)
    if name in OVERLAYS and release.holds(OVERLAYS[name].name):
        require_whole(store, release, OVERLAYS[name].name)
    return view(store, release, name)


def view(store: Store, release: Release, name: str) -> DataFrame:
    """As `released`, without counting."""
    frame, overlay = store.read(name, release.version(name)), OVERLAYS.get(name)
    if overlay is None or not release.rows(overlay.name):
        return frame
    return newest(frame, store.read(overlay.name, release.version(overlay.name)), TABLES[name].key[0])


def require_whole(store: Store, release: Release, name: str) -> None:
    """Refuse a table that has not the rows that were released."""
    version, want = release.version(name), release.rows(name)
    got = store.read(name, version).count()
    if got != want:
        raise ContractError(
            f"table {name} at version {version} has {got} rows, release {release.release_id} has {want}: the table is damaged; roll back"
        )


def publish(store: Store, release: Release, run_key: str) -> Release:
    """Compare and swap: insert the release at seq = previous + 1 unless somebody else was faster.

    Raises:
        BusyError: another run published this seq first; its release stands.
    """
    store.create(RELEASES)
    row = asdict(release) | {
        "tables": [asdict(table) for table in release.tables],
        "dictionary": dict(release.dictionary),
    }
    store.insert(
        RELEASES, frame_of(store.spark, [row], RELEASES.schema), {"run_key": run_key, "stage": "publish"}
    )
    won = store.read(RELEASES.name).where(F.col("seq") == release.seq).select("release_id").first()
    if won is None or won["release_id"] != release.release_id:
        other = "nobody" if won is None else won["release_id"]
        raise BusyError(
            f"release {release.seq} was published by another run ({other}) while this one ran; look at `trackpools releases` and run again"
        )
    return release


def new_release_id(created_at: datetime, run_key: str) -> str:
    """Sortable by time, telling the work, and unique between two publishers of equal work."""
    return f"{created_at:%Y%m%dT%H%M%SZ}-{run_key[:8]}-{uuid4().hex[:6]}"


def rollback(store: Store, seq: int, created_at: datetime) -> Release:
    """Publish the tables of an older release again, as a new row.

    Raises:
        ConfigError: where there is no such release.
        InputError: where a pinned version is gone.
    """
    known: Sequence[Release] = releases(store)
    old = next((release for release in known if release.seq == seq), None)
    if old is None:
        raise ConfigError(
            f"no release has seq {seq}; known: {', '.join(str(r.seq) for r in known) or 'none'}"
        )
    for table in old.tables:
        require_whole(store, old, table.name)
    return again(store, old, created_at)


def again(store: Store, old: Release, created_at: datetime, **otherwise: Any) -> Release:
    """Publish the tables of a release as a new row, that lives as long as the old one.

    Args:
        otherwise: fields of the row that are not as in the old one.
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
    """Delete files that no kept release can need; returns the hours of history kept for each table.

    A file that a pinned version reads was removed, if at all, after that version's commit; so what was removed before the
    oldest pinned commit may go, and nothing younger than `floor_hours` (open readers, running jobs).

    Args:
        keep: how many releases of each channel, latest first, must stay readable; older ones can no longer be rolled back to.
    """
    known = releases(store)
    # of each channel: many backfills must not push the release in force out
    kept = [one for channel in CHANNELS for one in [each for each in known if each.channel == channel][:keep]]
    hours = {}
    for name in sorted({table.name for release in kept for table in release.tables}):
        oldest = min(release.version(name) for release in kept if release.holds(name))
        age = (now - datetime.fromtimestamp(store.commit_at(name, oldest).at, UTC)).total_seconds() / 3600
        # Delta rounds to whole hours, and up to half an hour less would delete what the release needs
        hours[name] = math.ceil(max(floor_hours, age + 1 / 60))
        store.vacuum(name, hours[name])
    return hours
