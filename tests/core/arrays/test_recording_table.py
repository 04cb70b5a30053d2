"""Tests of the recording table, in which facts are looked up by the number of a recording."""

import datetime as dt

import numpy as np

from builders import rows
from trackpools.core.arrays.recording_table import (
    AXES,
    FUNCTIONAL,
    HAS_FACTS,
    INFLATED,
    UNKNOWN_DAY,
    RecordingTable,
)

LAST = 70_000  # the greatest number of a recording


def facts(spark):
    return rows(
        spark,
        "recording_facts",
        {
            "recording_idx": 2,
            "song": 1,
            "artist": 0,
            "album": 2,
            "decade": 1970,
            "tempo_band": 0,
            "tag_group": 31,
            "popularity_band": 2,
            "tags": ["rock", "folk"],
            "released": dt.date(1970, 1, 11),
            "listeners": 7,
            "functional": "sleep",
            "inflated": True,
            "sketch": bytes(range(AXES)),
        },
        {"recording_idx": LAST, "song": 5, "artist": 5, "album": 5},
    )


def test_facts_become_arrays(spark):
    table = RecordingTable.from_arrow(facts(spark).orderBy("album").toArrow())
    assert len(table) == LAST + 1
    got = table.rows_of(np.array([2, LAST, 1, 10 * LAST]))
    assert (got.song.tolist(), got.artist.tolist(), got.album.tolist()) == (
        [1, 5, 1, 10 * LAST],
        [0, 5, 1, 10 * LAST],
        [2, 5, 1, 10 * LAST],
    )
    assert (got.decade.tolist(), got.tempo.tolist(), got.group.tolist()) == (
        [8, 0, 0, 0],
        [1, 0, 0, 0],
        [31, 0, 0, 0],
    )
    assert got.band.tolist() == [3, 0, 0, 0]
    assert got.released.tolist() == [10, *[UNKNOWN_DAY] * 3]
    assert got.marks.tolist() == [INFLATED | FUNCTIONAL | HAS_FACTS, HAS_FACTS, 0, 0]
    assert got.sketch.tolist() == [list(range(AXES)), *[[0] * AXES] * 3]
    assert [(row > 0).sum() for row in got.tags] == [2, 0, 0, 0]
    assert got.listeners.tolist() == [7, 0, 0, 0]


def test_a_release_from_before_a_column_was_there_can_be_read(spark):
    old = RecordingTable.from_arrow(facts(spark).drop("popularity_band").toArrow())
    assert (old.band[2], old.decade[2]) == (0, 8)


def test_an_empty_catalogue_is_a_table_without_rows(spark):
    assert len(RecordingTable.from_arrow(rows(spark, "recording_facts").toArrow())) == 0
    assert RecordingTable.blank(0).rows_of(np.array([3])).song.tolist() == [3]
