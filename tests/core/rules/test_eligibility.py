"""Tests of the eligibility rules: which rule binds first, the policies for heard recordings, no card."""

import datetime as dt

import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from builders import rows
from trackpools.core.arrays.recording_table import FUNCTIONAL, HAS_FACTS, INFLATED, RecordingTable
from trackpools.core.catalogue.features import has_rights
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import mask_of_cards

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
def test_history_marks_what_was_heard_blocked_and_refused_by_the_policy(spark, config, heard):
    """Check the limit of 30 days: May 31 is allowed; June 1, later days and unknown days are refused."""
    given = config("rules.heard_days=30").rules
    got = eligibility.history(
        rows(spark, "interactions", *MET), heard=heard, rules=given, weights=config().weights, as_of=AS_OF
    ).drop("first_day", "weight")
    june = (dt.date(2025, 6, 29) - dt.date(1970, 1, 1)).days
    expected = [
        (0, 3, june, True, False),
        (1, 1, june - 29, True, False),
        (2, 1, june - 28, True, False),
        (3, 32767, None, True, False),
        (4, 0, None, True, False),
        (5, 0, None, False, False),
        (6, 2, 20089, True, True),
        (7, 0, None, False, True),
    ]
    frame = spark.createDataFrame(
        [(0, *row, row[0] in REFUSED[heard]) for row in expected],
        "user_idx int, recording_idx int, plays short, last_day int, heard boolean, blocked boolean, refused boolean",
    )
    assert_df_equality(got, frame, ignore_row_order=True, ignore_nullable=True)


def test_history_holds_the_weight_and_the_first_day(spark, config):
    """Check the weight of one play with saturation 1.

    It is ln 2 on its own day, and half of its mass is left after one half-life. A disliked recording has
    weight 0.
    """
    weights = config(
        "weights.landmark=2025-06-30", "weights.half_life_days=10", "weights.saturation=1.0"
    ).weights
    met = (
        {"mass": 1.0, "plays": 1, "first_day": dt.date(2025, 6, 30)},
        {"recording_idx": 1, "mass": 1.0, "likes": -1},
    )
    for days, weight in ((0, np.log(2)), (10, np.log(1.5))):
        got = eligibility.history(
            rows(spark, "interactions", *met),
            heard="mark",
            rules=config().rules,
            weights=weights,
            as_of=AS_OF + dt.timedelta(days=days),
        )
        found = {row["recording_idx"]: (row["first_day"], row["weight"]) for row in got.collect()}
        assert found == {0: (20269, np.float32(weight)), 1: (None, 0.0)}


def test_a_dislike_excludes_only_where_the_setting_says_so(spark, config):
    frame = rows(spark, "interactions", {"likes": -1}, {"recording_idx": 1, "blocked": True})
    for disliked in (True, False):
        got = eligibility.history(
            frame,
            heard="mark",
            rules=config(f"rules.block_disliked={str(disliked).lower()}").rules,
            weights=config().weights,
            as_of=AS_OF,
        )
        assert [row["blocked"] for row in got.orderBy("recording_idx").collect()] == [disliked, True]


COLUMNS = "available boolean, track_id string, clean_track_id string, blocked boolean, refused boolean, heard boolean"
FINE = {
    "available": True,
    "track_id": "t",
    "clean_track_id": "c",
    "blocked": False,
    "refused": False,
    "heard": False,
}


def rule_names(flags):
    return [name for bit, name in enumerate(eligibility.RULES) if flags >> bit & 1]


def binding_rules(spark, policy, *given):
    """Return the names of the rules that bind, for each dict of differences from a faultless candidate."""
    frame = spark.createDataFrame(
        [tuple((FINE | {name: row[name] for name in row if name != "clean"}).values()) for row in given],
        COLUMNS,
    )
    place = F.monotonically_increasing_id().cast("int").alias("recording_idx")
    found = frame.coalesce(1).select("*", place, eligibility.history_bits().alias("past")).toArrow()
    bars, past = mask_of_cards(found)[0], np.asarray(found["past"]).astype(np.uint8)
    clean = np.array([row.get("clean", False) for row in given])
    return [
        rule_names(int(flags))
        for flags in eligibility.rule_flags(bars, clean, past, np.zeros(len(given), np.int64), heard=policy)
    ]


def test_each_rule_binds_for_its_own_reason(spark):
    heard = {"heard": True}
    cases = [
        ({}, []),
        ({"available": False}, ["taken_down"]),
        ({"track_id": None}, ["rights"]),
        ({"clean": True}, []),
        ({"clean": True, "clean_track_id": None}, ["explicit"]),
        ({"clean_track_id": None}, []),
        ({"blocked": True}, ["blocked"]),
        (heard, []),
        (heard | {"refused": True}, ["heard"]),
        (
            {
                "available": False,
                "track_id": None,
                "clean": True,
                "clean_track_id": None,
                "blocked": True,
                "refused": True,
            },
            list(eligibility.RULES[:5]),
        ),
    ]
    assert binding_rules(spark, "mark", *(case for case, _ in cases)) == [names for _, names in cases]
    assert binding_rules(spark, "only", {}, heard, {}) == [["heard"], [], ["heard"]]


