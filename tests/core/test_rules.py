"""Rules: the first that binds, every policy of the heard, and that the unknown never passes."""

import datetime as dt

import numpy as np
import pytest
from chispa import assert_df_equality

from builders import rows
from trackpools.core import rules
from trackpools.core.features import rights_hold

AS_OF = dt.datetime(2025, 6, 30, 12, tzinfo=dt.UTC)
MET = (
    {"recording_idx": 0, "plays": 3, "last_day": dt.date(2025, 6, 29)},
    {"recording_idx": 1, "plays": 1, "last_day": dt.date(2025, 5, 31)},
    {"recording_idx": 2, "plays": 1, "last_day": dt.date(2025, 6, 1)},
    {"recording_idx": 3, "counted": 40_000},
    {"recording_idx": 4, "rated": 0},
    {"recording_idx": 5, "likes": 1},
    {"recording_idx": 6, "likes": -1, "plays": 2, "last_day": dt.date(2025, 1, 1)},
    {"recording_idx": 7, "blocked": True},
)
REFUSED = {"mark": set(), "only": set(), "exclude": {0, 1, 2, 3, 4, 6}, "not_within": {0, 2, 3, 4}}


@pytest.mark.parametrize("heard", list(REFUSED))
def test_history_says_what_was_heard_blocked_and_refused_by_the_policy(spark, config, heard):
    """30 days before June 30 is May 31: refused are June 1 and later, and what has no date."""
    given = config("rules.heard_days=30").rules
    got = rules.history(rows(spark, "interactions", *MET), heard=heard, rules=given, weights=config().weights, as_of=AS_OF)
    june = (dt.date(2025, 6, 29) - dt.date(1970, 1, 1)).days
    expected = [
        (0, 3, june, True, False), (1, 1, june - 29, True, False), (2, 1, june - 28, True, False), (3, 32767, None, True, False), (4, 0, None, True, False),
        (5, 0, None, False, False), (6, 2, 20089, True, True), (7, 0, None, False, True),
    ]
    frame = spark.createDataFrame(
        [(0, *row, row[0] in REFUSED[heard]) for row in expected],
        "user_idx int, recording_idx int, plays short, last_day int, heard boolean, blocked boolean, refused boolean",
    )
    assert_df_equality(got, frame, ignore_row_order=True, ignore_nullable=True)


def test_a_dislike_keeps_out_only_where_it_is_said_to(spark, config):
    frame = rows(spark, "interactions", {"likes": -1}, {"recording_idx": 1, "blocked": True})
    for disliked in (True, False):
        got = rules.history(frame, heard="mark", rules=config(f"rules.block_disliked={str(disliked).lower()}").rules, weights=config().weights, as_of=AS_OF)
        assert [row["blocked"] for row in got.orderBy("recording_idx").collect()] == [disliked, True]


COLUMNS = "available boolean, track_id string, clean_track_id string, blocked boolean, refused boolean, heard boolean"
FINE = {"available": True, "track_id": "t", "clean_track_id": "c", "blocked": False, "refused": False, "heard": False}


def named(flags):
    return [name for bit, name in enumerate(rules.RULES) if flags >> bit & 1]


def flagged(spark, policy, *given):
    """Names of the rules that bind, for each of `given` (what differs from a candidate that nothing is wrong with)."""
    frame = spark.createDataFrame([tuple((FINE | {name: row[name] for name in row if name != "clean"}).values()) for row in given], COLUMNS)
    found = frame.select(rules.bars().alias("bars"), rules.history_bits().alias("past")).collect()
    bars, past = (np.array([row[name] for row in found], np.uint8) for name in ("bars", "past"))
    clean = np.array([row.get("clean", False) for row in given])
    return [named(int(flags)) for flags in rules.flags(bars, clean, past, heard=policy)]


def test_each_rule_binds_for_its_own_reason(spark):
    heard = {"heard": True}
    cases = [
        ({}, []), ({"available": False}, ["taken_down"]), ({"track_id": None}, ["rights"]),
        ({"clean": True}, []), ({"clean": True, "clean_track_id": None}, ["explicit"]), ({"clean_track_id": None}, []),
        ({"blocked": True}, ["blocked"]), (heard, []), (heard | {"refused": True}, ["heard"]),
        ({"available": False, "track_id": None, "clean": True, "clean_track_id": None, "blocked": True, "refused": True}, list(rules.RULES[:-1])),
    ]
    assert flagged(spark, "mark", *(case for case, _ in cases)) == [names for _, names in cases]
    assert flagged(spark, "only", {}, heard, {}) == [["heard"], [], ["heard"]]


def test_what_has_no_card_never_passes():
    for clean, names in ((False, ["taken_down", "rights"]), (True, ["taken_down", "rights", "explicit"])):
        (flags,) = rules.flags(np.array([rules.UNKNOWN], np.uint8), np.array([clean]), np.zeros(1, np.uint8), heard="mark")
        assert named(int(flags)) == names


def test_the_order_of_the_rules_is_part_of_the_published_data():
    assert rules.RULES == ("taken_down", "rights", "explicit", "blocked", "heard", "below_cut")
    assert rules.RULES[rules.BELOW_CUT] == "below_cut"


DAY = dt.date(2025, 6, 30)
RIGHTS = {
    "null is everywhere": (None, "SE", True), "empty is everywhere": ([], "SE", True), "everywhere, unknown market": (None, "*", True),
    "own market": ([("SE", None, None)], "SE", True), "other market": ([("NO", None, None)], "SE", False), "unknown market": ([("SE", None, None)], "*", False),
    "null market": ([("SE", None, None)], None, False), "from today": ([("SE", DAY, None)], "SE", True), "from tomorrow": ([("SE", dt.date(2025, 7, 1), None)], "SE", False),
    "until today is over": ([("SE", None, DAY)], "SE", False), "until tomorrow": ([("SE", None, dt.date(2025, 7, 1))], "SE", True),
    "the second holds": ([("SE", None, dt.date(2020, 1, 1)), ("SE", DAY, None)], "SE", True), "a right without market": ([(None, None, None)], "SE", False),
}


@pytest.mark.parametrize("ansi", ["true", "false"])
def test_rights_hold_from_a_day_until_before_another_in_any_session(spark, ansi):
    """Sessions of others may run without ANSI mode, where the size of null is -1."""
    frame = spark.createDataFrame(
        [(name, rights, market) for name, (rights, market, _) in RIGHTS.items()],
        "name string, rights array<struct<market: string, `from`: date, until: date>>, market string",
    )
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        found = {row["name"]: row["holds"] for row in frame.select("name", rights_hold("market", DAY).alias("holds")).collect()}
    finally:
        spark.conf.set("spark.sql.ansi.enabled", "true")
    assert found == {name: holds for name, (_, _, holds) in RIGHTS.items()}
