"""Tests of whose history a new version of the catalogue changes."""

from builders import rows
from trackpools.core.log.track_changes import remapped_tracks, users_with_other_history

BEFORE = (
    {"track_id": "same", "title": "old title", "artist_ids": ["a"]},
    {"track_id": "moved", "recording_id": "one", "artist_ids": ["a"]},
    {"track_id": "gone", "recording_id": "other", "artist_ids": ["b"]},
    {"track_id": "gone unmapped", "artist_ids": ["c"]},
)
NOW = (
    {"track_id": "same", "title": "new title", "available": False, "artist_ids": ["a"]},
    {"track_id": "moved", "recording_id": "two", "artist_ids": ["a"]},
    {"track_id": "new", "artist_ids": ["d"]},
    {"track_id": "new and mapped", "recording_id": "one", "artist_ids": ["a", "d"]},
)


def ids(frame):
    return sorted({value for (value,) in frame.collect()})


def test_a_track_is_remapped_if_its_plays_count_for_another_recording(spark):
    before, now = rows(spark, "tracks", *BEFORE), rows(spark, "tracks", *NOW)
    assert ids(remapped_tracks(before, now)) == ["gone", "moved", "new and mapped"]
    assert ids(remapped_tracks(now, before)) == ["gone", "moved", "new and mapped"]
    assert ids(remapped_tracks(now, now)) == []


def test_users_are_found_by_plays_and_by_signals_on_tracks_and_artists(spark):
    before, now = rows(spark, "tracks", *BEFORE), rows(spark, "tracks", *NOW)
    plays = rows(
        spark,
        "plays",
        *({"user_id": f"played {name}", "track_id": name} for name in ("same", "moved", "new", "unknown")),
    )
    signals = rows(
        spark,
        "signals",
        *(
            {"user_id": f"liked {name}", "track_id": name}
            for name in ("same", "gone", "artist:a", "artist:b", "artist:d", "artist:z")
        ),
    )
    assert ids(users_with_other_history(before, now, plays, signals)) == [
        "liked artist:a",
        "liked artist:b",
        "liked artist:d",
        "liked gone",
        "played moved",
    ]
    assert ids(users_with_other_history(now, now, plays, signals)) == []
