"""`interactions` brought up to date by what differs, so that its change feed names those who changed and nobody else."""

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.interactions import known_by
from trackpools.shell import writing
from trackpools.shell.commits import Commit
from trackpools.shell.kept import kept
from trackpools.shell.store import Store
from trackpools.stage import Context, Stage

OF_USERS = (t.PLAYS.name, t.SIGNALS.name)


def fold_changes(store: Store, stage: Stage, c: Context) -> int:
    """Run the stage `interactions`, but only for listeners of whom anything came, where the commits prove that nobody else can differ.

    Returns:
        Rows that differ; 0 where this work was done before.
    """
    last = store.commit(t.INTERACTIONS.name)
    if last.metadata.get("run_key") == c.run_key:
        return 0
    made, read = (
        writing.metadata(stage, c),
        {name: store.read(name, version) for name, version in c.versions.items()},
    )
    users = (
        touched(store, last.metadata, made, c)
        if _stands(store.commit(t.PLAYS_DAILY.name), last.metadata, made)
        else None
    )
    if users is None:
        rows = store.difference(t.INTERACTIONS, stage.run(read, c)["interactions"], made)
    else:
        with kept(users) as some:
            some.count()  # now, so that what joins it knows how few they are
            rows = store.upsert(t.INTERACTIONS, stage.run(_of_users(read, some), c)["interactions"], made)
    if store.commit(t.INTERACTIONS.name).metadata.get("run_key") != c.run_key:
        store.mark(t.INTERACTIONS.name, made)
    return rows


def _of_users(read: Mapping[str, DataFrame], users: DataFrame) -> dict[str, DataFrame]:
    """The tables, with these listeners' plays, acts and days alone."""
    numbered = users.join(read["user_ids"], "user_id").select("user_idx")
    narrow = {name: read[name].join(users, "user_id", "left_semi") for name in OF_USERS}
    return dict(read) | narrow | {"plays_daily": read["plays_daily"].join(numbered, "user_idx", "left_semi")}


def _stands(daily: Commit, last: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether what was folded before stands but for new plays and acts: same code and settings, time went on, and older days were not written anew."""
    if any(last.get(key) != now[key] for key in ("code", "settings", "tracks_version")) or any(
        last[key] > now[key] for key in ("as_of", "known_as_of")
    ):
        return False
    folded = last["versions"][t.PLAYS_DAILY.name]
    return folded == daily.version or (
        folded == daily.version - 1 and daily.metadata.get("since") is not None
    )


def touched(store: Store, last: Mapping[str, Any], now: Mapping[str, Any], c: Context) -> DataFrame | None:
    """`user_id` of whoever has a play or an act that was not folded before; None where a table has no change feed to tell."""
    before = {name: datetime.fromisoformat(last[name]) for name in ("as_of", "known_as_of")}
    ripe = {
        t.PLAYS.name: known_by(c.as_of, c.known_as_of) & ~known_by(before["as_of"], before["known_as_of"]),
        t.SIGNALS.name: (F.col("at") < F.lit(c.as_of)) & (F.col("at") >= F.lit(before["as_of"])),
    }
    found = []
    for name in OF_USERS:
        feed = store.changes(name, last["versions"][name], now["versions"][name])
        if feed is None:
            return None
        # and what had been imported, but lay in the future then
        found += [
            feed.select("user_id"),
            store.read(name, last["versions"][name]).where(ripe[name]).select("user_id"),
        ]
    return reduce(DataFrame.union, found).distinct()