def test_a_recording_without_a_card_never_passes():
    for clean, names in ((False, ["taken_down", "rights"]), (True, ["taken_down", "rights", "explicit"])):
        (flags,) = eligibility.rule_flags(
            np.array([eligibility.NO_CARD], np.uint8),
            np.array([clean]),
            np.zeros(1, np.uint8),
            np.zeros(1, np.int64),
            heard="mark",
        )
        assert rule_names(int(flags)) == names


def test_the_order_of_the_rules_is_part_of_the_published_data():
    assert eligibility.RULES == (
        "taken_down",
        "rights",
        "explicit",
        "blocked",
        "heard",
        "request",
        "few_listeners",
        "bot_inflated",
        "functional",
        "duplicate",
        "artist_cap",
        "album_cap",
        "below_cut",
    )
    assert eligibility.MARKET_RULES == ("taken_down", "rights", "explicit")
    assert eligibility.RULES[eligibility.BELOW_CUT] == "below_cut"


def binding_fact_rules(recordings, past=0, settings=(), **facts):
    """Return the names of the fact rules that bind each of `recordings`.

    The recording table has two rows: the first is as `facts` says, the second is unknown.
    """
    shelf = RecordingTable.blank(2)
    for name, value in ({"marks": HAS_FACTS, "listeners": 4} | facts).items():
        getattr(shelf, name)[0] = value
    standards = eligibility.Standards.of(settings, AS_OF)
    past = np.full(len(recordings), past, np.uint8)
    found = eligibility.fact_flags(shelf, np.array(recordings), past, standards)
    return [
        rule_names(int(flags))
        for flags in eligibility.rule_flags(
            np.zeros(len(past), np.uint8), np.zeros(len(past), bool), past, found, heard="mark"
        )
    ]


def test_few_listeners_binds_unless_heard_or_new_and_never_for_unknown_recordings(config):
    given = config("rules.min_listeners=5", "rules.new_days=28").rules
    few, today = ["few_listeners"], 20269
    assert binding_fact_rules([0, 1, 2, 9], settings=given) == [few, [], [], []]
    assert binding_fact_rules([0], settings=given, listeners=5) == [[]]
    assert binding_fact_rules([0], eligibility.HEARD, given) == [[]]
    assert binding_fact_rules([0], eligibility.BLOCKED, given) == [["blocked", "few_listeners"]]
    assert binding_fact_rules([0], settings=given, released=today - 27) == [[]]
    assert binding_fact_rules([0], settings=given, released=today - 28) == [few]
    assert binding_fact_rules([0], settings=config("rules.min_listeners=0").rules, listeners=0) == [[]]


def test_bought_plays_and_functional_audio_bind_even_for_users_who_heard_them(config):
    marks = {"listeners": 9, "marks": HAS_FACTS | INFLATED | FUNCTIONAL}
    for past in (0, eligibility.HEARD):
        assert binding_fact_rules([0], past, config().rules, **marks) == [["bot_inflated", "functional"]]
        assert binding_fact_rules([0], past, config("rules.functional=allow").rules, **marks) == [
            ["bot_inflated"]
        ]


def test_a_request_excludes_the_recordings_that_it_names():
    none = np.zeros(2, np.uint8)
    found = eligibility.rule_flags(
        none, none.astype(bool), none, np.zeros(2, np.int64), heard="mark", unwanted=np.array([False, True])
    )
    assert [rule_names(int(flags)) for flags in found] == [[], ["request"]]


DAY = dt.date(2025, 6, 30)
RIGHTS = {
    "null is everywhere": (None, "SE", True),
    "empty is everywhere": ([], "SE", True),
    "everywhere, unknown market": (None, "*", True),
    "own market": ([("SE", None, None)], "SE", True),
    "other market": ([("NO", None, None)], "SE", False),
    "unknown market": ([("SE", None, None)], "*", False),
    "null market": ([("SE", None, None)], None, False),
    "from today": ([("SE", DAY, None)], "SE", True),
    "from tomorrow": ([("SE", dt.date(2025, 7, 1), None)], "SE", False),
    "until today is over": ([("SE", None, DAY)], "SE", False),
    "until tomorrow": ([("SE", None, dt.date(2025, 7, 1))], "SE", True),
    "the second holds": ([("SE", None, dt.date(2020, 1, 1)), ("SE", DAY, None)], "SE", True),
    "a right without market": ([(None, None, None)], "SE", False),
}


@pytest.mark.parametrize("ansi", ["true", "false"])
def test_rights_hold_from_a_day_until_before_another_in_any_session(spark, ansi):
    """Check foreign sessions too: they may run without ANSI mode, where the size of null is -1."""
    frame = spark.createDataFrame(
        [(name, rights, market) for name, (rights, market, _) in RIGHTS.items()],
        "name string, rights array<struct<market: string, `from`: date, until: date>>, market string",
    )
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        found = {
            row["name"]: row["holds"]
            for row in frame.select("name", has_rights("market", DAY).alias("holds")).collect()
        }
    finally:
        spark.conf.set("spark.sql.ansi.enabled", "true")
    assert found == {name: holds for name, (_, _, holds) in RIGHTS.items()}
