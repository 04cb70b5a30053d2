"""The overlays that refreshes write, as tables in the store: where they are, how they begin and end."""

from collections.abc import Mapping
from typing import Any

from trackpools.core.channels import PROD
from trackpools.shell.releases import Release
from trackpools.shell.store import Store
from trackpools.table import Table
from trackpools.tables import INTERACTIONS, OVERLAYS, POOLS, TABLES, TRACK_CARDS

STAGE = "refresh"  # in the metadata of its commits


def there(store: Store) -> list[Table]:
    """Those that exist: none before a first refresh."""
    return [table for table in OVERLAYS.values() if store.exists(table.name)]


def are_hot(store: Store) -> bool:
    """Whether a refresh was the last to write any."""
    return any(store.commit(table.name).metadata.get("stage") == STAGE for table in there(store))


def empty(store: Store, made: Mapping[str, Any]) -> None:
    """Everything is in the base again: a full run made it."""
    for table in there(store):
        if store.commit(table.name).metadata.get("stage") == STAGE:
            store.overwrite(table, store.read(table.name).limit(0), made)


def start_from(store: Store, release: Release) -> bool:
    """Make what a release pins the latest, so that a refresh writes onto that: what a crashed one left, or what came after a rollback, goes.

    Returns:
        Whether the latest pools were a challenger's, that waited for `promote`, and are so no longer.
    """
    waited = False
    for table in (POOLS, *OVERLAYS.values(), TRACK_CARDS, INTERACTIONS):
        store.create(table)
        last = store.commit(table.name)
        if release.holds(table.name) and last.version != release.version(table.name):
            waited |= (
                table is POOLS
                and last.metadata.get("stage") != STAGE
                and last.metadata.get("channel") == PROD
            )
            store.restore(table.name, release.version(table.name))
        elif not release.holds(table.name) and last.version > 0:
            store.overwrite(table, store.read(table.name).limit(0), dict(last.metadata))
    return waited


def next_number(store: Store, release: Release) -> int:
    """Of the refresh that follows a release: 1 after a full run."""
    names = [
        table.name
        for table in (*(TABLES[name] for name in OVERLAYS), *OVERLAYS.values())
        if release.holds(table.name)
    ]
    return 1 + max(
        int(store.commit_at(name, release.version(name)).metadata.get("refresh", 0)) for name in names
    )
