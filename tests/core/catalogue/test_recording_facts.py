"""Tests of `recording_facts`: songs, artists, albums, tag groups, bands, days of release and sketches."""

import datetime as dt

import numpy as np
import pytest

from builders import rows
from trackpools.core.catalogue import recording_facts

DAY = dt.date(2025, 6, 1)


def facts_by_recording(spark, tracks, *, features=(), factors=(), functional=(), inflated=()):
    """Return {track_id: row of facts} of these tracks; each track is a recording of its own.

    A track may also have the keys `_listeners` and `_popularity`, which go into its card.
    """
    ids = rows(
        spark,
        "recording_ids",
        *({"recording_id": one["track_id"], "recording_idx": i} for i, one in enumerate(tracks)),
    )
    cards = rows(
        spark,
        "track_cards",
        *(
            {
                "recording_idx": i,
                "market": "*",
                "listeners": one.get("_listeners", 0),
                "popularity": one.get("_popularity", 0.0),
            }
            for i, one in enumerate(tracks)
        ),
    )
    told = rows(
        spark,
        "tracks",
        *({"available": True} | {k: v for k, v in one.items() if not k.startswith("_")} for one in tracks),
    )
    frame = recording_facts.recording_facts(
        told,
        ids,
        cards=cards,
        features=rows(spark, "recording_features", *features),
        factors=spark.createDataFrame(list(factors), "idx int, factors array<float>"),
        functional=spark.createDataFrame(list(functional), "recording_idx int, kind string"),
        inflated=spark.createDataFrame([(i,) for i in inflated], "recording_idx int"),
    )
    return {tracks[row["recording_idx"]]["track_id"]: row for row in frame.collect()}


def test_editions_of_a_recording_are_one_song_and_live_versions_and_covers_are_not(spark):
    def song(name, title, ms=200_000, artist="a", **more):
        return {"track_id": name, "title": title, "duration_ms": ms, "artist_ids": [artist]} | more

    got = facts_by_recording(
        spark,
        [
            song("first", "Blue Moon", _listeners=3),
            song("remaster", "Blue Moon - 2011 Remaster", 202_500, version_kind="remaster", _listeners=9),
            song("deluxe", "BLUE MOON (Deluxe Edition)", 204_900),
            song("live", "Blue Moon (Live)"),
            song("long", "Blue Moon", 400_000),
            song("cover", "Blue Moon", artist="b"),
            song("nameless", "???"),
            song("nameless too", "!!!"),
            {"track_id": "unknown"},
            {"track_id": "unknown too"},
        ],
    )
    songs = {name: row["song"] for name, row in got.items()}
    # The original represents the song, though more users heard the remaster. The deluxe version is 4.9 s
    # longer than the original, but the same song, because no step between neighbouring lengths exceeds 3 s.
    assert songs["first"] == songs["remaster"] == songs["deluxe"] == 0
    assert {
        name: songs[name]
        for name in ("live", "long", "cover", "nameless", "nameless too", "unknown", "unknown too")
    } == {"live": 3, "long": 4, "cover": 5, "nameless": 6, "nameless too": 7, "unknown": 8, "unknown too": 9}
    assert [got[name]["artist"] for name in ("first", "live", "cover", "unknown", "unknown too")] == [
        0,
        0,
        5,
        8,
        9,
    ]


def test_tag_groups_are_the_most_common_tags_and_unknown_facts_have_no_band(spark):
    got = facts_by_recording(
        spark,
        [
            {
                "track_id": "a",
                "tags": ["rock", "rare"],
                "tempo": 99.9,
                "original_year": 1979,
                "album_id": "x",
            },
            {"track_id": "b", "tags": ["rock", "folk"], "tempo": 130.0},
            {"track_id": "c", "tags": ["folk", "rock"], "tempo": 130.1, "album_id": "x"},
            {"track_id": "d", "tags": ["folk"]},
            {"track_id": "e", "tags": ["folk", *"123456"]},
            {"track_id": "f"},
        ],
    )
    assert {name: row["group_name"] for name, row in got.items()} == {
        "a": "rock",
        "b": "folk",
        "c": "folk",
        "d": "folk",
        "e": "folk",
        "f": None,
    }
    assert (got["b"]["tag_group"], got["a"]["tag_group"], got["f"]["tag_group"]) == (1, 2, None)
    assert [got[name]["tempo_band"] for name in "abcd"] == [0, 1, 2, None]
    assert (got["a"]["decade"], got["b"]["decade"]) == (1970, None)
    assert (got["c"]["album"], got["e"]["tags"], got["f"]["tags"]) == (0, ["folk", "1", "2", "3"], [])


def test_hits_and_deep_cuts_follow_from_popularity_and_unheard_recordings_are_neither(spark):
    heard = {"deep": 0.69, "known": 0.7, "also known": 0.94, "hit": 0.96}
    got = facts_by_recording(
        spark,
        [
            *({"track_id": name, "_listeners": 3, "_popularity": p} for name, p in heard.items()),
            {"track_id": "unheard"},
        ],
    )
    assert {name: row["popularity_band"] for name, row in got.items()} == {
        "deep": 0,
        "known": 1,
        "also known": 1,
        "hit": 2,
        "unheard": None,
    }


def test_released_is_the_first_day_of_the_rights_or_of_plays_in_the_original_year(spark):
    rights = [
        {"market": "SE", "from": DAY, "until": None},
        {"market": "DE", "from": DAY + dt.timedelta(days=9), "until": None},
    ]
    got = facts_by_recording(
        spark,
        [
            {"track_id": "told", "rights": rights},
            {"track_id": "this year", "original_year": 2025},
            {"track_id": "old", "original_year": 1974},
            {"track_id": "unknown"},
        ],
        features=[{"recording_idx": i, "first_day": DAY} for i in (1, 2, 3)],
        functional=[(1, "sleep")],
        inflated=[2],
    )
    assert {name: row["released"] for name, row in got.items()} == {
        "told": DAY,
        "this year": DAY,
        "old": None,
        "unknown": None,
    }
    assert [(row["functional"], row["inflated"]) for row in got.values()].count((None, False)) == 2
    assert (got["this year"]["functional"], got["old"]["inflated"]) == ("sleep", True)


@pytest.mark.parametrize("rank", [3, 40])
def test_sketches_keep_the_angle_whatever_the_partitions(spark, rank):
    rng = np.random.default_rng(3)
    y = rng.normal(size=(300, rank)) * np.exp2(-np.arange(rank) / 4)  # a falling spectrum, as factors have
    frame = spark.createDataFrame(
        [(i, row.tolist()) for i, row in enumerate(y)] + [(300, [0.0] * rank)],
        "idx int, factors array<float>",
    )
    found = [
        {row["idx"]: bytes(row["sketch"]) for row in recording_facts.sketches(frame.repartition(n)).collect()}
        for n in (1, 5)
    ]
    assert found[0] == found[1]
    sketch = np.stack([np.frombuffer(found[0][i], np.int8) for i in range(300)]).astype(float)
    assert not np.frombuffer(found[0][300], np.int8).any()
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    assert np.abs(sketch @ sketch.T / 127**2 - unit @ unit.T).mean() < 0.03
