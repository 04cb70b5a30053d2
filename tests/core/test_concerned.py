"""Whom a refresh concerns."""

import datetime as dt

from chispa import assert_df_equality
from hypothesis import given
from hypothesis import strategies as st

from builders import rows
from trackpools.core.concerned import concerned, expired, holders, later_than, reprofiled, turn, unknown_share
from trackpools.core.overlay import newest

AT = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)


@given(buckets=st.integers(1, 300), rota=st.integers(1, 300), start=st.integers(1, 1000))
def test_after_a_rota_every_bucket_had_its_turn_and_no_turn_takes_more_than_its_share(buckets, rota, start):
    turns = [turn(start + i, buckets, rota) for i in range(rota)]
    assert {one for own in turns for one in own} == set(range(buckets))
    assert all(len(own) <= -(-buckets // rota) for own in turns)


def users(frame):
    return sorted(row["user_idx"] for row in frame.collect())


def pool(user, recordings, reserve=(), until=AT):
    def some(listed):
        return [
            {
                "recording": one,
                "score": 1.0,
                "sources": 1,
                "reason": 0,
                "reason_arg": 1,
                "plays": 0,
                "last_day": None,
                "propensity": 1.0,
            }
            for one in listed
        ]

    return {
        "bucket": 0,
        "user_idx": user,
        "candidates": some(recordings),
        "reserve": some(reserve),
        "drops": {},
        "emitted": len(recordings),
        "as_of": AT,
        "valid_until": until,
        "model_version": "m",
    }


def test_pools_out_of_date_and_pools_with_what_may_not_be_played(spark):
    pools = rows(
        spark, "pools", pool(0, [1, 2]), pool(1, [3], [2], AT + dt.timedelta(seconds=1)), pool(2, [4])
    )
    assert users(expired(pools, AT)) == [0, 2]
    gone = spark.createDataFrame([(2,)], "recording_idx int")
    assert users(holders(pools, gone)) == [0, 1], "what stands in reserve would be served one day"


def test_profiles_that_changed_and_listeners_that_came(spark):
    ids = rows(spark, "user_ids", *({"user_id": f"u{i}", "user_idx": i} for i in range(4)))
    before = rows(
        spark,
        "users",
        {"user_id": "u0", "explicit_policy": "allow"},
        {"user_id": "u1", "explicit_policy": "allow", "market": "SE"},
    )
    now = rows(
        spark,
        "users",
        {"user_id": "u0", "explicit_policy": "allow"},
        {"user_id": "u1", "explicit_policy": "clean", "market": "SE"},
        {"user_id": "u3", "explicit_policy": "allow"},
    )
    assert users(reprofiled(before, now, ids)) == [1, 3]
    assert users(later_than(ids, 2)) == [2, 3]
    why = concerned(
        {
            "profile": reprofiled(before, now, ids),
            "new": later_than(ids, 3),
            "changed": ids.where("user_idx = 3").union(ids.where("user_idx = 3")),
        }
    )
    assert sorted(map(tuple, why.collect())) == [(1, "profile"), (3, "changed"), (3, "new"), (3, "profile")]


def test_of_a_listener_refreshed_twice_the_last_row_counts(spark):
    base = spark.createDataFrame([(0, "base"), (1, "base"), (2, "base")], "idx int, told string")
    hot = spark.createDataFrame(
        [(1, "second", 2), (1, "first", 1), (3, "came", 1)], "idx int, told string, refresh int"
    )
    expected = spark.createDataFrame(
        [(0, "base"), (1, "second"), (2, "base"), (3, "came")], "idx int, told string"
    )
    assert_df_equality(newest(base, hot, "idx"), expected, ignore_row_order=True)


def test_what_the_model_cannot_use_is_a_share_of_the_evidence(spark):
    weighed = spark.createDataFrame([(1, 3.0), (2, 1.0)], "recording_idx int, positive double")
    assert unknown_share(weighed, spark.createDataFrame([(1,)], "idx int")).first()["unknown"] == 0.25
    assert (
        unknown_share(weighed.limit(0), weighed.selectExpr("recording_idx AS idx")).first()["unknown"] is None
    )
