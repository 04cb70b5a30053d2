"""Plan a refresh: what it reads, and which users it concerns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.catalogue import features, track_cards
from trackpools.core.proposals.release_arrays import OpenArrays
from trackpools.core.proposals.release_layout import LAYOUTS
from trackpools.core.serving.refresh_scope import (
    new_users,
    rota_buckets,
    users_with_due_pools,
    users_with_new_profile,
    users_with_recordings,
)
from trackpools.errors import ModelError
from trackpools.schema import Table
from trackpools.shell.arrays.open_arrays import open_arrays
from trackpools.shell.identity import work_identity
from trackpools.shell.pipeline import stage_writer
from trackpools.shell.pipeline.runner import PINNED, Flow
from trackpools.shell.releases import overlays
from trackpools.shell.releases.releases import Release, read_pinned

LATEST_TABLES = (
    t.USER_IDS,
    t.RECORDING_IDS,
    t.TRACKS,
    t.USERS,
    t.PLAYS_DAILY,
    t.INTERACTIONS,
)  # a refresh reads these at their latest version, and all other tables as the release pins them
UNPINNED = {
    t.PLAYS_DAILY.name,
    t.POOLS.name,
    *(table.name for table in t.OVERLAYS.values()),
}  # tables that are not listed as inputs of the pools: pools do not read them, or are written with them


@dataclass
class Refresh:
    """One refresh of a release: what it reads and what it found.

    Attributes:
        flow: The flow that runs the refresh.
        base: The release in force, which is refreshed.
        number: Number of the refresh since the last full run, from 1.
        run_key: Identity of the work.
        folded: Version of `interactions` before new plays and signals were merged.
        versions: Table name → version that the refresh reads.
        reasons: Reason for a rebuild → number of users.
        measured: Metric → value.
    """

    flow: Flow
    base: Release
    number: int
    run_key: str
    folded: int
    versions: dict[str, int]
    reasons: dict[str, int] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def turn(self) -> list[int]:
        """The buckets of `pools` that this refresh rewrites; new pools in other buckets go into the overlay."""
        return rota_buckets(self.number, self.flow.config.pools.buckets, self.flow.config.refresh.rota)

    def has_changed(self, table: Table) -> bool:
        """Return whether the refresh reads another version of the table than the release pins."""
        return not self.base.holds(table.name) or self.base.version(table.name) != self.versions[table.name]

    @property
    def commit_metadata(self) -> dict[str, Any]:
        """The metadata of every commit of this refresh."""
        read = {name: version for name, version in self.versions.items() if name not in UNPINNED}
        return stage_writer.work(overlays.STAGE, self.run_key, read, self.flow.config, self.flow.moment) | {
            "refresh": self.number
        }


def require_same_recipe(flow: Flow, base: Release) -> None:
    """Refuse settings that differ from those of the release.

    Otherwise the release would hold pools of two blends, because a refresh leaves most pools as they are.

    Raises:
        ModelError: If settings of the model or the blend differ; the message says what to do.
    """
    if flow.recipe(base) != work_identity.sections_hash(flow.config, stage_writer.RECIPE):
        named = ", ".join(stage_writer.RECIPE)
        raise ModelError(
            f"release {base.seq} was built with other settings ({named}), and a refresh must not mix them; "
            "run `trackpools run`, or restore the settings of that release"
        )


def begin(flow: Flow, base: Release, run_key: str) -> Refresh:
    """Start a refresh: reset tables to the versions that the release pins, and number the refresh.

    Call this before the stages that merge new plays and signals.
    """
    if overlays.reset_to_release(flow.store, base):
        flow.notes.warnings.append(
            "the pools that waited for `promote` are no longer the latest ones; run `trackpools pools` before you promote"
        )
    pinned = {table.name: table.version for table in base.tables}
    # a release of an older version of trackpools does not pin all of these tables
    versions = (
        flow.pin_versions([table for table in PINNED if table.name not in pinned])
        | pinned
        | flow.pin_versions((t.TRACK_CARDS,))
    )
    folded = flow.store.commit(t.INTERACTIONS.name).version
    return Refresh(flow, base, overlays.next_number(flow.store, base), run_key, folded, versions)


def update_cards(r: Refresh, keep: Callable[[DataFrame], DataFrame]) -> DataFrame | None:
    """Update the rows of `track_cards`: the track to play of each recording, by market.

    Returns:
        A frame with the column `recording_idx`, distinct: the recordings that were taken down, or whose track
        to play was removed or replaced in some market. None if there are none.
    """
    store, moment = r.flow.store, r.flow.moment
    tracks = store.read(t.TRACKS.name, r.versions[t.TRACKS.name])
    if (
        not r.has_changed(t.TRACKS)
        and features.tracks_with_changed_rights(tracks, r.base.as_of.date(), moment.as_of.date()).isEmpty()
    ):
        return None  # comparing recordings × markets is expensive, so it is skipped if nothing can differ
    pinned = store.read(t.TRACK_CARDS.name, r.versions[t.TRACK_CARDS.name])
    other = keep(
        track_cards.changed_cards(
            pinned, tracks, as_of=moment.as_of, groups=r.flow.config.cards.market_groups
        )
    )
    told = other.agg(F.count(F.lit(1)).alias("all"), F.count_if("worse").alias("worse")).first()
    if told is not None and told["all"]:
        store.upsert(t.TRACK_CARDS, other.drop("worse"), r.commit_metadata)
        r.versions |= r.flow.pin_versions((t.TRACK_CARDS,))
    return (
        other.where("worse").select("recording_idx").distinct()
        if told is not None and told["worse"]
        else None
    )


def open_release(r: Refresh) -> OpenArrays:
    """Write the arrays of recordings where they are missing, and return what opens them in a task."""
    pinned = [table for table in r.base.tables if not r.has_changed(t.TABLES[table.name])]
    known = {table.name for table in pinned}
    changed = {name: r.versions[name] for name in LAYOUTS if name not in known}
    return open_arrays(r.flow.store, [*pinned, *r.flow.stats(changed)], r.flow.config.topk)


def frames_of_concerned(
    r: Refresh, read: Mapping[str, DataFrame], worse: DataFrame | None
) -> dict[str, DataFrame]:
    """Find the users whose pool must change, one frame for each reason; see `refresh_scope`.

    Args:
        r: The refresh.
        read: Table name → frame.
        worse: The recordings that `update_cards` returns.

    Returns:
        Reason → frame as `refresh_scope.users_to_refresh` takes it.
    """
    store, base, name = r.flow.store, r.base, t.INTERACTIONS.name
    feed = store.changes(name, r.folded, r.versions[name])
    pools, ids = read_pinned(store, base, t.POOLS.name), read["user_ids"]
    found = {
        "changed": ids if feed is None else feed,
        "new": new_users(ids, base.rows(t.USER_IDS.name)),
        "expired": users_with_due_pools(pools, r.flow.moment.as_of),
    }
    if r.has_changed(t.USERS):
        found["profile"] = users_with_new_profile(
            store.read(t.USERS.name, base.version(t.USERS.name)), read["users"], ids
        )
    if worse is not None:
        found["withdrawn"] = users_with_recordings(pools, worse)
    return found
