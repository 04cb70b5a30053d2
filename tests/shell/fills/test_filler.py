"""Tests of fills of a real release, without a JVM.

A playlist takes from the pool first, obeys the switches, counts today's plays, and is the same by command
and by code.
"""

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from flows import AS_OF, SMALL, shown
from readings import finding, findings, is_reading, reads
from stub_model import numbers, stub
from trackpools.cli import whole
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up
from trackpools.errors import InputError, StoppedError
from trackpools.fill.contract.constraints import Constraints, Filter
from trackpools.fill.contract.messages import FillRequest, RecentEvent
from trackpools.shell.command import Options
from trackpools.shell.fills.filler import Filler
from trackpools.shell.releases.take_down import switch
from trackpools.shell.serving import switch_watch
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES

DAY = dt.datetime.fromisoformat(AS_OF).date()


@pytest.fixture
def filler(released, tmp_path, monkeypatch):
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    return Filler(LoadedRelease.of(released), tmp_path / "cards")


def request_of(prompt="", user="u001", **more):
    return FillRequest(user_id=user, prompt=prompt, **more)


def ids(playlist):
    return [one.track_id for one in playlist.tracks]


def test_a_playlist_takes_the_pool_in_its_order_unless_the_request_needs_more(spark, released, filler):
    made = filler.fill(request_of("20 songs"))
    pool = [one["track_id"] for one in shown(spark, released)["u001"]["candidates"]]
    assert ids(made) == pool[:20]
    assert {one.origin for one in made.tracks} == {"pool"}
    assert (made.release, made.model, made.degraded, made.chosen_by_model) == (
        filler.opened.release_id,
        "none",
        "",
        0.0,
    )
    assert all(one.met for one in made.told)
    assert all(one.reason for one in made.tracks)
    again = filler.fill(request_of("20 songs"))
    assert again.model_dump(exclude={"request_id", "milliseconds"}) == made.model_dump(
        exclude={"request_id", "milliseconds"}
    )


def test_missing_tracks_are_retrieved_under_the_same_rules(spark, released, filler):
    pool = {one["track_id"] for one in shown(spark, released)["u001"]["candidates"]}
    made = filler.fill(request_of("60 songs I have never heard"))
    assert {one.origin for one in made.tracks} == {"pool", "retrieval"}
    assert all((one.track_id in pool) == (one.origin == "pool") for one in made.tracks)
    idx = filler.opened.online_user("u001")
    heard = set(idx.history.recording[idx.history.heard].tolist())
    numbers = {
        row["recording_id"]: row["recording_idx"]
        for row in filler.opened.data("recording_ids").to_table().to_pylist()
    }
    assert heard.isdisjoint(numbers[one.recording_id] for one in made.tracks)


@pytest.mark.parametrize("heard", ["mark", "exclude", "only", "not_within"])
def test_the_allowed_tracks_are_those_that_the_rules_pass_row_by_row(released, tmp_path, heard):
    pools = released.pools.model_copy(update={"heard": heard})
    rules_ = released.rules.model_copy(update={"min_listeners": 4})
    c = released.model_copy(update={"pools": pools, "rules": rules_})
    filler, seen = Filler(LoadedRelease.of(c), tmp_path / "cards"), 0
    for user in ("u000", "u007", "u031"):
        who, tracks, _ = filler.resolve_user(request_of(user=user, clean=True if user == "u007" else None))
        past, met = who.person.history, np.zeros(len(tracks), np.uint8)
        at, there = tracks.rows(past.recording)
        met[at] = (
            eligibility.HEARD * past.heard
            + eligibility.BLOCKED * past.blocked
            + eligibility.REFUSED * past.refused
        )[there]
        barred = look_up(who.release.markets[who.person.market].bars, tracks.recording)
        below = eligibility.fact_flags(
            who.release.recording_table,
            tracks.recording,
            met,
            eligibility.Standards.of(rules_, who.release.as_of),
        )
        assert np.array_equal(
            who.may,
            eligibility.rule_flags(barred, np.full(len(tracks), who.person.clean), met, below, heard=heard)
            == 0,
        )
        seen += int(who.may.sum()) not in {0, len(tracks)}
    assert seen


