"""Tests of a root that the code of commit d3b650f wrote.

Today's code reads the root, refreshes it without a full run, and rolls it back.
"""

import json
import os
import shutil
import tarfile
import time
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from flows import import_events, refreshed
from make_old_root import KNOWN, SETTINGS, USER, asked, came
from trackpools import stages
from trackpools.fill.contract.messages import FillRequest
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline, queries
from trackpools.shell.fills.filler import Filler
from trackpools.shell.releases import releases, show_pools
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "root_d3b650f.tar.xz"
MADE_BY_RUN = (
    *(
        "not_taste",
        "user_features",
        "recording_features",
        "user_factors",
        "recording_factors",
        "recording_facts",
    ),
    *("fresh_factors", "source_lists"),
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    # Delta takes the time of a commit from the modification time of its log file, and reads no version that
    # is older than the table's retention. So the log files get recent times.
    an_hour_ago = time.time() - 3600
    for path in folder.glob("tables/*/_delta_log/*.json"):
        os.utime(path, times=(an_hour_ago + int(path.stem),) * 2)
    return folder


@pytest.fixture
def old(unpacked, config, tmp_path):
    """Return a configuration whose root is this test's own copy of the old root."""
    return config(*SETTINGS, f"store.root={shutil.copytree(unpacked, tmp_path / 'old')}")


def saved_answer(unpacked, name):
    return json.loads((unpacked / "answers" / f"{name}.json").read_text(encoding="utf-8"))


def show_pool(store, release, config):
    (pool,) = show_pools.show_pools(store, release, config, (USER,), 1)
    return json.loads(json.dumps(pool))


def test_its_releases_are_listed_and_their_tables_are_what_they_pin(spark, unpacked, old):
    store = Store(spark, old.store)
    known = releases.releases(store)
    assert [one.seq for one in known] == [3, 2, 1]
    before = saved_answer(unpacked, "releases")["releases"]
    assert [one.release_id for one in known] == [one["release_id"] for one in before]
    for release in known:
        wanted = [one for one in release.tables if release is known[0] or one.name in ("pools", "pools_hot")]
        assert store.stats_of({one.name: one.version for one in wanted}) == wanted


def test_its_pools_are_shown_as_they_were(spark, unpacked, old):
    store = Store(spark, old.store)
    assert show_pool(store, releases.latest(store), old) == saved_answer(unpacked, "show")


def test_it_is_read_without_a_jvm(unpacked, old, tmp_path):
    pool = saved_answer(unpacked, "show")["candidates"]
    for seq in (1, 2, 3):
        assert (
            len(LoadedRelease.of(old, seq).user_record(USER, pool=True).pool["candidates"]) == len(pool) == 40
        )
    opened = LoadedRelease.of(old)
    numbered = opened.data("recording_ids").to_table().to_pylist()
    ids = {row["recording_idx"]: row["recording_id"] for row in numbered}
    found = opened.user_record(USER, pool=True).pool["candidates"]
    assert [ids[one["recording"]] for one in found] == [one["recording_id"] for one in pool]
    made = Filler(opened, tmp_path / "cards").fill(FillRequest(user_id=USER, prompt="5 songs"))
    assert [one.track_id for one in made.tracks] == [one["track_id"] for one in pool][:5]


def test_its_days_and_interactions_are_kept_where_no_plays_arrived(spark, old):
    chosen = [stages.BY_NAME[name] for name in ("ids", "daily", "interactions")]
    moments = {"as_of": None, "known_as_of": None}
    found = pipeline.run_stages(old, Options(quiet=True), "interactions", chosen, publish=False, **moments)
    assert [one["stage"] for one in found.more["stages"] if one["skipped"]] == ["daily", "interactions"]


def test_a_refresh_goes_on_from_it(spark, old, tmp_path):
    store = Store(spark, old.store)
    before = releases.latest(store)
    versions = {name: store.version(name) for name in MADE_BY_RUN}
    listened = (USER, "u00000009")
    import_events(old, tmp_path, came(1, listened))
    answer = refreshed(old, as_of=None)
    store = Store(spark, old.store)
    after = releases.latest(store)
    assert (after.seq, after.release_id, after.model_version) == (4, answer.release_id, before.model_version)
    assert answer.more["concerned"]["changed"] == len(listened)
    # The tables that only a full run writes stay. Only the new part of the log is counted, and only the
    # interactions of the two users who listened are written again.
    assert {name: store.version(name) for name in MADE_BY_RUN} == versions
    assert store.commit("plays_daily").metadata["since"] is not None
    folded = int(store.commit("interactions").counted["numSourceRows"])
    interactions, ids = (
        store.read("interactions"),
        store.read("user_ids").where(F.col("user_id").isin(*listened)),
    )
    assert folded == interactions.join(ids, "user_idx").count() < interactions.count() / 2
    assert show_pool(store, after, old)["candidates"]


def test_it_is_rolled_back(spark, old):
    store = Store(spark, old.store)
    first = releases.releases(store)[-1]
    pool = show_pool(store, first, old)
    answer = queries.rollback(old, first.seq)
    store = Store(spark, old.store)
    now = releases.latest(store)
    assert (now.seq, now.release_id) == (4, answer.release_id)
    assert (now.tables, now.model_version, now.as_of) == (first.tables, first.model_version, first.as_of)
    assert show_pool(store, now, old) == pool


def test_its_registered_model_answers_as_it_did(unpacked):
    assert len(saved_answer(unpacked, "model")["recording_ids"]) == KNOWN["k"]
    found, before = asked(unpacked / "model"), saved_answer(unpacked, "model")
    assert found["recording_ids"] == before["recording_ids"]
    assert found["scores"] == pytest.approx(before["scores"], rel=1e-4)
