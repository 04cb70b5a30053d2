"""Tests of the recording table: the facts of recordings reach every task, whatever rows the task has."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from builders import rows
from trackpools.core.arrays.recording_table import (
    AXES,
    FUNCTIONAL,
    HAS_FACTS,
    INFLATED,
    STRIPE,
    UNKNOWN_DAY,
    Reader,
    RecordingTable,
    packed_shelf,
    with_shelf,
)


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
        {"recording_idx": STRIPE + 1, "song": 5, "artist": 5, "album": 5},
    )


def test_facts_become_arrays(spark):
    (row,) = packed_shelf(facts(spark)).toArrow().to_pylist()
    shelf = RecordingTable.from_stripes(
        packed_shelf(facts(spark)).toArrow()["shelf"].combine_chunks().flatten()
    )
    assert len(row["shelf"]) == 2
    assert len(shelf) == 2 * STRIPE
    got = shelf.rows_of(np.array([2, STRIPE + 1, 1, 10 * STRIPE]))
    assert (got.song.tolist(), got.artist.tolist(), got.album.tolist()) == (
        [1, 5, 1, 10 * STRIPE],
        [0, 5, 1, 10 * STRIPE],
        [2, 5, 1, 10 * STRIPE],
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


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_every_task_has_the_shelf_whatever_its_rows(spark, partitions):
    def read(batches):
        reader = Reader()
        for batch in batches:
            for i in range(batch.num_rows):
                row = batch.slice(i, 1)
                yield pa.RecordBatch.from_pydict(
                    {"id": row["id"], "artist": pa.array([int(reader.of(row).artist[2])], pa.int32())}
                )

    users = with_shelf(spark.range(40).repartition(partitions, "id"), packed_shelf(facts(spark)))
    found = users.mapInArrow(read, "id long, artist int").collect()
    assert sorted(row["id"] for row in found) == list(range(40))
    assert {row["artist"] for row in found} == {0}


def test_an_empty_catalogue_is_a_shelf_without_rows(spark):
    assert (
        len(
            RecordingTable.from_stripes(
                packed_shelf(rows(spark, "recording_facts")).toArrow()["shelf"].combine_chunks().flatten()
            )
        )
        == 0
    )
    assert RecordingTable.blank(0).rows_of(np.array([3])).song.tolist() == [3]


def test_moved_rows_are_reported():
    with pytest.raises(ValueError, match="has no recording table"):
        Reader().of(pa.RecordBatch.from_pydict({"shelf": pa.array([None], pa.list_(pa.int32()))}))
