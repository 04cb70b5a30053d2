"""Find and clear the overlay tables that refreshes write, and restore what a release pins.

An overlay holds newer rows for some users of its base table; readers take the newest row of each user.
"""

from collections.abc import Mapping
from typing import Any

from trackpools.core.serving.channels import PROD
from trackpools.schema import Table
from trackpools.shell.releases.releases import Release
from trackpools.shell.store.store import Store
from trackpools.tables import INTERACTIONS, OVERLAYS, POOLS, TABLES, TRACK_CARDS

STAGE = "refresh"  # name of the stage in the metadata of the commits of a refresh


def existing_overlays(store: Store) -> list[Table]:
    """Return the overlay tables that exist; there are none before the first refresh."""
    return [table for table in OVERLAYS.values() if store.exists(table.name)]


def was_refreshed(store: Store) -> bool:
    """Return whether the last commit of any overlay was made by a refresh, and not by a full run."""
    return any(store.commit(table.name).metadata.get("stage") == STAGE for table in existing_overlays(store))


def clear(store: Store, made: Mapping[str, Any]) -> None:
    """Empty the overlays after a full run, which wrote all rows into the base tables.

    Args:
        store: The store that holds the overlays.
        made: Metadata of the commits.
    """
    for table in existing_overlays(store):
        if store.commit(table.name).metadata.get("stage") == STAGE:
            store.overwrite(table, store.read(table.name).limit(0), made)


def reset_to_release(store: Store, release: Release) -> bool:
    """Restore `pools`, the overlays, `track_cards` and `interactions` to the versions of a release.

    The next refresh then builds on this release, and not on rows that a crashed refresh left or that were
    written before a rollback to this release. Tables that the release does not pin are emptied; these are the
    overlays, if the release is from before the first refresh.

    Returns:
        True if the pools before the call were those of a challenger that waited for `promote`; they are then
        no longer the latest ones.

    Raises:
        InputError: If a pinned version no longer exists.
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
    """Return the number of the next refresh on top of a release: 1 if a full run built the release.

    Raises:
        InputError: If a pinned version no longer exists.
    """
    names = [
        table.name
        for table in (*(TABLES[name] for name in OVERLAYS), *OVERLAYS.values())
        if release.holds(table.name)
    ]
    return 1 + max(
        int(store.commit_at(name, release.version(name)).metadata.get("refresh", 0)) for name in names
    )
