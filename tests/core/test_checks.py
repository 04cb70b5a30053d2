"""What is counted before pools are published."""

import datetime as dt
import math

import pytest

from builders import rows
from trackpools.core.checks import activity, pool_violations

ONE = {"recording": 1, "score": 0.5, "sources": 1, "reason": 0, "reason_arg": 1, "plays": 0, "last_day": None, "propensity": 1.0}
FULL = {"candidates": [ONE, ONE | {"recording": 2}], "reserve": [ONE | {"recording": 3}], "drops": {"rights": 3}, "emitted": 5}
SHORT = {"candidates": [ONE], "drops": {}, "emitted": 1, "shortfall": {"wanted": 2, "got": 1, "rule": "catalogue"}}
EMPTY = {"candidates": [], "drops": {"blocked": 4, "heard": 1}, "emitted": 5, "shortfall": {"wanted": 2, "got": 0, "rule": "blocked"}}


def broken(spark, *pools):
    found = pool_violations(rows(spark, "pools", *pools), 2).first().asDict()
    assert found.pop("rows") == len(pools)
    return {what: count for what, count in found.items() if count}


def test_good_pools_break_nothing(spark):
    assert broken(spark, FULL, SHORT, EMPTY) == {}
    assert broken(spark) == {}


@pytest.mark.parametrize(("pool", "what"), [
    (FULL | {"emitted": 6}, "drops + pool size differ from emitted"), (FULL | {"drops": {"rights": 2}}, "drops + pool size differ from emitted"),
    (SHORT | {"shortfall": None}, "short without a shortfall, or full with one"), (FULL | {"shortfall": SHORT["shortfall"]}, "short without a shortfall, or full with one"),
    (FULL | {"candidates": [ONE, ONE]}, "a recording twice"), (FULL | {"reserve": [ONE]}, "a reserve that holds a recording of the pool, or one twice"),
    (FULL | {"reserve": [ONE | {"recording": 7}] * 2}, "a reserve that holds a recording of the pool, or one twice"),
    (SHORT | {"candidates": [ONE | {"propensity": 0.0}]}, "a propensity that is not above 0 and at most 1"), (SHORT | {"candidates": [ONE | {"sources": 0}]}, "a candidate without a source"),
    (SHORT | {"candidates": [ONE | {"score": math.nan}]}, "a score that is not a finite number"),
    (SHORT | {"candidates": [ONE | {"score": None}]}, "a score that is not a finite number"),
    (SHORT | {"candidates": [ONE | {"score": math.inf}]}, "a score that is not a finite number"),
    (FULL | {"candidates": [ONE, ONE | {"recording": 2}, ONE | {"recording": 4}], "emitted": 6}, "more than k=2 candidates"),
])
def test_each_broken_promise_is_counted_under_its_name(spark, pool, what):
    assert broken(spark, FULL, pool, EMPTY) == {what: 1}


def test_activity_is_the_last_play_and_the_last_receipt(spark):
    early, late, later = (dt.datetime(2025, 1, day) for day in (1, 2, 3))
    plays = rows(spark, "plays", {"played_at": early, "received_at": later}, {"played_at": late}, {"played_at": None})
    assert tuple(activity(plays).first()) == (late, later)
    assert tuple(activity(plays.where("false")).first()) == (None, None)
