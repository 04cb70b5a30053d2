"""Tests that a refresh recomputes what a new version of the catalogue changes, and nothing else."""

import datetime as dt
from dataclasses import replace

import pytest

from builders import rows
from flows import AS_OF, START, import_events, refreshed
from trackpools import stages
from trackpools import tables as t
from trackpools.core.contracts.conform import conform, content_hash
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.store.store import Store
from trackpools.shell.tracking.tracker import Tracker

NEW = {"track_id": "brand new", "title": "A new song", "artist_ids": ["somebody"], "available": True}
MOVED = {"track_id": "t0005", "recording_id": "t0004", "available": True}


def interactions_hash(frame):
    return content_hash(conform(frame, t.INTERACTIONS), t.INTERACTIONS).first()["hash"]


def recomputed(spark, config):
    """Compute `interactions` from all plays, as if nothing was known before."""
    flow = Flow(config, spark, Tracker(config.mlflow, None, "t", "t"), AS_OF)

    def body(name, **more):
        c = flow.context(stages.BY_NAME[name])
        read = {table: flow.store.read(table, version) for table, version in c.versions.items()} | more
        return stages.BY_NAME[name].run(read, replace(c, since=None))

    return body("interactions", **body("daily"))["interactions"]


@pytest.mark.parametrize(("track", "all_days"), [(NEW, False), (MOVED, True)], ids=["a new track", "a move"])
def test_interactions_are_those_of_a_recomputation(spark, released, tmp_path, track, all_days):
    store = Store(spark, released.store)
    store.upsert(t.TRACKS, rows(spark, "tracks", track).select(*track), {})
    at = (START + dt.timedelta(days=39)).isoformat()
    play = {"event_id": "new", "user_id": "u003", "track_id": track["track_id"], "played_at": at}
    import_events(released, tmp_path, [play | {"ms_played": 200_000}], "new")
    answer = refreshed(released)
    assert (store.commit("plays_daily").metadata["since"] is None) == all_days
    if not all_days:
        assert answer.more["concerned"] == {"changed": 1}
    assert interactions_hash(store.read("interactions")) == interactions_hash(recomputed(spark, released))
