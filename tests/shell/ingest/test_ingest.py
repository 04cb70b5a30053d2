"""Tests of the import of plays, catalogue, users and signals into the tables."""

import datetime as dt

import pytest

from builders import rows
from trackpools.datasets import IMPORTERS, Imported
from trackpools.errors import InputError, QualityError
from trackpools.shell.ingest.ingest import ingest
from trackpools.shell.store.time_travel import resolve

NOW = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
HEADER = "event_id,user_id,track_id,played_at,title"
GOOD = [f",u{i % 7},t{i},2025-05-01T10:{i % 60:02}:00Z,Song {i}" for i in range(60)]
BAD = [",,t1,2025-05-01T10:00:00Z,Evil", ",u1,t1,never,Evil", ",u1,t1,never,Evil", ",u1,t1"]
TABLES = ("plays", "plays_rejected", "tracks", "users", "signals")


@pytest.fixture
def run(spark, store, config, tmp_path):
    """Return a function that imports lines of CSV: `run(lines, "ingest.x=y", name=…)`."""

    def _run(lines, *settings, name="log.csv", header=HEADER, to=store):
        path = tmp_path / name
        path.write_text("\n".join([header, *lines]))
        conf = config(*settings)
        return ingest(to, IMPORTERS["events"](spark, str(path), conf), conf, NOW, {"run_key": "r"})

    return _run


def state(store):
    return {name: store.stats(name, store.version(name)) for name in TABLES}


def test_rows_add_up_bad_ones_are_kept_with_reasons_and_the_same_file_twice_changes_nothing(run, store):
    lines = [*GOOD, *BAD, GOOD[0], GOOD[0]]
    result = run(lines, "ingest.max_rejected_fraction=0.1")
    assert (result.read, result.accepted, result.rejected, result.duplicates) == (66, 60, 4, 2)
    assert result.reasons == {"broken_line": 1, "time_unparsable": 2, "user_id_null": 1}
    assert list(result.written) == ["tracks", "plays_rejected", "plays"]
    assert sorted(map(tuple, store.read("plays_rejected").select("row_text", "reasons").collect())) == [
        (",,t1,2025-05-01T10:00:00Z,Evil", ["user_id_null"]),
        (",u1,t1", ["broken_line"]),
        (",u1,t1,never,Evil", ["time_unparsable"]),
        (",u1,t1,never,Evil", ["time_unparsable"]),
    ]
    assert store.read("tracks").where("title = 'Evil'").count() == 0
    before = state(store)
    again = run(lines, "ingest.max_rejected_fraction=0.1")
    assert (again.accepted, again.rejected, again.duplicates, again.written) == (0, 4, 62, {})
    assert state(store) == before


def test_bad_rows_leave_the_plays_of_good_rows_as_they_are(run, store, spark, config, tmp_path):
    from trackpools.shell.store.store import Store

    clean = Store(spark, config().store.model_copy(update={"root": str(tmp_path / "clean")}))
    run(GOOD, to=clean)
    run([*BAD, *reversed(GOOD)], "ingest.max_rejected_fraction=0.1")
    for name in ("plays", "tracks"):
        assert store.stats(name, store.version(name)).hash == clean.stats(name, clean.version(name)).hash


def test_too_many_bad_rows_refuse_the_file_and_write_nothing(run, store, tmp_path):
    with pytest.raises(QualityError) as refused:
        run([*GOOD[:20], *BAD])
    assert refused.value.exit_code == 3
    assert "4 of 24 rows are refused (16.7%)" in refused.value.message
    assert refused.value.problems[:3] == [
        "broken_line: 1 rows",
        "time_unparsable: 2 rows",
        "user_id_null: 1 rows",
    ]
    assert len(refused.value.problems) == 3
    assert not (tmp_path / "root").exists()


def test_a_share_at_the_limit_enters(run):
    assert run([*GOOD[:18], *BAD[:2]], "ingest.max_rejected_fraction=0.1").accepted == 18


@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_a_file_without_rows_is_refused(run, store, lines, tmp_path):
    with pytest.raises(InputError, match="has no rows"):
        run(lines)
    assert not (tmp_path / "root").exists()


def test_a_repeated_event_id_with_another_time_is_still_the_same_play(run, store):
    assert run(["e1,u,t,2025-05-01T10:00:00Z,S"]).accepted == 1
    late = run(["e1,u,t,2024-01-01T10:00:00Z,S", "e2,u,t,2024-01-01T10:00:00Z,S"], name="late.csv")
    assert (late.accepted, late.duplicates) == (1, 1)
    assert store.read("plays").groupBy("play_key").count().where("count > 1").count() == 0


