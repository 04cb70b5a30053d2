"""Tests of the quarantine: how raw rows are read, and which are refused with which reasons."""

import datetime as dt
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import types as T

from bad_rows import BAD, COUNT, GOOD, NOW, RATING
from trackpools.config.loading import load_config
from trackpools.core.log.quarantine import judge
from trackpools.tables import PLAYS

INGEST = load_config().ingest
COLUMNS = (
    "event_id",
    "user_id",
    "profile_id",
    "track_id",
    "played_at",
    "received_at",
    "ms_played",
    "private",
    "plays",
    "rating",
    "kind",
)
STRINGS = T.StructType(
    [
        T.StructField(name, T.BooleanType() if name == "broken" else T.StringType())
        for name in (*COLUMNS, "broken", "row_text", "source")
    ]
)


def raw_rows(spark, *given):
    return spark.createDataFrame(
        [
            tuple(({"row_text": str(i)} | row).get(name) for name in STRINGS.names)
            for i, row in enumerate(given)
        ],
        STRINGS,
    )


def judge_rows(spark, *given, now=NOW, ingest=INGEST):
    return judge(raw_rows(spark, *(GOOD | row for row in given)), ingest, now)


@pytest.fixture(scope="module")
def verdicts(spark):
    """Judge all bad rows in one Spark job; return {row number: reasons}. The row text is the number."""
    return {
        int(row["row_text"]): row["reasons"]
        for row in judge_rows(spark, *(row for row, _ in BAD)).where("size(reasons) > 0").collect()
    }


@pytest.mark.parametrize("at", range(len(BAD)), ids=[f"{reason}-{i}" for i, (_, reason) in enumerate(BAD)])
def test_each_kind_of_bad_row_is_refused_for_its_reason(verdicts, at):
    assert verdicts.get(at) == [BAD[at][1]]


def test_there_are_bad_rows_of_more_than_25_kinds():
    assert len({reason for _, reason in BAD}) >= 25


def test_a_row_with_several_faults_names_all_of_them_sorted(spark):
    row = judge_rows(spark, {"user_id": None, "track_id": "", "played_at": "x", "ms_played": "-1"}).first()
    assert row["reasons"] == ["ms_played_negative", "time_unparsable", "track_id_empty", "user_id_null"]


