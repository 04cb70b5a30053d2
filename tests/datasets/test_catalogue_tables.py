"""Tests of imported catalogues, profiles and signals.

An import changes only the columns that its file has, an import of plays deletes nothing, and a wrong
mapping is refused with all its problems.
"""

import datetime as dt

import pandas as pd
import pytest

from trackpools.errors import InputError
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline

QUIET = Options(quiet=True)


def import_file(config, name, path, *settings):
    return pipeline.import_log(config(*settings), QUIET, name, str(path))


def table(store, name, key):
    return {row[key]: row.asDict() for row in store.read(name).collect()}


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "catalogue.parquet"
    pd.DataFrame(
        {
            "song": ["s1", "s2"],
            "name": ["One", "Two"],
            "performer": ["The Sheds", None],
            "year": [1999, None],
            "genre": ["Rock; Indie Rock", None],
            "ms": [200_000, 180_000.0],
            "dirty": [True, None],
            "owner": ["EMI", None],
            "alive": [False, True],
            "extra": [1, 2],
        }
    ).to_parquet(path)
    return path


COLUMNS = "ingest.columns={track_id: song, title: name, artist: performer, original_year: year, tags: genre, duration_ms: ms, explicit: dirty, label: owner, available: alive}"


def test_a_catalogue_is_imported_by_its_own_column_names_and_twice_changes_nothing(
    spark, config, store, catalogue
):
    answer = import_file(config, "tracks", catalogue, COLUMNS)
    assert any("extra" in warning for warning in answer.warnings) or "extra" in str(answer.lines)
    found = table(store, "tracks", "track_id")
    one = found["s1"]
    assert (one["title"], one["artist_names"], one["original_year"], one["tags"], one["duration_ms"]) == (
        "One",
        ["The Sheds"],
        1999,
        ["rock", "indie rock"],
        200_000,
    )
    assert (one["explicit"], one["label"], one["available"]) == (True, "EMI", False)
    assert one["artist_ids"][0].startswith("name:")
    assert (found["s2"]["artist_names"], found["s2"]["original_year"], found["s2"]["available"]) == (
        None,
        None,
        True,
    )
    version = store.version("tracks")
    import_file(config, "tracks", catalogue, COLUMNS)
    assert store.version("tracks") == version


def test_a_file_changes_the_columns_it_has_and_no_others(spark, config, store, catalogue, tmp_path):
    import_file(config, "tracks", catalogue, COLUMNS)
    path = tmp_path / "energy.csv"
    path.write_text("track_id,energy\ns1,0.5\ns3,0.25\n")
    import_file(config, "tracks", path)
    found = table(store, "tracks", "track_id")
    assert (found["s1"]["energy"], found["s1"]["label"], found["s1"]["available"]) == (0.5, "EMI", False)
    assert (found["s3"]["energy"], found["s3"]["available"]) == (0.25, True)
    path = tmp_path / "cleared.json"
    path.write_text(
        '{"track_id": "s1", "label": null, "available": null, "original_year": 1999}\n{"track_id": "s2", "label": "Own", "available": true, "original_year": 2001}\n'
    )
    import_file(config, "tracks", path)
    one = table(store, "tracks", "track_id")["s1"]
    assert (one["label"], one["energy"], one["original_year"]) == (None, 0.5, 1999), "null is told too"
    assert one["available"] is False, "but what is taken down stays so until somebody says otherwise"


def test_an_import_of_plays_keeps_the_catalogue_and_what_was_taken_down(
    spark, config, store, catalogue, tmp_path
):
    import_file(config, "tracks", catalogue, COLUMNS)
    before = table(store, "tracks", "track_id")
    path = tmp_path / "plays.csv"
    path.write_text(
        "user_id,track_id,played_at,title,artist\nu1,s1,2025-06-01T10:00:00Z,Another title,Somebody\nu1,s2,2025-06-01T10:05:00Z,Two again,The Sheds\nu1,s9,2025-06-01T10:09:00Z,Nine,The Nines\n"
    )
    import_file(config, "events", path)
    after = table(store, "tracks", "track_id")
    assert after["s1"] == before["s1"]
    assert (after["s2"]["title"], after["s2"]["artist_names"], after["s2"]["duration_ms"]) == (
        "Two",
        ["The Sheds"],
        180_000,
    )
    assert (after["s9"]["title"], after["s9"]["available"]) == ("Nine", True)


