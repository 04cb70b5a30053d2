"""Tests of the refresh scope: which users a refresh rebuilds."""

import datetime as dt
from collections import Counter
from functools import reduce

from chispa import assert_df_equality
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from builders import rows
from trackpools.core.contracts.newest_row import newest
from trackpools.core.serving.refresh_scope import (
    new_users,
    rota_buckets,
    unknown_share,
    users_to_refresh,
    users_with_due_pools,
    users_with_new_profile,
    users_with_recordings,
)

AT = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)


@given(buckets=st.integers(1, 300), rota=st.integers(1, 300), start=st.integers(1, 1000))
def test_after_a_rota_every_bucket_had_its_turn_and_no_turn_takes_more_than_its_share(buckets, rota, start):
    turns = [rota_buckets(start + i, buckets, rota) for i in range(rota)]
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


def test_outdated_pools_and_pools_with_unplayable_recordings_are_found(spark):
    pools = rows(
        spark, "pools", pool(0, [1, 2]), pool(1, [3], [2], AT + dt.timedelta(seconds=1)), pool(2, [4])
    )
    assert users(users_with_due_pools(pools, AT)) == [0, 2]
    gone = spark.createDataFrame([(2,)], "recording_idx int")
    assert users(users_with_recordings(pools, gone)) == [0, 1], (
        "what stands in reserve would be served one day"
    )


def test_pools_of_a_full_run_come_due_evenly_and_before_they_expire(spark):
    """Refresh once a day after a full run, with pools that are valid for seven days."""
    lifetime, many, some = dt.timedelta(days=7), 7_000, 100

    def first_due_days(count, made_days, days):
        """Return user → the first of the days on which the pool is due that was made on the user's day."""
        made = F.lit(AT) + F.make_dt_interval(days=made_days)
        pools = spark.range(count).select(
            F.col("id").cast("int").alias("user_idx"),
            made.alias("as_of"),
            (made + F.lit(lifetime)).alias("valid_until"),
        )
        due = [
            users_with_due_pools(pools, AT + dt.timedelta(days=day)).withColumn("day", F.lit(day))
            for day in days
        ]
        rows = reduce(DataFrame.unionByName, due).groupBy("user_idx").agg(F.min("day").alias("day")).collect()
        return {row["user_idx"]: row["day"] for row in rows}

    first = first_due_days(many, F.lit(0), range(1, 8))
    by_day = Counter(first.values())
    assert (len(first), set(by_day)) == (many, set(range(1, 8)))
    assert max(by_day.values()) < 1.3 * min(by_day.values())
    day_of = F.element_at(F.array(*(F.lit(first[user]) for user in range(some))), F.col("id").cast("int") + 1)
    again = first_due_days(some, day_of, range(1, 15))
    assert again == {user: first[user] + 7 for user in range(some)}, "its moment comes again after a lifetime"


def test_changed_profiles_and_new_users_are_found(spark):
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
    assert users(users_with_new_profile(before, now, ids)) == [1, 3]
    assert users(new_users(ids, 2)) == [2, 3]
    why = users_to_refresh(
        {
            "profile": users_with_new_profile(before, now, ids),
            "new": new_users(ids, 3),
            "changed": ids.where("user_idx = 3").union(ids.where("user_idx = 3")),
        }
    )
    assert sorted(map(tuple, why.collect())) == [(1, "profile"), (3, "changed"), (3, "new"), (3, "profile")]


def test_the_last_row_of_a_user_refreshed_twice_counts(spark):
    base = spark.createDataFrame([(0, "base"), (1, "base"), (2, "base")], "idx int, told string")
    hot = spark.createDataFrame(
        [(1, "second", 2), (1, "first", 1), (3, "came", 1)], "idx int, told string, refresh int"
    )
    expected = spark.createDataFrame(
        [(0, "base"), (1, "second"), (2, "base"), (3, "came")], "idx int, told string"
    )
    assert_df_equality(newest(base, hot, "idx"), expected, ignore_row_order=True)


def test_evidence_that_the_model_cannot_use_is_given_as_a_share(spark):
    weighed = spark.createDataFrame([(1, 3.0), (2, 1.0)], "recording_idx int, positive double")
    assert unknown_share(weighed, spark.createDataFrame([(1,)], "idx int")).first()["unknown"] == 0.25
    assert (
        unknown_share(weighed.limit(0), weighed.selectExpr("recording_idx AS idx")).first()["unknown"] is None
    )
