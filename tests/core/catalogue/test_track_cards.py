"""Tests of the cards: which track is played in a market, and what a card says of it."""

import datetime as dt

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from builders import rows
from trackpools import tables as t
from trackpools.core.catalogue import track_cards
from trackpools.core.catalogue.features import has_rights, tracks_with_changed_rights
from trackpools.core.contracts.conform import conform, repeated_keys

AS_OF = dt.datetime(2025, 6, 30, 12, tzinfo=dt.UTC)
TODAY, TOMORROW = dt.date(2025, 6, 30), dt.date(2025, 7, 1)


def right(market, since=None, until=None):
    return {"market": market, "from": since, "until": until}


def build_cards_of(spark, tracks, *, markets=("SE", "DE"), heard=(), groups=None, partitions=2, extra=()):
    """Return `{(recording, market): card}` of a world with one user in each market."""
    names = sorted({track.get("recording_id") or track["track_id"] for track in tracks} | set(extra))
    ids = rows(
        spark, "recording_ids", *({"recording_id": name, "recording_idx": i} for i, name in enumerate(names))
    )
    people = spark.createDataFrame(
        [(u, market, False) for u, market in enumerate(markets)], "user_idx int, market string, clean boolean"
    )
    met = rows(
        spark,
        "interactions",
        *({"user_idx": u, "recording_idx": names.index(name)} | what for u, name, what in heard),
    )
    catalogue = rows(spark, "tracks", *({"available": True} | track for track in tracks)).repartition(
        partitions
    )
    return conform(
        track_cards.build_cards(catalogue, ids, people, met, as_of=AS_OF, groups=groups or {}), t.TRACK_CARDS
    )


def playable(frame):
    return {
        (row["recording_id"], row["market"]): (row["track_id"], row["clean_track_id"], row["available"])
        for row in frame.collect()
    }


def test_the_played_track_depends_on_market_day_version_and_policy(spark):
    found = playable(
        build_cards_of(
            spark,
            [
                {
                    "track_id": "old",
                    "recording_id": "song",
                    "version_kind": "original",
                    "explicit": True,
                    "rights": [right("SE")],
                },
                {
                    "track_id": "edit",
                    "recording_id": "song",
                    "version_kind": "radio",
                    "explicit": False,
                    "rights": [right("SE"), right("DE", until=TOMORROW)],
                },
                {
                    "track_id": "over",
                    "rights": [right("SE", until=TODAY), right("DE", since=TOMORROW)],
                    "explicit": False,
                },
                {"track_id": "gone", "available": False, "explicit": False},
                {
                    "track_id": "gone too",
                    "recording_id": "half",
                    "version_kind": "original",
                    "available": False,
                    "explicit": False,
                },
                {
                    "track_id": "still there",
                    "recording_id": "half",
                    "version_kind": "live",
                    "explicit": False,
                },
                {"track_id": "unlabelled", "explicit": None},
                {"track_id": "b", "recording_id": "twins", "popularity": 0.2, "explicit": False},
                {"track_id": "a", "recording_id": "twins", "explicit": False},
                {"track_id": "c", "recording_id": "twins", "popularity": 0.3, "explicit": True},
            ],
            extra=["only in the log"],
        )
    )
    expected = {
        "song": {"SE": ("old", "edit", True), "DE": ("edit", "edit", True), "*": (None, None, True)},
        "over": dict.fromkeys(("SE", "DE", "*"), (None, None, True)),
        "gone": dict.fromkeys(("SE", "DE", "*"), (None, None, False)),
        "half": dict.fromkeys(("SE", "DE", "*"), ("still there", "still there", True)),
        "unlabelled": dict.fromkeys(("SE", "DE", "*"), ("unlabelled", None, True)),
        "twins": dict.fromkeys(("SE", "DE", "*"), ("c", "b", True)),
        "only in the log": dict.fromkeys(("SE", "DE", "*"), ("only in the log", None, True)),
    }
    assert found == {
        (name, market): card for name, markets in expected.items() for market, card in markets.items()
    }


def test_between_two_days_without_a_change_of_rights_the_same_is_played(spark):
    """Check that what is played may differ only between days with a change of rights.

    Such a change is found by the right alone, of a track that is played in one market.
    """
    days = [dt.date(2025, 7, day) for day in range(1, 5)]
    tracks = {
        f"{since}-{until}": right("SE", since, until) for since in (None, *days) for until in (None, *days)
    }
    catalogue = rows(
        spark,
        "tracks",
        {"track_id": "free", "available": True},
        *({"track_id": name, "available": True, "rights": [one]} for name, one in tracks.items()),
    ).cache()
    everywhere = catalogue.withColumn("market", F.lit("SE"))
    holds = {
        day: {row["track_id"] for row in everywhere.where(has_rights("market", day)).collect()}
        for day in days
    }
    for one in days:
        for other in days:
            turning = {row["track_id"] for row in tracks_with_changed_rights(catalogue, one, other).collect()}
            assert turning >= holds[one] ^ holds[other]
            assert turning == {
                row["track_id"] for row in tracks_with_changed_rights(catalogue, other, one).collect()
            }
            assert turning <= {
                name for name, right_ in tracks.items() if {right_["from"], right_["until"]} & set(days)
            }
            assert one != other or not turning


