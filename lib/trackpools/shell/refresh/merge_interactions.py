"""Bring `interactions` up to date by writing only rows that differ.

The change feed of the table then contains exactly the users whose history changed.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.log.interactions import is_known_by
from trackpools.core.log.track_changes import users_with_other_history
from trackpools.shell.identity import work_identity
from trackpools.shell.pipeline import stage_writer
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.commits import Commit
from trackpools.shell.store.store import Store
from trackpools.stage import Context, Stage

OF_USERS = (t.PLAYS.name, t.SIGNALS.name)


def fold_changes(store: Store, stage: Stage, c: Context) -> int:
    """Run the stage `interactions` and write the rows that differ.

    If the metadata of the commits proves that only users with new events, or with events on tracks that the
    catalogue maps otherwise now, can differ, the stage runs for those users alone. Otherwise it runs for all users.

    Args:
        store: The store that holds the tables.
        stage: The stage `interactions`.
        c: Context of the stage.

    Returns:
        Number of rows that differ; 0 if this work was done before.
    """
    last = store.commit(t.INTERACTIONS.name)
    if stage_writer.is_result(last.metadata, stage, c):
        return 0
    made, read = (
        stage_writer.metadata(stage, c),
        {name: store.read(name, version) for name, version in c.versions.items()},
    )
    users = (
        users_with_new_events(store, last.metadata, made, c)
        if _still_valid(store.commit(t.PLAYS_DAILY.name), last.metadata, made)
        else None
    )
    if users is None:
        rows = store.difference(t.INTERACTIONS, stage.run(read, c)["interactions"], made)
    else:
        with persisted(users) as some:
            some.count()  # counted now, so that Spark plans the joins with the small size
            rows = store.upsert(t.INTERACTIONS, stage.run(_of_users(read, some), c)["interactions"], made)
    if store.commit(t.INTERACTIONS.name).metadata.get("run_key") != c.run_key:
        store.mark(t.INTERACTIONS.name, made)
    return rows


def _of_users(read: Mapping[str, DataFrame], users: DataFrame) -> dict[str, DataFrame]:
    """Return the tables, with plays, signals and daily plays reduced to the given users (`user_id`)."""
    numbered = users.join(read["user_ids"], "user_id").select("user_idx")
    narrow = {name: read[name].join(users, "user_id", "left_semi") for name in OF_USERS}
    return dict(read) | narrow | {"plays_daily": read["plays_daily"].join(numbered, "user_idx", "left_semi")}


def _still_valid(daily: Commit, last: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether the earlier result stays valid except for users with new plays or signals.

    That requires the same code and settings, and that neither `as_of` nor `known_as_of` went back. It also
    requires that `plays_daily` was written at most once since, and then not for all days.

    Args:
        daily: The last commit of `plays_daily`.
        last: Metadata of the last commit of `interactions`.
        now: Metadata of the commit that is to be written.
    """
    same_tracks = {**now, "tracks_version": last["tracks_version"]}  # see `users_with_new_events`
    went_back = any(last[key] > now[key] for key in ("as_of", "known_as_of"))
    if not work_identity.stands(last, same_tracks) or went_back:
        return False
    folded = last["versions"][t.PLAYS_DAILY.name]
    return folded == daily.version or (
        folded == daily.version - 1 and daily.metadata.get("since") is not None
    )


def users_with_new_events(
    store: Store, last: Mapping[str, Any], now: Mapping[str, Any], c: Context
) -> DataFrame | None:
    """Find the users with plays or signals that the earlier result lacks or counts otherwise.

    A play or a signal counts otherwise if a new version of the catalogue maps it to another recording.

    Args:
        store: The store that holds the tables.
        last: Metadata of the last commit of `interactions`.
        now: Metadata of the commit that is to be written.
        c: Context of the stage.

    Returns:
        A frame with the column `user_id`, distinct; None if `plays` or `signals` has no change feed.
    """
    before = {name: datetime.fromisoformat(last[name]) for name in ("as_of", "known_as_of")}
    ripe = {
        t.PLAYS.name: is_known_by(c.as_of, c.known_as_of)
        & ~is_known_by(before["as_of"], before["known_as_of"]),
        t.SIGNALS.name: (F.col("at") < F.lit(c.as_of)) & (F.col("at") >= F.lit(before["as_of"])),
    }
    found = []
    for name in OF_USERS:
        feed = store.changes(name, last["versions"][name], now["versions"][name])
        if feed is None:
            return None
        # rows that had been imported before, but were in the future at the earlier moment, count as new too
        found += [
            feed.select("user_id"),
            store.read(name, last["versions"][name]).where(ripe[name]).select("user_id"),
        ]
    versions = last["versions"][t.TRACKS.name], now["versions"][t.TRACKS.name]
    if versions[0] != versions[1]:
        tracks = (store.read(t.TRACKS.name, version) for version in versions)
        logs = (store.read(name, now["versions"][name]) for name in OF_USERS)
        found.append(users_with_other_history(*tracks, *logs))
    return reduce(DataFrame.union, found).distinct()
