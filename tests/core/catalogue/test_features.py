"""Tests of the features of users and recordings, counted by hand."""

import datetime as dt

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from builders import rows
from trackpools import tables as t
from trackpools.core.catalogue import features
from trackpools.core.contracts.conform import conform

AS_OF = dt.datetime(2025, 6, 30, 12, tzinfo=dt.UTC)
NEW, MONTH_EDGE, OLD, ANCIENT = (AS_OF.date() - dt.timedelta(days=n) for n in (3, 28, 100, 400))
FACTS = "recording_idx int, artist string, tags array<string>, original_year int, language string"


def facts_frame(spark):
    return spark.createDataFrame(
        [
            (0, "Ann", ["rock", "live"], 1999, "sv"),
            (1, "Bob", ["rock"], 1991, "en"),
            (2, "Ann", ["pop"], 2010, "sv"),
            (3, None, None, None, None),
            (4, "Cy", ["pop"], 2005, "en"),
        ],
        FACTS,
    )


def days_of(spark):
    """Return the daily plays of users 0 and 1.

    User 0 plays recording 0 now and long ago, 1 at the edge of the month and 2 a hundred days ago. User 1
    plays 3 and 4 in the last days.
    """
    given = [
        (0, 0, NEW, 4, 1),
        (0, 0, ANCIENT, 2, 0),
        (0, 1, MONTH_EDGE, 6, 0),
        (0, 2, OLD, 4, 2),
        (1, 3, NEW, 3, 0),
        (1, 4, NEW, 1, 0),
    ]
    return rows(
        spark,
        "plays_daily",
        *(
            dict(zip(("user_idx", "recording_idx", "day", "plays", "early_skips"), day, strict=True))
            for day in given
        ),
    )


def interactions_of(spark):
    return rows(
        spark,
        "interactions",
        {
            "user_idx": 0,
            "recording_idx": 0,
            "mass": 5.0,
            "plays": 6,
            "skips": 1,
            "first_day": ANCIENT,
            "last_day": NEW,
        },
        {
            "user_idx": 0,
            "recording_idx": 1,
            "mass": 6.0,
            "plays": 6,
            "first_day": MONTH_EDGE,
            "last_day": MONTH_EDGE,
        },
        {
            "user_idx": 0,
            "recording_idx": 2,
            "mass": 2.0,
            "plays": 4,
            "skips": 2,
            "first_day": OLD,
            "last_day": OLD,
        },
        {"user_idx": 1, "recording_idx": 3, "mass": 3.0, "plays": 3, "first_day": NEW, "last_day": NEW},
        {"user_idx": 1, "recording_idx": 4, "mass": 1.0, "plays": 1, "first_day": NEW, "last_day": NEW},
        {"user_idx": 2, "recording_idx": 4, "counted": 7},
        {"user_idx": 2, "recording_idx": 0, "rated": 1},
        {"user_idx": 2, "recording_idx": 1, "likes": 1},
        {"user_idx": 3, "recording_idx": 0, "blocked": True},
    )


def expected_users(spark):
    empty = {f"{kind}_{window}": [] for kind in ("artists", "tags") for window in ("28d", "180d", "life")} | {
        "decades": [],
        "languages": [],
        "novelty": None,
    }
    return rows(
        spark,
        "user_features",
        {
            "user_idx": 0,
            "recordings": 3,
            "plays": 16,
            "plays_28d": 4,
            "active_days": 4,
            "skip_rate": 3 / 16,
            "activity_decile": 10,
            "profile": empty
            | {
                "artists_28d": ["Ann"],
                "artists_180d": ["Ann", "Bob"],
                "artists_life": ["Ann", "Bob"],
                "tags_28d": ["live", "rock"],
                "tags_180d": ["rock", "live", "pop"],
                "tags_life": ["rock", "live", "pop"],
                "decades": [1990, 2010],
                "languages": ["sv", "en"],
                "novelty": 0.0,
            },
        },
        {
            "user_idx": 1,
            "recordings": 2,
            "plays": 4,
            "plays_28d": 4,
            "active_days": 1,
            "skip_rate": 0.0,
            "activity_decile": 1,
            "profile": empty
            | {
                "artists_28d": ["Cy"],
                "artists_180d": ["Cy"],
                "artists_life": ["Cy"],
                "tags_28d": ["pop"],
                "tags_180d": ["pop"],
                "tags_life": ["pop"],
                "decades": [2000],
                "languages": ["en"],
                "novelty": 1.0,
            },
        },
        {
            "user_idx": 2,
            "recordings": 2,
            "plays": 8,
            "plays_28d": 0,
            "active_days": 0,
            "activity_decile": 5,
            "profile": empty
            | {
                "artists_life": ["Cy", "Ann"],
                "tags_life": ["pop", "live", "rock"],
                "decades": [2000, 1990],
                "languages": ["en", "sv"],
            },
        },
    )


@pytest.mark.parametrize("partitions", [1, 7])
def test_user_features_of_a_tiny_world_whatever_the_partitions(spark, partitions):
    """Check that user 2 has totals and a rating but no day; user 3 only blocked something and has no row."""
    frames = (
        frame.repartition(partitions)
        for frame in (interactions_of(spark), days_of(spark), facts_frame(spark))
    )
    got = conform(features.user_features(*frames, rows(spark, "not_taste"), AS_OF), t.USER_FEATURES)
    assert_df_equality(
        got, expected_users(spark), ignore_row_order=True, ignore_nullable=True, ignore_metadata=True
    )