def test_the_repeat_that_stays_does_not_depend_on_order(run, store):
    twins = ["e,u,t,2025-05-01T10:00:00Z,B", "e,u,t,2025-05-01T09:00:00Z,A"]
    run(twins)
    hashed = state(store)["plays"].hash
    run(twins[::-1], name="other.csv")
    assert state(store)["plays"].hash == hashed
    assert store.read("plays").first()["played_at"] == dt.datetime(2025, 5, 1, 9)


def test_a_second_file_adds_only_what_is_new(run, store):
    run(GOOD[:40])
    more = run(GOOD[20:], name="more.csv")
    assert (more.accepted, more.duplicates) == (20, 20)
    assert store.read("plays").count() == 60
    assert store.read("tracks").count() == 60


def test_files_with_unlike_headers_are_refused(run, tmp_path, spark, store, config):
    for name, header in (("a.csv", "user_id,track_id,played_at"), ("b.csv", "track_id,user_id,played_at")):
        (tmp_path / "two").mkdir(exist_ok=True)
        (tmp_path / "two" / name).write_text(f"{header}\n1,2,2025-05-01T10:00:00Z\n")
    with pytest.raises(InputError, match="different header lines"):
        ingest(store, IMPORTERS["events"](spark, str(tmp_path / "two"), config()), config(), NOW, {})


def test_a_catalogue_users_and_signals_enter_once_and_bad_ids_are_noted(spark, store, config):
    at = dt.datetime(2025, 5, 1, tzinfo=dt.UTC)
    imported = Imported(
        None,
        tracks=rows(
            spark,
            "tracks",
            {"track_id": "a", "title": "B"},
            {"track_id": "a", "title": "A"},
            {"track_id": " "},
        ),
        users=rows(spark, "users", {"user_id": "u", "explicit_policy": "allow"}),
        signals=rows(
            spark,
            "signals",
            *[{"user_id": "u", "track_id": "a", "kind": "like", "at": at}] * 2,
            {"user_id": "u", "track_id": "", "kind": "like", "at": at},
        ),
        notes=("n",),
    )
    first = ingest(store, imported, config(), NOW, {})
    assert (first.written, first.notes) == (
        {"tracks": 1, "users": 1, "signals": 1},
        (
            "n",
            "left out 1 rows of tracks without a valid track_id",
            "left out 1 rows of signals without a valid user_id or track_id, or without kind or time",
        ),
    )
    assert [row["title"] for row in store.read("tracks").collect()] == ["A"]
    assert store.read("signals").count() == 1
    before = state(store)
    assert ingest(store, imported, config(), NOW, {}).written == {}
    assert state(store) == before


def test_no_time_beyond_the_import_enters_so_none_moves_the_default_as_of(run, store):
    received = [f"{line},2025-05-01T11:00:00Z" for line in GOOD]
    future = [
        ",u1,t1,2098-12-31T00:00:00Z,S,2099-01-01T00:00:00Z",
        ",u2,t2,2025-05-01T10:00:00Z,S,2099-01-01T00:00:00Z",
    ]
    result = run([*received, *future], header=f"{HEADER},received_at")
    assert (result.accepted, result.rejected) == (60, 2)
    assert result.reasons == {"received_at_in_future": 2, "time_in_future": 1}
    moment = resolve(store, store.version("plays"), None, None)
    assert moment.as_of == dt.datetime(2025, 5, 1, 10, 59, 0, 1000, dt.UTC)
    assert moment.known_as_of == dt.datetime(2025, 5, 1, 11, 0, 0, 1000, dt.UTC)


def test_an_act_beyond_the_import_is_left_out_and_noted(spark, store, config):
    act = {"user_id": "u", "track_id": "a", "kind": "block"}
    times = [
        NOW + dt.timedelta(seconds=300),
        NOW + dt.timedelta(seconds=301),
        dt.datetime(2099, 1, 1, tzinfo=dt.UTC),
    ]
    found = ingest(
        store,
        Imported(None, signals=rows(spark, "signals", *[act | {"at": at} for at in times])),
        config(),
        NOW,
        {},
    )
    assert found.written == {"signals": 1}
    assert found.notes == (
        "left out 2 rows of signals whose time is more than ingest.max_clock_skew_s=300 seconds after the import",
    )
    assert [row["at"].replace(tzinfo=dt.UTC) for row in store.read("signals").collect()] == times[:1]
