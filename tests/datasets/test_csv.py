"""Tests of CSV values with quotes, commas, backslashes and line breaks: all importers read them alike."""

import csv
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trackpools.datasets import IMPORTERS
from trackpools.errors import InputError
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline

NASTY = [
    'He said "no", and left',
    '"',
    '""',
    '"""quoted"""',
    ",",
    ',,"',
    '12" mix',
    'ends in "',
    '"starts',
    "back\\slash",
    "ends in a backslash\\",
    '\\"',
    '\\,"\\',
    "\\N",
    "\\",
    " padded ",
    "\ttab\t",
    "'single'",
    "#1",
    ";",
    "a;b",
    "|",
    "null",
    "NULL",
    "NaN",
    "true",
    "-",
    "",
    "\ufeffmark",
    "line\u2028separator",
    "next\x85line",
    "vertical\x0btab",
    "form\x0cfeed",
    "Ænima",
    "日本語",
    "🎵",
]
# A line break would end a row, and a file in UTF-8 holds no surrogates.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12) | st.text(
    st.sampled_from('",\\; a'), max_size=8
)


def write_csv(path, rows, *, delimiter=","):
    """Write rows as Python's csv module does, because users write their files with it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return str(path)


def import_file(config, name, path, *options):
    return pipeline.import_log(config(*options), Options(quiet=True), name, path)


def read_titles(spark, config, path, *options):
    """Return {track id: (title, artist names)} as `import events` and as `import tracks` read it."""
    conf = config(*options)
    events = (
        IMPORTERS["events"](spark, path, conf)
        .plays.select("track_id", "track.title", "track.artist_names", "broken")
        .collect()
    )
    assert not any(row["broken"] for row in events)
    tracks = (
        IMPORTERS["tracks"](spark, path, conf).tracks.select("track_id", "title", "artist_names").collect()
    )
    return [
        {row["track_id"]: (row["title"], row["artist_names"]) for row in rows} for rows in (events, tracks)
    ]


def as_written(titles):
    """Return {track id: (title, artist names)} as CSV keeps it: an empty text is the same as none."""
    return {f"t{at}": (title or None, [title] if title else None) for at, title in enumerate(titles)}


def plays_of(titles):
    rows = [[f"t{at}", title, title, "u", "2025-05-01T10:00:00Z"] for at, title in enumerate(titles)]
    return [["track_id", "title", "artist", "user_id", "played_at"], *rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_pythons_csv_module_writes_is_read_as_it_was_whatever_the_title(
    spark, config, tmp_path, delimiter
):
    path = write_csv(tmp_path / "log.csv", plays_of(NASTY), delimiter=delimiter)
    events, tracks = read_titles(spark, config, path, f"ingest.separator={json.dumps(delimiter)}")
    assert events == as_written(NASTY)
    assert tracks == as_written(NASTY)


def test_what_pythons_csv_module_writes_is_read_as_it_was_for_any_text(spark, config, tmp_path):
    @settings(max_examples=6, deadline=None)
    @given(st.lists(TEXTS, min_size=20, max_size=80))
    @example(NASTY)
    def reads_back(titles):
        path = write_csv(tmp_path / "log.csv", plays_of(titles))
        events, tracks = read_titles(spark, config, path)
        assert events == as_written(titles)
        assert tracks == as_written(titles)

    reads_back()


def test_quotes_in_a_title_move_nothing_into_the_rights(spark, config, store, tmp_path):
    """Check that words after a doubled quote do not move into the next columns.

    They once did, and gave a right in a market called Coldplay.
    """
    rows = [
        ["s1", 'Say "yes", Coldplay', "DE;SE", "true"],
        ["s2", "Plain", "NO", "false"],
        ["s3", "C:\\", "FI", "true"],
    ]
    import_file(
        config,
        "tracks",
        write_csv(tmp_path / "catalogue.csv", [["track_id", "title", "rights", "available"], *rows]),
    )
    found = {row["track_id"]: row for row in store.read("tracks").collect()}
    assert {key: row["title"] for key, row in found.items()} == {
        "s1": 'Say "yes", Coldplay',
        "s2": "Plain",
        "s3": "C:\\",
    }
    assert {key: [right["market"] for right in row["rights"]] for key, row in found.items()} == {
        "s1": ["DE", "SE"],
        "s2": ["NO"],
        "s3": ["FI"],
    }
    assert {key: row["available"] for key, row in found.items()} == {"s1": True, "s2": False, "s3": True}


def test_profiles_and_acts_are_read_in_the_same_way(spark, config, store, tmp_path):
    import_file(
        config,
        "users",
        write_csv(tmp_path / "users.csv", [["user_id", "market", "birth_band"], ['u"1,\\', "DE", "<18"]]),
    )
    assert [(row["user_id"], row["market"], row["birth_band"]) for row in store.read("users").collect()] == [
        ('u"1,\\', "DE", "<18")
    ]
    acts = [["user_id", "track_id", "kind", "at"], ['u"1,\\', 's,"', "block", "2025-06-01T10:00:00Z"]]
    import_file(config, "signals", write_csv(tmp_path / "signals.csv", acts))
    assert [(row["user_id"], row["track_id"], row["kind"]) for row in store.read("signals").collect()] == [
        ('u"1,\\', 's,"', "block")
    ]


# A line break in quotes makes two broken lines, as in `import events`.
BROKEN = 's1,"One\nhalf",5\ns2,Two\ns3,Three,7,8\ns4,Four,9\n'


def test_lines_that_cannot_be_split_are_left_out_and_reported(spark, config, store, tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text(f"track_id,title,tempo\n{BROKEN}")
    answer = import_file(config, "tracks", str(path))
    assert {row["track_id"]: (row["title"], row["tempo"]) for row in store.read("tracks").collect()} == {
        "s4": ("Four", 9.0)
    }
    (told,) = [warning for warning in answer.warnings if "lines" in warning]
    assert told.startswith("left out 4 lines that cannot be split into 3 columns, such as ")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("tracks", "track_id,title,available"),
        ("tracks", "track_id,title,rights"),
        ("users", "user_id,market,birth_band"),
    ],
)
def test_a_file_that_decides_what_may_be_heard_is_refused_where_lines_cannot_be_split(
    spark, config, store, tmp_path, name, header
):
    path = tmp_path / "file.csv"
    path.write_text(f"{header}\na,b,1\na\n")
    with pytest.raises(InputError) as refused:
        import_file(config, name, str(path))
    assert any(
        "1 line that cannot be split into 3 columns, such as 'a'" in problem
        for problem in refused.value.problems
    )
    assert not store.exists(name)


def test_folders_and_tab_separated_files_are_read_as_a_log_is(spark, config, store, tmp_path):
    """Check that only .csv and .tsv files are data, and that .tsv implies its separator."""
    (tmp_path / "catalogue").mkdir()
    write_csv(
        tmp_path / "catalogue" / "one.tsv", [["track_id", "title"], ["s1", 'Tab "A", B']], delimiter="\t"
    )
    (tmp_path / "catalogue" / "README.txt").write_text("a note\n")
    import_file(config, "tracks", str(tmp_path / "catalogue"))
    assert [(row["track_id"], row["title"]) for row in store.read("tracks").collect()] == [
        ("s1", 'Tab "A", B')
    ]
