"""Tests of the journal, which keeps playlists and their exposures in real tables, in batches.

What cannot be written waits, and no playlist suffers.
"""

import threading

import pytest
from pyspark.sql import functions as F

from flows import SMALL
from trackpools.fill.contract.messages import FillRequest
from trackpools.shell.fills import journal as module
from trackpools.shell.fills.filler import Filler
from trackpools.shell.fills.journal import FillJournal
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES


@pytest.fixture
def journal(released):
    return FillJournal(released.store.root, batch=3, seconds=3600.0)


def fill(released, journal, tmp_path, users, prompt="30 songs"):
    filler = Filler(
        LoadedRelease.of(
            released.model_copy(update={"fill": released.fill.model_copy(update={"explore": 0.1})})
        ),
        tmp_path / "cards",
        journal=journal,
    )
    return {user: filler.fill(FillRequest(user_id=user, prompt=prompt)) for user in users}


def test_batches_are_written_once_they_are_full_and_say_what_was_shown(spark, released, journal, tmp_path):
    made = fill(released, journal, tmp_path, ["u001", "u002"])
    store = Store(spark, released.store)
    assert not store.exists("fills")
    made |= fill(released, journal, tmp_path, ["u003", "u004"], prompt="12 songs, happy")
    journal.writer.join()
    store = Store(spark, released.store)
    assert store.read("fills").count() == 3
    journal.flush()
    journal.flush()
    store = Store(spark, released.store)
    for name in ("fills", "exposures"):
        assert {(one.name, one.dataType) for one in store.read(name).schema} == {
            (one.name, one.dataType) for one in TABLES[name].schema
        }
        assert store.version(name) == 1, "a batch is a commit, and nothing is none"
    ids = {row["user_id"]: row["user_idx"] for row in store.read("user_ids").collect()}
    numbers = {row["recording_id"]: row["recording_idx"] for row in store.read("recording_ids").collect()}
    fills = {row["request_id"]: row for row in store.read("fills").collect()}
    assert {one.request_id: ids[user] for user, one in made.items()} == {
        key: row["user_idx"] for key, row in fills.items()
    }
    for one in made.values():
        row = fills[one.request_id]
        assert (row["tracks"], row["not_applied"], row["model"], row["release_id"]) == (
            len(one.tracks),
            len(one.not_applied),
            "none",
            one.release,
        )
        assert row["met"] == [told.name for told in one.told if told.met]
        shown = (
            store.read("exposures").where(F.col("request_id") == one.request_id).orderBy("place").collect()
        )
        assert [(row["place"], row["recording_idx"], row["origin"]) for row in shown] == [
            (place, numbers[track.recording_id], track.origin) for place, track in enumerate(one.tracks, 1)
        ]
        assert [row["propensity"] is not None for row in shown] == [
            track.origin == "explore" for track in one.tracks
        ]
    whole = " ".join(str(row) for name in ("fills", "exposures") for row in store.read(name).collect())
    assert not any(word in whole for word in ("u001", "happy", "30 songs")), "no raw id, no prompt"


def test_an_old_batch_is_written_with_the_next_playlist(spark, released, tmp_path):
    now = [0.0]
    journal = FillJournal(released.store.root, batch=100, seconds=30.0, clock=lambda: now[0])
    fill(released, journal, tmp_path, ["u001"])
    assert not Store(spark, released.store).exists("fills")
    now[0] = 31.0
    fill(released, journal, tmp_path, ["u002"])
    journal.writer.join()
    assert Store(spark, released.store).read("fills").count() == 2


def test_playlists_that_cannot_be_written_wait_and_the_oldest_are_dropped(
    spark, released, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "MAX_WAITING_FILLS", 2)
    journal = FillJournal("/proc/nowhere", batch=1, seconds=0.0)
    made = {}
    for user in ("u001", "u002", "u003"):
        made |= fill(released, journal, tmp_path, [user])
        journal.writer.join()
    assert all(one.tracks for one in made.values())
    assert journal.trouble
    assert journal.lost == 1
    journal.root = released.store.root
    journal.flush()
    assert journal.trouble == ""
    store = Store(spark, released.store)
    kept = {one.request_id for user, one in made.items() if user != "u001"}
    assert {row["request_id"] for row in store.read("fills").collect()} == kept
    assert {row["request_id"] for row in store.read("exposures").collect()} == kept


def test_many_threads_lose_nothing_and_write_nothing_twice(spark, released, tmp_path):
    journal = FillJournal(released.store.root, batch=2, seconds=3600.0)
    made = fill(released, None, tmp_path, ["u001"])["u001"]
    playlists = [made.model_copy(update={"request_id": str(number)}) for number in range(40)]

    def add(some):
        for one in some:
            journal.add(one, 1, range(len(one.tracks)))

    threads = [threading.Thread(target=add, args=(playlists[start::4],)) for start in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    journal.flush()
    store = Store(spark, released.store)
    assert sorted(int(row["request_id"]) for row in store.read("fills").collect()) == list(range(40))
    assert store.read("exposures").count() == 40 * len(made.tracks)


def test_the_command_stores_a_playlist_where_the_setting_says_so(spark, released, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from trackpools.cli import whole

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told = [
        "fill",
        "10 songs",
        "--user",
        "u001",
        "--root",
        released.store.root,
        *(part for one in (*SMALL, "fill.keep=true") for part in ("--set", one)),
    ]
    assert CliRunner().invoke(whole(), told).exit_code == 0
    assert Store(spark, released.store).read("exposures").count() == 10
