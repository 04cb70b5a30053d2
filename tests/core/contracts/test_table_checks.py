"""Tests of the checks of pools, rights and overlap that run before pools are published."""

import datetime as dt
import math

import pytest
from pyspark.sql import functions as F

from builders import rows
from trackpools.core.contracts.table_checks import last_activity, overlap, pool_violations, rights_violations

ONE = {
    "recording": 1,
    "score": 0.5,
    "sources": 1,
    "reason": 0,
    "reason_arg": 1,
    "plays": 0,
    "last_day": None,
    "propensity": 1.0,
}
FULL = {
    "candidates": [ONE, ONE | {"recording": 2}],
    "reserve": [ONE | {"recording": 3}],
    "drops": {"rights": 3},
    "emitted": 5,
}
SHORT = {
    "candidates": [ONE],
    "drops": {},
    "emitted": 1,
    "shortfall": {"wanted": 2, "got": 1, "rule": "catalogue"},
}
EMPTY = {
    "candidates": [],
    "drops": {"blocked": 4, "heard": 1},
    "emitted": 5,
    "shortfall": {"wanted": 2, "got": 0, "rule": "blocked"},
}


def broken_promises(spark, *pools):
    found = pool_violations(rows(spark, "pools", *pools), 2).first().asDict()
    assert found.pop("rows") == len(pools)
    return {what: count for what, count in found.items() if count}


def test_good_pools_break_nothing(spark):
    assert broken_promises(spark, FULL, SHORT, EMPTY) == {}
    assert broken_promises(spark) == {}


@pytest.mark.parametrize(
    ("pool", "what"),
    [
        (FULL | {"emitted": 6}, "a pool whose size plus drops is not the number of emitted candidates"),
        (
            FULL | {"drops": {"rights": 2}},
            "a pool whose size plus drops is not the number of emitted candidates",
        ),
        (SHORT | {"shortfall": None}, "a short pool without a shortfall, or a full pool with one"),
        (
            FULL | {"shortfall": SHORT["shortfall"]},
            "a short pool without a shortfall, or a full pool with one",
        ),
        (FULL | {"candidates": [ONE, ONE]}, "a pool that holds a recording twice"),
        (FULL | {"reserve": [ONE]}, "a reserve that holds a recording twice, or a recording of the pool"),
        (
            FULL | {"reserve": [ONE | {"recording": 7}] * 2},
            "a reserve that holds a recording twice, or a recording of the pool",
        ),
        (
            SHORT | {"candidates": [ONE | {"propensity": 0.0}]},
            "a propensity that is missing, 0 or less, or above 1",
        ),
        (SHORT | {"candidates": [ONE | {"sources": 0}]}, "a candidate without a source"),
        (SHORT | {"candidates": [ONE | {"sources": None}]}, "a candidate without a source"),
        (SHORT | {"candidates": [ONE | {"score": math.nan}]}, "a score that is not a finite number"),
        (SHORT | {"candidates": [ONE | {"score": None}]}, "a score that is not a finite number"),
        (SHORT | {"candidates": [ONE | {"score": math.inf}]}, "a score that is not a finite number"),
        (
            FULL | {"candidates": [ONE, ONE | {"recording": 2}, ONE | {"recording": 4}], "emitted": 6},
            "a pool of more than k=2 candidates",
        ),
    ],
)
def test_each_broken_promise_is_counted_under_its_name(spark, pool, what):
    assert broken_promises(spark, FULL, pool, EMPTY) == {what: 1}


def test_activity_is_the_last_play_and_the_last_receipt(spark):
    early, late, later = (dt.datetime(2025, 1, day) for day in (1, 2, 3))
    plays = rows(
        spark, "plays", {"played_at": early, "received_at": later}, {"played_at": late}, {"played_at": None}
    )
    assert tuple(last_activity(plays).first()) == (late, later)
    assert tuple(last_activity(plays.where("false")).first()) == (None, None)


def test_unplayable_recordings_are_counted_once_for_each_market_and_policy(spark):
    pools = rows(
        spark,
        "pools",
        *(
            {"user_idx": u, "candidates": [ONE | {"recording": r} for r in offered]}
            for u, offered in enumerate([(1, 2, 3), (2, 3), (3, 4), (1, 2)])
        ),
    )
    everybody = spark.createDataFrame(
        [(0, "SE", False), (1, "SE", False), (2, "NO", False), (3, "SE", True)],
        "user_idx int, market string, clean boolean",
    )
    cards = spark.createDataFrame(
        [
            (1, "SE", "a", None, True),
            (2, "SE", None, None, True),
            (3, "SE", "c", "c", True),
            (3, "NO", "c", "c", False),
        ],
        "recording_idx int, market string, track_id string, clean_track_id string, available boolean",
    )
    # Recording 2 counts in SE for both policies, though two users hold it, and 1 counts in SE for the clean
    # policy. In NO, 3 is taken down and 4 has no card.
    assert rights_violations(pools, everybody, cards).first()["violations"] == 5
    fine = cards.where("recording_idx = 3 AND market = 'SE'")
    assert (
        rights_violations(
            pools.where("user_idx = 1").withColumn("candidates", F.slice("candidates", 2, 1)), everybody, fine
        ).first()["violations"]
        == 0
    )


def test_overlap_is_the_mean_share_of_the_old_pool_that_stays(spark):
    def pools(*offered):
        return rows(
            spark,
            "pools",
            *(
                {"user_idx": u, "candidates": [ONE | {"recording": r} for r in one]}
                for u, one in enumerate(offered)
            ),
        )

    assert overlap(pools((1, 2, 3, 4), (5, 6), (), (7,)), pools((1, 2, 9), (6, 5), (3,))).first()[
        "overlap"
    ] == pytest.approx((0.5 + 1) / 2)