def test_recording_features_of_a_tiny_world(spark, config):
    weights = config(
        "weights.half_life_days=10000.0", f"weights.landmark={AS_OF.date()}", "weights.saturation=1.0"
    ).weights
    got = conform(
        features.recording_features(
            interactions_of(spark), days_of(spark), rows(spark, "not_taste"), weights, AS_OF
        ),
        t.RECORDING_FEATURES,
    )
    expected = rows(
        spark,
        "recording_features",
        {
            "recording_idx": 0,
            "listeners": 2,
            "plays": 7,
            "plays_28d": 4,
            "weight": 2.791759,
            "skip_rate": 1 / 6,
            "first_day": ANCIENT,
            "last_day": NEW,
        },
        {
            "recording_idx": 1,
            "listeners": 1,
            "plays": 6,
            "plays_28d": 0,
            "weight": 2.94591,
            "skip_rate": 0.0,
            "first_day": MONTH_EDGE,
            "last_day": MONTH_EDGE,
        },
        {
            "recording_idx": 2,
            "listeners": 1,
            "plays": 4,
            "weight": 1.098612,
            "skip_rate": 0.5,
            "first_day": OLD,
            "last_day": OLD,
        },
        {
            "recording_idx": 3,
            "listeners": 1,
            "plays": 3,
            "plays_28d": 3,
            "weight": 1.386294,
            "skip_rate": 0.0,
            "first_day": NEW,
            "last_day": NEW,
        },
        {
            "recording_idx": 4,
            "listeners": 2,
            "plays": 8,
            "plays_28d": 1,
            "weight": 2.772589,
            "skip_rate": 0.0,
            "first_day": NEW,
            "last_day": NEW,
        },
    )
    assert_df_equality(got, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


def test_tops_are_cut_and_ties_go_by_name(spark):
    facts = spark.createDataFrame(
        [(r, f"artist {9 - r}", ["same", f"tag {r}"], 1900 + 10 * r, None) for r in range(9)], FACTS
    )
    heard = rows(
        spark, "interactions", *({"recording_idx": r, "plays": 2 if r == 8 else 1} for r in range(9))
    )
    profile = features.user_features(
        heard, rows(spark, "plays_daily"), facts, rows(spark, "not_taste"), AS_OF
    ).first()["profile"]
    assert profile["artists_life"] == ["artist 1", "artist 2", "artist 3", "artist 4", "artist 5"]
    assert profile["tags_life"] == ["same", "tag 8", "tag 0", "tag 1", "tag 2"]
    assert (profile["decades"], profile["languages"], profile["artists_28d"]) == ([1980, 1900, 1910], [], [])


def test_activity_deciles_cut_the_listeners_into_tenths(spark):
    heard = rows(spark, "interactions", *({"user_idx": u, "plays": u + 1} for u in range(100)))
    got = features.user_features(
        heard, rows(spark, "plays_daily"), facts_frame(spark), rows(spark, "not_taste"), AS_OF
    ).select("activity_decile", "plays")
    assert {
        (row["activity_decile"], row["count"]) for row in got.groupBy("activity_decile").count().collect()
    } == {(d, 10) for d in range(1, 11)}
    assert got.where(F.col("activity_decile") != F.ceil(F.col("plays") / 10)).count() == 0


def test_listeners_of_equal_activity_share_a_decile(spark):
    heard = rows(spark, "interactions", *({"user_idx": u, "plays": 3} for u in range(12)))
    got = features.user_features(
        heard, rows(spark, "plays_daily"), facts_frame(spark), rows(spark, "not_taste"), AS_OF
    )
    assert [row[0] for row in got.select("activity_decile").distinct().collect()] == [1]


def test_the_most_original_version_speaks_for_a_recording(spark):
    tracks = rows(
        spark,
        "tracks",
        {
            "track_id": "remaster",
            "recording_id": "r",
            "version_kind": "remaster",
            "popularity": 0.9,
            "title": "Song (Remaster)",
            "artist_ids": ["a"],
            "artist_names": ["Ann"],
        },
        {
            "track_id": "b",
            "recording_id": "r",
            "version_kind": "original",
            "popularity": 0.5,
            "title": "Song b",
            "artist_ids": ["a"],
            "artist_names": ["Ann"],
        },
        {
            "track_id": "a",
            "recording_id": "r",
            "popularity": 0.5,
            "title": "Song",
            "artist_ids": ["a"],
            "artist_names": ["Ann"],
            "original_year": 1970,
        },
        {"track_id": "unknown", "recording_id": "r", "title": "nobody told how popular"},
        {"track_id": "live", "version_kind": "live", "title": "Alone", "artist_ids": ["b"]},
        {"track_id": "bare"},
        {"track_id": "strange"},
    )
    assert {row["recording_id"]: row["track_id"] for row in features.preferred_tracks(tracks).collect()} == {
        "r": "a",
        "live": "live",
        "bare": "bare",
        "strange": "strange",
    }
    ids = rows(
        spark,
        "recording_ids",
        *(
            {"recording_id": name, "recording_idx": i}
            for i, name in enumerate(("r", "live", "bare", "only in the log"))
        ),
    )
    expected = spark.createDataFrame(
        [(0, "Ann", None, 1970, None), (1, "b", None, None, None), (2, None, None, None, None)], FACTS
    )
    assert_df_equality(
        features.catalogue_facts(tracks, ids), expected, ignore_row_order=True, ignore_nullable=True
    )