def test_profiles_and_acts(spark, config, store, tmp_path):
    people = tmp_path / "people.json"
    people.write_text(
        '{"user_id": "u1", "market": "DE", "birth_band": "18-24"}\n{"user_id": "u2", "market": "SE"}\n'
    )
    import_file(config, "users", people)
    more = tmp_path / "more.csv"
    more.write_text("user_id,explicit_policy\nu1,clean\n")
    import_file(config, "users", more)
    found = table(store, "users", "user_id")
    assert (found["u1"]["market"], found["u1"]["explicit_policy"], found["u1"]["birth_band"]) == (
        "DE",
        "clean",
        "18-24",
    )
    assert found["u2"]["explicit_policy"] == "allow"
    acts = tmp_path / "acts.parquet"
    pd.DataFrame(
        {
            "user_id": ["u1"],
            "track_id": ["s1"],
            "kind": ["like"],
            "at": [dt.datetime(2025, 6, 1, tzinfo=dt.UTC)],
        }
    ).to_parquet(acts, coerce_timestamps="us")
    import_file(config, "signals", acts)
    assert store.read("signals").count() == 1


@pytest.mark.parametrize(
    ("name", "text", "problems"),
    [
        ("tracks", "song,title\ns1,One\n", ["no column track_id"]),
        ("tracks", "track_id\ns1\n", ["the only column of the file that can be imported is track_id"]),
        ("users", "id,market\nu,DE\n", ["no column user_id"]),
        ("signals", "user_id,track_id\nu,s\n", ["no column kind", "no column at"]),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_every_problem(
    spark, config, tmp_path, name, text, problems
):
    path = tmp_path / "file.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        import_file(config, name, path)
    assert [any(problem in told for told in refused.value.problems) for problem in problems] == [True] * len(
        problems
    )


def test_a_mapping_to_a_missing_column_is_refused(spark, config, catalogue):
    with pytest.raises(InputError) as refused:
        import_file(config, "tracks", catalogue, "ingest.columns={track_id: song, title: nmae}")
    assert refused.value.problems == ["there is no column title (mapped to nmae)"]


def write_parquet(tmp_path, name, **columns):
    path = tmp_path / f"{name}.parquet"
    pd.DataFrame(columns).to_parquet(path, coerce_timestamps="us")
    return path


def test_common_formats_of_services_are_understood(spark, config, store, tmp_path):
    """Check dates of release, numeric artist ids, countries, ages, upper case, and times as numbers."""
    path = write_parquet(
        tmp_path,
        "catalogue",
        track_id=["s1", "s2"],
        artist=["The Sheds", None],
        artist_id=[7, 8],
        original_year=[dt.date(1999, 5, 1), None],
        rights=[["DE", "SE"], None],
        tags=["Rock", "Pop"],
    )
    import_file(config, "tracks", path)
    found = table(store, "tracks", "track_id")
    assert (found["s1"]["artist_ids"], found["s2"]["artist_ids"], found["s1"]["original_year"]) == (
        ["7"],
        ["8"],
        1999,
    )
    assert [tuple(right) for right in found["s1"]["rights"]] == [("DE", None, None), ("SE", None, None)]
    assert found["s2"]["rights"] is None
    rights = tmp_path / "rights.json"
    rights.write_text(
        '{"track_id": "s1", "rights": [{"market": "NO", "until": "2026-01-01"}], "original_year": "2001-02-03"}\n'
    )
    import_file(config, "tracks", rights)
    found = table(store, "tracks", "track_id")
    assert [right.asDict() for right in found["s1"]["rights"]] == [
        {"market": "NO", "from": None, "until": dt.date(2026, 1, 1)}
    ]
    assert found["s1"]["original_year"] == 2001
    import_file(
        config,
        "users",
        write_parquet(
            tmp_path, "people", user_id=["u1", "u2"], birth_band=[16, 40], explicit_policy=["Clean", None]
        ),
    )
    people = table(store, "users", "user_id")
    assert [(people[user]["birth_band"], people[user]["explicit_policy"]) for user in ("u1", "u2")] == [
        ("16", "clean"),
        ("40", "allow"),
    ]
    import_file(
        config,
        "signals",
        write_parquet(
            tmp_path, "acts", user_id=["u1"], track_id=["s1"], kind=["BLOCK"], at=[1_748_772_000_000]
        ),
    )
    (act,) = store.read("signals").collect()
    assert (act["kind"], act["at"].astimezone(dt.UTC)) == (
        "block",
        dt.datetime(2025, 6, 1, 10, tzinfo=dt.UTC),
    )


@pytest.mark.parametrize(
    ("name", "columns", "problem"),
    [
        (
            "tracks",
            {"track_id": ["s1", "s2"], "available": ["live", "removed"]},
            "available (column 'available'): 2 values cannot be read, such as 'removed'; it must be true or false",
        ),
        (
            "tracks",
            {"track_id": ["s1"], "rights": [[{"market": "DE", "from": "01.02.2025"}]]},
            "rights (column 'rights'): 1 value",
        ),
        (
            "tracks",
            {"track_id": ["s1"], "rights": [5]},
            "rights (column 'rights') is bigint; it must be a list of countries",
        ),
        (
            "tracks",
            {"track_id": ["s1"], "duration_ms": [["a"]]},
            "duration_ms (column 'duration_ms') is array<string>; it must be a whole number",
        ),
        (
            "users",
            {"user_id": ["u1", "u2"], "birth_band": ["2010", "18-24"]},
            "birth_band (column 'birth_band'): 1 value cannot be read, such as '2010'",
        ),
        ("users", {"user_id": ["u1"], "birth_band": [2010]}, "not a year of birth"),
        (
            "users",
            {"user_id": ["u1"], "explicit_policy": [True]},
            "explicit_policy (column 'explicit_policy') is boolean; it must be allow or clean",
        ),
        ("users", {"user_id": ["u1"], "explicit_policy": ["yes"]}, "it must be allow or clean"),
        (
            "signals",
            {"user_id": ["u"], "track_id": ["s"], "kind": ["ban"], "at": [0]},
            "it must be like, dislike, save, block or undo",
        ),
        (
            "signals",
            {"user_id": ["u"], "track_id": ["s"], "kind": ["block"], "at": ["yesterday"]},
            "at (column 'at'): 1 value",
        ),
    ],
)
def test_columns_that_decide_what_may_be_heard_are_read_or_refused(
    spark, config, store, tmp_path, name, columns, problem
):
    """Check that a catalogue with a word of its own for "removed" does not enter as available."""
    with pytest.raises(InputError) as refused:
        import_file(config, name, write_parquet(tmp_path, "odd", **columns))
    assert problem in str(refused.value.problems)
    assert not store.exists(name)


def test_harmless_values_that_cannot_be_read_become_null_and_are_reported(spark, config, store, tmp_path):
    answer = import_file(
        config, "tracks", write_parquet(tmp_path, "odd", track_id=["s1", "s2"], tempo=["fast", "120"])
    )
    assert (
        "tempo (column 'tempo'): 1 value cannot be read, such as 'fast', and became null; a value must be a number"
        in answer.warnings
    )
    found = table(store, "tracks", "track_id")
    assert (found["s1"]["tempo"], found["s2"]["tempo"]) == (None, 120.0)
    assert answer.lines[0].startswith("tracks: 2 rows new or changed")
    again = import_file(
        config, "tracks", write_parquet(tmp_path, "odd", track_id=["s1", "s2"], tempo=["fast", "120"])
    )
    assert again.lines[0].startswith("tracks: nothing new")


def test_a_mapped_column_that_is_not_used_is_refused(spark, config, catalogue, tmp_path):
    with pytest.raises(InputError) as refused:
        import_file(config, "tracks", catalogue, "ingest.columns={track_id: song, market: owner}")
    assert refused.value.problems == [
        "there is no column market in table tracks, but ingest.columns maps it to owner"
    ]
    with pytest.raises(InputError) as refused:
        import_file(
            config,
            "events",
            write_parquet(
                tmp_path,
                "plays",
                user_id=["u"],
                track_id=["s"],
                played_at=["2025-06-01T10:00:00Z"],
                owner=["EMI"],
            ),
            "ingest.columns={label: owner}",
        )
    assert (
        "ingest.columns maps label to 'owner', but a log of plays has no column label"
        in refused.value.problems[0]
    )


def test_a_column_of_nulls_is_null_whatever_type_the_writer_gave_it(spark, config, store, tmp_path):
    import_file(
        config,
        "tracks",
        write_parquet(
            tmp_path,
            "nulls",
            track_id=["s1"],
            title=["One"],
            rights=[None],
            artist_names=[None],
            original_year=[None],
        ),
    )
    one = table(store, "tracks", "track_id")["s1"]
    assert (one["title"], one["rights"], one["artist_names"], one["original_year"]) == (
        "One",
        None,
        None,
        None,
    )
    import_file(
        config,
        "users",
        write_parquet(tmp_path, "people", user_id=["u1"], explicit_policy=[None], birth_band=[None]),
    )
    assert table(store, "users", "user_id")["u1"]["explicit_policy"] == "allow"


def test_a_catalogue_that_ends_too_soon_is_refused(spark, config, store, tmp_path):
    path = write_parquet(
        tmp_path, "cut", track_id=[f"s{i}" for i in range(5000)], title=[f"title {i}" for i in range(5000)]
    )
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\0" * 2000 + whole[2100:])
    with pytest.raises(InputError, match="cannot be read to its end"):
        import_file(config, "tracks", path)
    assert not store.exists("tracks")
