"""Tests of decoded pools: stored codes become tracks, names of sources and sentences."""

import datetime as dt

from chispa import assert_df_equality

from builders import rows
from trackpools.core.serving import decode
from trackpools.core.sources import dictionary

LONG = (
    "user_id string, rank int, track_id string, recording_id string, title string, artists array<string>, original_year int, score float, "
    "sources array<string>, reason string, plays short, last_day date"
)


def candidate(recording, **given):
    """Return a candidate as `pools` stores it."""
    return {
        "recording": recording,
        "score": 0.5,
        "sources": 1,
        "reason": 0,
        "reason_arg": 1,
        "plays": 0,
        "last_day": None,
        "propensity": 1.0,
    } | given


def test_a_pool_reads_as_tracks_names_of_sources_and_sentences(spark):
    pools = rows(
        spark,
        "pools",
        {
            "user_idx": 0,
            "candidates": [
                candidate(7, sources=3, reason=1, reason_arg=12, plays=12, last_day=20000),
                candidate(5, sources=2, reason=2, reason_arg=4, score=0.25),
            ],
        },
        {"user_idx": 1, "candidates": [candidate(5, reason_arg=9)]},
        {"user_idx": 2, "candidates": []},
        {"user_idx": 3, "candidates": [candidate(7)]},
    )
    listeners = spark.createDataFrame(
        [(0, "anna", "SE", False), (1, "bo", "SE", True), (2, "cy", "SE", False)],
        "user_idx int, user_id string, market string, clean boolean",
    )
    cards = rows(
        spark,
        "track_cards",
        {
            "recording_idx": 5,
            "market": "SE",
            "track_id": "t5",
            "clean_track_id": "t5-clean",
            "recording_id": "r5",
            "title": "Five",
            "artist_ids": ["a1"],
            "artist_names": ["Ann"],
        },
        {"recording_idx": 5, "market": "DE", "track_id": "t5-de", "recording_id": "r5"},
        {
            "recording_idx": 7,
            "market": "SE",
            "track_id": "t7",
            "recording_id": "r7",
            "title": "Seven",
            "artist_ids": ["a2"],
            "original_year": 1999,
        },
    )
    expected = [
        (
            "anna",
            1,
            "t7",
            "r7",
            "Seven",
            ["a2"],
            1999,
            0.5,
            ["als", "popular"],
            "played 12 × and near your listening",
            12,
            dt.date(2024, 10, 4),
        ),
        ("anna", 2, "t5", "r5", "Five", ["Ann"], None, 0.25, ["popular"], "number 4 in your market", 0, None),
        (
            "bo",
            1,
            "t5-clean",
            "r5",
            "Five",
            ["Ann"],
            None,
            0.5,
            ["als"],
            "number 9 of what is near your listening",
            0,
            None,
        ),
    ]
    got = decode.pools_long(pools, listeners, cards, dictionary())
    assert_df_equality(
        got, spark.createDataFrame(expected, LONG), ignore_row_order=True, ignore_nullable=True
    )


def test_an_audit_reads_as_names_places_and_rules_of_the_sampled_alone(spark):
    seen = [
        {"recording": 5, "source": 0, "rank": 2, "place": 1, "rule": None},
        {"recording": 5, "source": 1, "rank": 9, "place": 1, "rule": None},
        {"recording": 8, "source": 1, "rank": 1, "place": None, "rule": "rights"},
        {"recording": 5, "source": 30, "rank": 3, "place": None, "rule": None},
    ]
    pools = rows(spark, "pools", {"user_idx": 0, "audit": seen}, {"user_idx": 1, "audit": None})
    listeners = spark.createDataFrame(
        [(0, "anna", "SE"), (1, "bo", "SE")], "user_idx int, user_id string, market string"
    )
    cards = rows(
        spark,
        "track_cards",
        {"recording_idx": 5, "market": "SE", "recording_id": "r5", "title": "Five"},
        {"recording_idx": 5, "market": "DE", "recording_id": "r5"},
    )
    expected = [
        ("anna", "r5", "Five", "als", 2, 1, None),
        ("anna", "r5", "Five", "popular", 9, 1, None),
        ("anna", None, None, "popular", 1, None, "rights"),
        ("anna", "r5", "Five", None, 3, None, None),
    ]
    schema = (
        "user_id string, recording_id string, title string, source string, rank int, place short, rule string"
    )
    assert_df_equality(
        decode.pools_audit(pools, listeners, cards, dictionary()),
        spark.createDataFrame(expected, schema),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_unknown_codes_become_null_and_unknown_bits_are_skipped(spark):
    frame = spark.createDataFrame([(1, 0, 3), (1 << 20, 99, 3), (0, 3, 5)], "sources int, reason int, n int")
    names = decode.source_names(frame["sources"], dictionary())
    sentence = decode.reason_sentence(frame["reason"], frame["n"], dictionary())
    assert [tuple(row) for row in frame.select(names, sentence).collect()] == [
        (["als"], "number 3 of what is near your listening"),
        ([], None),
        ([], "played 5 × and heard in your market"),
    ]


def test_more_than_ten_sources_keep_their_order(spark):
    many = {f"source.{bit}": f"s{bit}" for bit in range(12)}
    frame = spark.createDataFrame([(0b1100_0000_0101,)], "sources int")
    assert frame.select(decode.source_names(frame["sources"], many)).first()[0] == ["s0", "s2", "s10", "s11"]
