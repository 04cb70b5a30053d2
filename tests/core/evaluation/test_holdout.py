"""Tests of the holdout splits.

Splitting a frame puts each row on at most one side, and training cannot reach the test rows. Cold users and
cold recordings are counted.
"""

import datetime as dt
from collections import defaultdict

import pytest
from pyspark.sql import functions as F

from trackpools.core.evaluation import holdout
from trackpools.core.evaluation.holdout import TrainOnly

CUT = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
USERS = {0: 12, 1: 5, 2: 1, 3: 30}


@pytest.fixture(scope="module")
def log(spark):
    """Return a frame of plays; user u has `USERS[u]` rows.

    The plays of each user begin 60 hours before the cut. There are two at a time (at the end perhaps one),
    in steps of twelve hours.
    """
    rows = [(u, r, CUT + dt.timedelta(hours=r // 2 * 12 - 60)) for u, n in USERS.items() for r in range(n)]
    return spark.createDataFrame(rows, "user_idx int, recording_idx int, at timestamp")


def pairs(frame):
    return [(row["user_idx"], row["recording_idx"]) for row in frame.collect()]


def recordings_by_user(frame):
    found = defaultdict(list)
    for user, recording in pairs(frame):
        found[user].append(recording)
    return {user: sorted(recordings) for user, recordings in found.items()}


@pytest.mark.parametrize("gap", [0, 2])
def test_all_users_share_one_cut_and_the_gap_is_in_neither_part(log, gap):
    split = holdout.by_time(log, CUT, gap_days=gap, horizon_days=3)
    begins = CUT + dt.timedelta(days=gap)
    times = {
        name: [row["at"].replace(tzinfo=dt.UTC) for row in rows.collect()]
        for name, rows in (("train", split.train.rows), ("test", split.test))
    }
    assert max(times["train"]) < CUT
    assert begins <= min(times["test"])
    assert max(times["test"]) < begins + dt.timedelta(days=3)
    assert len(times["train"]) == log.where(F.col("at") < F.lit(CUT)).count()
    after = F.col("at").between(F.lit(begins), F.lit(begins + dt.timedelta(days=3, microseconds=-1)))
    assert len(times["test"]) == log.where(after).count()


@pytest.mark.parametrize("n", [1, 3, 7])
def test_the_last_n_rows_of_each_user_are_the_test_and_at_least_one_row_is_kept(log, n):
    split = holdout.last_n(log, n)
    assert recordings_by_user(split.test) == {
        u: list(range(max(1, many - n), many)) for u, many in USERS.items() if many > 1
    }
    assert sorted(pairs(split.train.rows) + pairs(split.test)) == sorted(pairs(log))


def test_leave_one_out_makes_the_last_row_the_test(log):
    assert recordings_by_user(holdout.leave_one_out(log).test) == {0: [11], 1: [4], 3: [29]}


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_a_share_is_drawn_at_random_and_does_not_depend_on_partitions(log, partitions):
    split = holdout.fraction(log.repartition(partitions), 0.25, seed=1)
    assert {u: len(recordings) for u, recordings in recordings_by_user(split.test).items()} == {
        0: 3,
        1: 1,
        3: 7,
    }
    assert recordings_by_user(split.test) == recordings_by_user(holdout.fraction(log, 0.25, seed=1).test)
    assert recordings_by_user(split.test) != recordings_by_user(holdout.fraction(log, 0.25, seed=2).test)
    assert sorted(pairs(split.train.rows) + pairs(split.test)) == sorted(pairs(log))


def test_cold_users_and_repeats_are_counted_and_kept(spark):
    schema = "user_idx int, recording_idx int"
    split = holdout.existing_split(
        spark.createDataFrame([(0, 0), (0, 1), (0, 1), (1, 0)], schema),
        spark.createDataFrame([(0, 1), (0, 1), (0, 9), (5, 0), (6, 8)], schema),
    )
    assert split.counts().first().asDict() == {
        "train_rows": 4,
        "test_rows": 5,
        "test_users": 3,
        "test_recordings": 4,
        "cold_users": 2,
        "cold_recordings": 2,
        "repeats": 1,
    }
    assert split.test.count() == 5


def test_training_cannot_reach_the_test(log):
    split = holdout.last_n(log, 1)
    assert isinstance(split.train, TrainOnly)
    assert set(vars(split.train)) == {"rows"}
    assert not set(pairs(split.train.rows)) & set(pairs(split.test))
