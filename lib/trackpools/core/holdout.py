"""Splits into what may be learned from and what is asked afterwards. What trains takes a `TrainOnly`, from which the test cannot be reached."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

PAIR = ["user_idx", "recording_idx"]


@dataclass(frozen=True)
class TrainOnly:
    """Rows that may be learned from, with `user_idx, recording_idx`; there is no way from here to the test."""

    rows: DataFrame


@dataclass(frozen=True)
class Split:
    """Both sides of a split.

    Attributes:
        test: rows that are asked for, with `user_idx, recording_idx`; never given to what trains.
    """

    train: TrainOnly
    test: DataFrame

    def counts(self) -> DataFrame:
        """One row: `train_rows, test_rows, test_users, test_recordings, cold_users, cold_recordings, repeats`; none of them is dropped for what it is.

        Cold are those of the test that train does not know, repeats its pairs that are in train too.
        """
        rows, train = self.test.select(*PAIR), self.train.rows
        for mark, key in (("_user", PAIR[:1]), ("_recording", PAIR[1:]), ("_pair", PAIR)):
            rows = rows.join(train.select(*key).distinct().withColumn(mark, F.lit(1)), key, "left")
        told = rows.agg(
            F.count(F.lit(1)).alias("test_rows"),
            F.count_distinct("user_idx").alias("test_users"),
            F.count_distinct("recording_idx").alias("test_recordings"),
            F.count_distinct(F.when(F.col("_user").isNull(), F.col("user_idx"))).alias("cold_users"),
            F.count_distinct(F.when(F.col("_recording").isNull(), F.col("recording_idx"))).alias(
                "cold_recordings"
            ),
            F.count_distinct(F.when(F.col("_pair").isNotNull(), F.struct(*PAIR))).alias("repeats"),
        )
        return told.crossJoin(train.agg(F.count(F.lit(1)).alias("train_rows")))


def by_time(rows: DataFrame, cut: datetime, *, gap_days: int = 0, horizon_days: int, at: str = "at") -> Split:
    """Train before `cut` UTC; test from `gap_days` after it, `horizon_days` long. Rows without a time are in neither."""
    begins = cut + timedelta(days=gap_days)
    later = (F.col(at) >= F.lit(begins)) & (F.col(at) < F.lit(begins + timedelta(days=horizon_days)))
    return Split(TrainOnly(rows.where(F.col(at) < F.lit(cut))), rows.where(later))


def last_n(rows: DataFrame, n: int, *, at: str = "at") -> Split:
    """The test is each user's last n rows by time, ties by recording; a user of n rows or fewer keeps one to be known by: the first."""
    mine = Window.partitionBy("user_idx")
    late = F.row_number().over(mine.orderBy(F.desc_nulls_last(at), F.desc("recording_idx")))
    return _parted(rows, late <= F.least(F.lit(n), F.count(F.lit(1)).over(mine) - 1))


def leave_one_out(rows: DataFrame, *, at: str = "at") -> Split:
    """The test is each user's last row."""
    return last_n(rows, 1, at=at)


def fraction(
    rows: DataFrame, share: float, seed: int, *, by: tuple[str, str] = ("user_idx", "recording_idx")
) -> Split:
    """The test is `share` of each user's rows, rounded down, drawn by a hash of user, recording and seed: the same rows whatever the partitions.

    Args:
        by: the columns of user and recording, where they are called otherwise.
    """
    mine = Window.partitionBy(by[0])
    lot = F.row_number().over(mine.orderBy(F.xxhash64(*by, F.lit(seed)), by[1]))
    return _parted(rows, lot <= F.floor(F.lit(share) * F.count(F.lit(1)).over(mine)))


def given(train: DataFrame, test: DataFrame) -> Split:
    """A split that others have made."""
    return Split(TrainOnly(train), test)


def _parted(rows: DataFrame, is_test: Column) -> Split:
    told = rows.withColumn("_test", is_test)
    return Split(TrainOnly(told.where(~F.col("_test")).drop("_test")), told.where("_test").drop("_test"))