def test_bytes_that_are_not_utf8_are_refused(spark):
    row = raw_rows(spark, GOOD).selectExpr("* EXCEPT (user_id)", "cast(unhex('75FF') AS string) AS user_id")
    assert judge(row, INGEST, NOW).first()["reasons"] == ["user_id_not_utf8"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_times_are_read_in_every_notation_whatever_the_zone_of_the_session(spark, zone):
    notations = [
        "2025-05-01T10:00:00Z",
        "2025-05-01 10:00:00",
        "2025-05-01T12:00:00+02:00",
        "2025-05-01T12:00:00+0200",
        "2025-05-01T12:00:00+02",
        "2025-05-01T10:00",
        "2025-05-01T10:00:00.000000Z",
        "2025-05-01 10:00:00 UTC",
        "1746093600",
        "1746093600.0",
        "1.7460936e9",
        "1746093600000",
        "1746093600000000",
        " 1746093600 ",
    ]
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        seconds = (
            judge_rows(spark, *({"played_at": text} for text in notations))
            .selectExpr("unix_micros(played_at) AS at")
            .collect()
        )
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert [row["at"] for row in seconds] == [1_746_093_600_000_000] * len(notations)


def test_typed_columns_of_a_file_are_judged_like_their_texts(spark):
    rows = spark.createDataFrame(
        [
            (1, 7, dt.datetime(2025, 5, 1, 10), 1500.4, True, "play"),
            (2, 7, dt.datetime(1960, 1, 1), math.nan, None, "play"),
            (3, 7, None, -1.0, False, "play"),
        ],
        "user_id long, track_id int, played_at timestamp_ntz, ms_played double, private boolean, kind string",
    ).selectExpr("*", "false AS broken", "'' AS row_text", "'s' AS source")
    good, old, missing = sorted(judge(rows, INGEST, NOW).collect(), key=lambda row: row["user_id"])
    assert (good["user_id"], good["track_id"], good["ms_played"], good["private"], good["reasons"]) == (
        "1",
        "7",
        1500,
        True,
        [],
    )
    assert good["played_at"] == dt.datetime(2025, 5, 1, 10)
    assert old["reasons"] == ["ms_played_nan", "time_before_1970"]
    zeros = judge_rows(
        spark,
        {"played_at": "0"},
        {"played_at": "1970-01-01T14:00:00Z"},
        {"played_at": "1970-01-02T00:00:00Z"},
    ).collect()
    assert [row["reasons"] for row in zeros] == [["time_zero"], ["time_zero"], []]
    assert missing["reasons"] == ["ms_played_negative", "time_missing"]


def test_a_fixed_unit_is_used_and_a_play_at_the_limit_of_the_clock_skew_is_accepted(spark):
    ms = load_config(settings=["ingest.time_unit=ms"]).ingest
    assert (
        judge_rows(spark, {"played_at": "86400000"}, ingest=ms)
        .selectExpr("unix_seconds(played_at)")
        .first()[0]
        == 86_400
    )
    assert judge_rows(spark, {"played_at": "2025-06-01T00:05:00Z"}).first()["reasons"] == []


def test_a_play_or_receipt_further_ahead_of_the_import_than_the_clock_skew_is_refused(spark):
    rows = judge_rows(
        spark,
        {"received_at": "2025-06-01T00:05:00Z"},
        {"received_at": "2025-06-01T00:05:01Z"},
        {"played_at": "2025-06-01T00:05:00Z", "received_at": "2025-06-01T00:05:00Z"},
        {"played_at": "2025-06-01T00:05:01Z", "received_at": "2025-06-01T00:05:00Z"},
        {"played_at": "2098-12-31T00:00:00Z", "received_at": "2099-01-01T00:00:00Z"},
    ).collect()
    assert [row["reasons"] for row in rows] == [
        [],
        ["received_at_in_future"],
        [],
        ["time_in_future"],
        ["received_at_in_future", "time_in_future"],
    ]


def test_ratings_become_positive_or_known_and_counts_have_no_time(spark):
    like, dislike, count = judge_rows(
        spark,
        RATING,
        {**RATING, "rating": "3.9"},
        {**COUNT, "plays": "12", "played_at": "2025-05-01T10:00:00Z"},
    ).collect()
    got = [(row["plays"], row["kind"], row["played_at"] is None) for row in (like, dislike, count)]
    assert got == [(1, "rating", False), (0, "rating", False), (12, "count", True)]


def test_different_plays_have_different_keys_and_equal_plays_equal_ones(spark):
    rows = [
        {"user_id": "a", "track_id": "b:c"},
        {"user_id": "a:b", "track_id": "c"},
        {"user_id": "1", "track_id": "1:a:b"},
        {"event_id": "e"},
        {"event_id": "f"},
        {**COUNT},
        {**RATING},
        {"played_at": "2025-05-01T10:00:00.000001Z"},
    ]
    keys = [row["play_key"] for row in judge_rows(spark, *rows).collect()]
    assert len(set(keys)) == len(rows)
    again = judge_rows(
        spark,
        {"user_id": "a", "track_id": "b:c", "played_at": "1746093600", "ms_played": "5"},
        {"event_id": "e", "user_id": "z"},
    ).collect()
    assert [row["play_key"] for row in again] == [keys[0], keys[3]]


def test_the_text_of_a_refused_row_is_cut_and_an_accepted_row_keeps_none(spark):
    long, good = judge_rows(spark, {"user_id": None, "row_text": "x" * 20_000}, {"row_text": "y"}).collect()
    assert (len(long["row_text"]), good["row_text"]) == (10_000, None)


LIKELY = st.sampled_from(["NaN", "2025-05-01T10:00:00Z", "3", "true", "u"])
ANY = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(str),
    LIKELY,
)
ANY_ROW = st.fixed_dictionaries(
    dict.fromkeys(COLUMNS[:-1], ANY)
    | {"kind": st.sampled_from(["play", "count", "rating", None]), "broken": st.booleans()}
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ANY_ROW, min_size=40, max_size=120))
def test_any_row_is_judged_without_a_crash_and_an_accepted_one_keeps_the_contract(spark, many):
    texts = [
        {
            key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for key, value in row.items()
        }
        for row in many
    ]
    found = judge(raw_rows(spark, *({"source": "s"} | row for row in texts)), INGEST, NOW).collect()
    assert len(found) == len(many)
    for row in found:
        assert row["reasons"] == sorted(set(row["reasons"]))
        if not row["reasons"]:
            assert all(row[c.name] is not None for c in PLAYS.columns if not c.nullable)
            assert row["plays"] >= 0
            assert row["kind"] == "count" or dt.datetime(1970, 1, 1) <= row["played_at"]
            assert row["ms_played"] is None or row["ms_played"] >= 0