def test_rights_of_a_market_hold_for_its_group(spark):
    frame = build_cards_of(
        spark,
        [{"track_id": "nordic", "rights": [right("NO")]}, {"track_id": "german", "rights": [right("DE")]}],
        markets=("nordic", "DE"),
        groups={"SE": "nordic", "NO": "nordic"},
    )
    assert {key: track for key, (track, *_) in playable(frame).items()} == {
        ("nordic", "nordic"): "nordic",
        ("german", "nordic"): None,
        ("nordic", "DE"): None,
        ("german", "DE"): "german",
        ("nordic", "*"): None,
        ("german", "*"): None,
    }


ONE = {"plays": 1}
SONGS = [
    {"track_id": "r0", "artist_ids": ["a", "b"]},
    {"track_id": "r1", "artist_ids": ["a"]},
    {"track_id": "r2", "artist_ids": ["a"]},
    {"track_id": "r3", "artist_ids": ["b"]},
    {"track_id": "r4"},
    {"track_id": "r5", "artist_ids": []},
]
HEARD = [
    (0, "r0", ONE),
    (0, "r1", {"counted": 3}),
    (1, "r1", {"rated": 0}),
    (2, "r1", ONE),
    (2, "r2", ONE),
    (1, "r3", ONE),
    (3, "r3", ONE),
    (3, "r2", {"likes": 1}),
    (0, "r3", {"blocked": True}),
]


@pytest.mark.parametrize("partitions", [1, 7])
def test_listeners_popularity_and_rank_within_the_artist(spark, partitions):
    """Check the counts by market; a like or a block does not count as listening.

    Users 0 and 1 are in SE and 2 in DE. User 3 has an unknown market and counts in the world alone.
    """
    frame = build_cards_of(spark, SONGS, markets=("SE", "SE", "DE", "*"), heard=HEARD, partitions=partitions)
    expected = [
        ("SE", 0, 1, 0.6, 2),
        ("SE", 1, 2, 1.0, 1),
        ("SE", 2, 0, 0.0, 3),
        ("SE", 3, 1, 0.6, 1),
        ("SE", 4, 0, 0.0, None),
        ("SE", 5, 0, 0.0, None),
        ("DE", 0, 0, 0.0, 3),
        ("DE", 1, 1, 0.8, 1),
        ("DE", 2, 1, 0.8, 2),
        ("DE", 3, 0, 0.0, 1),
        ("DE", 4, 0, 0.0, None),
        ("DE", 5, 0, 0.0, None),
        ("*", 0, 1, 0.4, 2),
        ("*", 1, 3, 1.0, 1),
        ("*", 2, 1, 0.4, 3),
        ("*", 3, 2, 0.8, 1),
        ("*", 4, 0, 0.0, None),
        ("*", 5, 0, 0.0, None),
    ]
    got = frame.select("market", "recording_idx", "listeners", "popularity", "artist_rank")
    schema = "market string, recording_idx int, listeners int, popularity float, artist_rank int"
    assert_df_equality(
        got,
        spark.createDataFrame(expected, schema),
        ignore_row_order=True,
        ignore_nullable=True,
        ignore_metadata=True,
    )
    assert repeated_keys(frame, t.TRACK_CARDS).count() == 0


def test_a_card_says_what_the_catalogue_says_and_no_more(spark):
    told = {
        "title": "Song",
        "artist_ids": ["a"],
        "artist_names": ["Ann"],
        "original_year": 1999,
        "duration_ms": 1000,
        "tempo": 120.0,
        "energy": 0.5,
        "explicit": False,
        "language": "sv",
        "version_kind": "original",
        "tags": ["rock"],
    }
    frame = build_cards_of(spark, [{"track_id": "t"} | told], markets=("SE",), extra=["u"])
    common = {"available": True, "listeners": 0, "popularity": 0.0}
    expected = rows(
        spark,
        "track_cards",
        *(
            {"recording_idx": i, "market": market, "recording_id": name, "track_id": name} | card | common
            for market in ("SE", "*")
            for i, (name, card) in enumerate(
                {"t": told | {"clean_track_id": "t", "artist_rank": 1}, "u": {}}.items()
            )
        ),
    )
    assert_df_equality(frame, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


def test_no_users_and_no_tracks_give_no_card(spark):
    assert build_cards_of(spark, [], markets=()).count() == 0
    assert {row["market"] for row in build_cards_of(spark, [{"track_id": "t"}], markets=()).collect()} == {
        "*"
    }