def test_a_request_for_clean_tracks_gets_the_clean_versions(filler):
    release, tracks = filler.opened.release, filler.tracks("*")
    markets = {
        name: replace(one, bars=one.bars & ~np.uint8(eligibility.BIT["explicit"]))
        for name, one in release.markets.items()
    }
    filler.opened.served[filler.opened.watch.off()] = replace(release, markets=markets)
    clean = pc.binary_join_element_wise("clean", tracks.cards["track_id"], "-")
    place = tracks.cards.schema.get_field_index("clean_track_id")
    filler._tracks["*"] = replace(
        tracks,
        cards=tracks.cards.set_column(place, "clean_track_id", clean),
        clean=np.ones(len(tracks), bool),
    )
    assert not any(one.startswith("clean-") for one in ids(filler.fill(request_of("20 songs"))))
    for request in (
        request_of("20 songs", clean=True),
        request_of("20 clean songs"),
        request_of("20 songs", constraints=Constraints(every=Filter(clean=True))),
    ):
        made = ids(filler.fill(request))
        assert len(made) == 20
        assert all(one.startswith("clean-") for one in made)


def test_todays_plays_count_at_once(filler):
    first = ids(filler.fill(request_of("10 songs, nothing I have heard this week")))
    skipped = tuple(RecentEvent(track_id=one, day=DAY, skipped=n % 2 == 0) for n, one in enumerate(first[:4]))
    unknown = RecentEvent(track_id="never heard of", day=DAY)
    made = filler.fill(request_of("10 songs, nothing I have heard this week", events=(*skipped, unknown)))
    assert set(ids(made)).isdisjoint(first[:4])
    assert len(made.tracks) == 10


def test_switched_off_tracks_are_in_no_playlist(released, filler):
    gone = ids(filler.fill(request_of("5 songs")))[0]
    switch(released, Options(quiet=True), "off", ("track", gone), None)
    made = filler.fill(request_of("60 songs"))
    assert gone not in ids(made)
    switch(released, Options(quiet=True), "off", ("all",), None)
    with pytest.raises(StoppedError):
        filler.fill(request_of("5 songs"))
    switch(released, Options(quiet=True), "on", ("all",), None)
    assert filler.fill(request_of("5 songs")).tracks


def test_tracks_whose_rights_ended_since_the_release_are_in_no_playlist(spark, released, filler):
    made = filler.fill(request_of("5 songs"))
    gone, kept = ids(made)[0], ids(made)[1]
    until = {gone: DAY + dt.timedelta(days=3), kept: DAY + dt.timedelta(days=9)}
    rows = [(one, True, [("*", None, day)]) for one, day in until.items()]
    frame = spark.createDataFrame(
        rows,
        "track_id string, available boolean, rights array<struct<market: string, from: date, until: date>>",
    )
    Store(spark, released.store).upsert(TABLES["tracks"], frame, {})
    for days, expected in ((2, {gone, kept}), (3, {kept}), (9, set())):
        now = Filler(filler.opened, filler.folder, today=lambda days=days: DAY + dt.timedelta(days=days))
        assert {gone, kept} & set(ids(now.fill(request_of("60 songs")))) == expected


def test_a_request_of_code_wins_over_the_prompt_and_adds_to_it(filler):
    made = filler.fill(request_of("20 songs I have never heard", constraints=Constraints(tracks=5)))
    assert (made.constraints.tracks, made.constraints.every) == (5, Filter(heard=False))
    assert len(made.tracks) == 5


def test_an_unknown_user_and_an_unknown_market_are_reported(filler):
    with pytest.raises(InputError, match="no such user"):
        filler.fill(request_of(user="nobody"))
    with pytest.raises(InputError, match="no market XX"):
        filler.fill(request_of(market="XX"))


def test_cards_are_cached_once_for_each_release(filler):
    filler.fill(request_of("5 songs"))
    (kept,) = filler.folder.iterdir()
    assert pc.count(filler.tracks("*").cards["title"], mode="all").as_py() > 50
    stamp = kept.stat().st_mtime_ns
    Filler(filler.opened, filler.folder).fill(request_of("5 songs"))
    assert kept.stat().st_mtime_ns == stamp


def command(*words):
    done = CliRunner().invoke(whole(), [str(word) for word in words])
    return done.exit_code, done.stdout


