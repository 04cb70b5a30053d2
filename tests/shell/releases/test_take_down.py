"""Tests of takedowns and switches.

What is switched off is absent from every read at once, no pool is rewritten, and no user is served while
everything is off.
"""

import json

import pytest

from flows import SMALL, shown
from trackpools import api
from trackpools.cli import invoke
from trackpools.core.pools import online
from trackpools.errors import StoppedError
from trackpools.shell.releases import releases
from trackpools.shell.serving import switch_watch
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.root_lock import writer_lock
from trackpools.shell.store.store import Store
from trackpools.tables import TRACKS


def switch(config, *words):
    told = [part for setting in ("mlflow.enabled=false", *SMALL) for part in ("--set", setting)]
    return invoke(["switch", *words, "--root", config.store.root, "--quiet", *told])


def tracks(pool):
    return [one["track_id"] for one in pool["candidates"]]


def test_a_track_is_gone_from_every_read_and_the_reserve_takes_its_place(spark, released, monkeypatch):
    store = Store(spark, released.store)
    before, version = shown(spark, released), store.version("pools")
    monkeypatch.setattr(switch_watch, "POLL_S", 3600.0)  # longer than this test takes on any machine
    opened = LoadedRelease.of(released)
    assert opened.release.config == released
    track = tracks(before["u000"])[0]
    holders = [user for user, pool in before.items() if track in tracks(pool)]
    assert len(holders) > 5
    with writer_lock(released.store.root):  # a takedown does not wait for a run
        assert switch(released, "off", "track", track, "--why", "rights") == 0
    after = shown(spark, released)
    for user, pool in after.items():
        assert track not in tracks(pool)
        assert pool["k"] == before[user]["k"] == len(pool["candidates"])
        left = [one for one in tracks(before[user]) if one != track]
        assert tracks(pool)[: len(left)] == left
        assert sum(pool["drops"].values()) + pool["k"] == pool["emitted"] == before[user]["emitted"]
        assert pool["drops"].get("switched_off", 0) == (user in holders)
        if user in holders:
            assert len(set(tracks(pool))) == len(left) + 1
    assert Store(spark, released.store).version("pools") == version, "a pool row was rewritten"
    assert api.pools_long(released).where(f"track_id = '{track}'").count() == 0
    recording = next(
        row["recording_idx"] for row in store.read("recording_ids").collect() if row["recording_id"] == track
    )
    assert any(
        one["recording"] == recording
        for one in online.pool(opened.release, opened.online_user("u000"))["candidates"]
    ), "not asked again yet"
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    for user in holders:
        assert not any(
            one["recording"] == recording
            for one in online.pool(opened.release, opened.online_user(user))["candidates"]
        )
    assert switch(released, "on", "track", track) == 0
    assert shown(spark, released) == before
    assert any(
        one["recording"] == recording
        for one in online.pool(opened.release, opened.online_user("u000"))["candidates"]
    )


@pytest.mark.soak
def test_artists_labels_sources_and_markets_can_be_switched_off(spark, released, monkeypatch):
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    store, before, opened = Store(spark, released.store), shown(spark, released), LoadedRelease.of(released)
    a, b = tracks(before["u001"])[:2]
    catalogue = spark.createDataFrame(
        [(a, ["x", "guest"], ["X", "The Guest"], "Big Label"), (b, ["guest"], None, "Small Label")],
        "track_id string, artist_ids array<string>, artist_names array<string>, label string",
    )
    store.upsert(TRACKS, catalogue.selectExpr("*", "true AS available"), {})
    for kind, value, gone in (
        ("artist", "guest", {a, b}),
        ("artist", "x", {a}),
        ("artist", "The Guest", {a}),
        ("label", "Small Label", {b}),
    ):
        assert switch(released, "off", kind, value) == 0
        assert {one for pool in shown(spark, released).values() for one in tracks(pool)} & {a, b} == {
            a,
            b,
        } - gone, kind
        assert set(opened.watch.tracks_off(opened.watch.off()).to_pylist()) == gone
        assert switch(released, "on", kind, value) == 0
    few = min(
        (tuple(one["sources"]) for pool in before.values() for one in pool["candidates"]),
        key=lambda names: (len(names), names),
    )
    assert switch(released, "off", "source", *few) == 0
    for user, pool in shown(spark, released).items():
        assert not any(set(one["sources"]) <= set(few) for one in pool["candidates"])
        assert sum(pool["drops"].values()) + pool["k"] == pool["emitted"]
        assert [one for one in tracks(before[user]) if one in tracks(pool)] == [
            one for one in tracks(pool) if one in tracks(before[user])
        ]
    assert not any(getattr(opened.release.config.sources, name).enabled for name in few)
    assert switch(released, "on", "source", *few) == 0
    assert switch(released, "off", "market", "*") == 0
    assert shown(spark, released) == {}
    with pytest.raises(StoppedError, match=r"market \*"):
        opened.online_user("u001")


def test_everything_off_stops_serving_with_a_clear_answer(spark, released, capsys, monkeypatch):
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    opened = LoadedRelease.of(released)
    assert switch(released, "off", "all", "--why", "incident 7") == 0
    capsys.readouterr()
    assert invoke(["show", "pools", "--root", released.store.root, "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["problems"]) == ("stopped", ["all *"])
    assert "trackpools switch list" in error["message"]
    for ask in (lambda: opened.release, lambda: opened.online_user("u001")):
        with pytest.raises(StoppedError):
            ask()
    assert invoke(["switch", "list", "--root", released.store.root, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["off"]
    assert (one["kind"], one["value"], one["why"]) == ("all", "*", "incident 7")
    assert switch(released, "on", "all") == 0
    model = releases.latest(Store(spark, released.store)).model_version
    assert switch(released, "off", "model", model) == 0
    with pytest.raises(StoppedError, match=model):
        shown(spark, released)


def test_beyond_the_reserve_a_pool_is_short_and_says_so(spark, released):
    before = shown(spark, released)
    gone = tracks(before["u003"])[:30]
    assert switch(released, "off", "track", *gone) == 0
    for user, pool in shown(spark, released).items():
        assert not set(gone) & set(tracks(pool))
        assert sum(pool["drops"].values()) + pool["k"] == pool["emitted"] == before[user]["emitted"]
        assert pool["shortfall"] == (
            {"wanted": 40, "got": pool["k"], "rule": "switched_off"}
            if pool["k"] < 40
            else before[user]["shortfall"]
        )
    assert shown(spark, released)["u003"]["k"] < 40


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("off", "song", "x"), "there is no switch of kind 'song'"),
        (("off", "track"), "needs a value"),
        (("off", "all", "x"), "takes no value"),
        (("off",), "there is no switch of kind ''"),
        (("away", "all"), "must be off, on or list"),
    ],
)
def test_invalid_switches_are_refused(config, capsys, words, said):
    assert switch(config("mlflow.enabled=false"), *words, "--json") == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
