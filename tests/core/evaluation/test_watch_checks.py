"""Tests of what `trackpools watch` counts, and of when it reports a check."""

import datetime as dt

import pytest

from builders import rows
from trackpools.core.evaluation import watch_checks
from trackpools.core.evaluation.watch_checks import WatchCheck

AS_OF = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)


def play(days, user="u", n=1, **more):
    return {
        "play_key": f"{days}{user}",
        "user_id": user,
        "track_id": "t",
        "kind": "play",
        "played_at": AS_OF - dt.timedelta(days=days),
        "plays": n,
    } | more


def test_a_day_is_compared_with_the_same_day_of_earlier_weeks(spark):
    plays = rows(
        spark,
        "plays",
        play(0.5),
        play(0.9, "v", 2),
        play(0),
        play(1.0, "w"),
        play(1.1, "w"),
        play(7.5, n=5),
        play(14.2, n=7),
        play(28.9, n=9),
        play(35.5),
    )
    told = {row["ago"]: (row["plays"], row["users"]) for row in watch_checks.daily(plays, AS_OF).collect()}
    assert told == {0: (4, 3), 7: (5, 1), 14: (7, 1), 28: (9, 1)}
    assert watch_checks.usual_count({ago: count for ago, (count, _) in told.items()}) == 7
    assert watch_checks.usual_count({0: 3, 7: 5}) is None, "one week is no habit"


def test_missing_values_are_compared_between_recent_and_earlier_plays(spark):
    plays = rows(
        spark,
        "plays",
        play(0.5, ms_played=None),
        play(0.6, "v", ms_played=5),
        play(3, ms_played=5),
        play(40, ms_played=None),
    )
    told = {row["recent"]: row["ms_played"] for row in watch_checks.null_shares(plays, AS_OF).collect()}
    assert told == {True: 0.5, False: 0.0}


def test_recordings_that_appear_and_disappear_are_counted(spark):
    def features(*played):
        return rows(
            spark, "recording_features", *({"recording_idx": idx, "plays_28d": n} for idx, n in played)
        )

    moved = watch_checks.turnover(
        features((0, 1), (1, 4), (2, 0), (3, 2)), features((0, 3), (1, 0), (2, 1), (4, 9))
    ).first()
    assert (moved["lost"], moved["new"]) == (2 / 3, 2 / 3)
    assert watch_checks.turnover(features(), features((0, 1))).first()["lost"] is None


def test_short_pools_are_counted_by_cause(spark):
    def pool(user, size, rule=None):
        one = {
            "recording": 0,
            "score": 1.0,
            "sources": 1,
            "reason": 0,
            "reason_arg": 0,
            "plays": 0,
            "last_day": None,
            "propensity": 1.0,
        }
        short = {"wanted": 4, "got": size, "rule": rule} if rule else None
        return {"user_idx": user, "candidates": [one] * size, "shortfall": short}

    told = {
        row["rule"]: (row["users"], row["size"])
        for row in watch_checks.fullness(
            rows(spark, "pools", pool(0, 4), pool(1, 4), pool(2, 2, "rights")), 4
        ).collect()
    }
    assert told == {None: (2, 1.0), "rights": (1, 0.5)}


@pytest.mark.parametrize(
    ("found", "low", "high", "holds"),
    [(1, None, None, True), (1, 1, 1, True), (0.9, 1, None, False), (1.1, None, 1, False), (2, 1, 3, True)],
)
def test_a_check_holds_between_its_bounds(found, low, high, holds):
    assert WatchCheck("x", "all", found, low, high).holds is holds


def test_a_spread_is_reported_only_beyond_chance():
    calm, loud = watch_checks.psi_checks([("a", 0.4, 0.5), ("b", 0.4, 0.1)], 0.25)
    assert (calm.holds, loud.holds) == (True, False)