def test_the_command_answers_users_and_scripts(released, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told = [
        "fill",
        "10 songs, happy",
        "--user",
        "u001",
        "--root",
        released.store.root,
        *(part for one in SMALL for part in ("--set", one)),
    ]
    code, said = command(*told, "--explain")
    assert code == 0
    assert all(
        part in said
        for part in ("10 tracks", "ok     tracks: 10; 10", "not applied: happy", "candidates:", "compose")
    )
    code, said = command(*told, "--json")
    answer = json.loads(said)
    assert (code, answer["ok"], len(answer["playlist"]["tracks"])) == (0, True, 10)
    code, said = command(
        *told, "--clean", "--constraints", '{"tracks": 5, "every": {"no_tags": ["nonesuch"]}}', "--explain"
    )
    assert code == 0
    notes = (
        "tracks with explicit words are left out, as the request asks",
        "constraints of the request replace those of the prompt: tracks",
        'the catalogue has no tag "nonesuch"',
        "read from the tables",
    )
    rules = "allow this user no track at all"  # this world has no track without explicit words
    assert [part for part in (*notes, rules) if part not in said] == []
    done = CliRunner().invoke(
        whole(), [*map(str, told), "--constraints", '{"every": {"artists": ["nobody"]}}', "--relax"]
    )
    assert (done.exit_code, "warning: the playlist is empty" in done.stderr) == (0, True)
    assert all(
        part in done.stdout
        for part in ("UNMET  tracks: 10; 0 (artists: 0 tracks pass", "UNMET  artists: by nobody; 0 of 0")
    )
    code, said = command("fill", "--schema")
    assert set(json.loads(said)) == {"FillRequest", "Playlist"}
    for wrong, problem in (
        ((), "fill needs a user"),
        (
            ("--user", "u001", "--constraints", '{"tracks": 0, "evry": 1}'),
            "not a valid JSON object of constraints",
        ),
    ):
        code, said = command("fill", "x", "--root", released.store.root, "--json", *wrong)
        assert code == 2
        assert problem in json.loads(said)["error"]["message"]


def test_a_model_chooses_and_the_command_shows_what_it_said(released, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MY_KEY", "secret")
    told = [
        "fill",
        "10 songs",
        "--user",
        "u001",
        "--root",
        released.store.root,
        *(part for one in SMALL for part in ("--set", one)),
    ]
    with stub(numbers(3, 1, 4, 15, 9, 2, 6, 5, 35, 8)) as server:
        at = [
            part
            for one in (
                f"llm.base_url={server.url}",
                "llm.model=stub",
                "llm.private=true",
                "llm.key_env=MY_KEY",
            )
            for part in ("--set", one)
        ]
        code, said = command(*told, *at, "--explain")
        assert code == 0
        assert "chosen by stub: 100%" in " ".join(said.split())
        assert '{"tracks": [3, 1, 4' in said
        assert "u001" not in json.dumps(server.asked), "no raw user id leaves"
        code, said = command(*told, *at, "--model", "none", "--json")
        assert json.loads(said)["playlist"]["model"] == "none"
        assert len(server.asked) == 1
        server.behave = reads(
            findings(finding("unworn", "not_heard"), finding("secret", "clean")), numbers(*range(1, 11))
        )
        unworn = ["10 songs, unworn and happy" if one == "10 songs" else one for one in told]
        code, said = command(*unworn, *at, "--json")
        made = json.loads(said)["playlist"]
        assert (made["notes"], made["not_applied"]) == (
            ['read by the model: "unworn" as preferred: never heard'],
            ["happy"],
        )
        assert made["constraints"]["prefer"]["heard"] is False
        assert (made["dropped"], made["tokens"], made["degraded"]) == (
            {"reading: words not left over": 1},
            2100,
            "",
        )
        assert [is_reading(one) for one in server.asked[1:]] == [True, False]
        assert "u001" not in json.dumps(server.asked), "no raw user id leaves"
        code, said = command(*unworn, *at, "--explain")
        assert all(
            part in said
            for part in (
                'the model read the prompt as: {"findings"',
                "dropped from it: 1 reading: words not left over",
                "not applied: happy",
            )
        )
    code, said = command(*told, "--model", "somebody", "--json")
    assert (code, "needs an endpoint" in json.loads(said)["error"]["message"]) == (2, True)
