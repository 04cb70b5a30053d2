"""Split rows into a training side and a test side.

The training side is a `TrainOnly`. Code that receives only this object cannot reach the test rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

PAIR = ["user_idx", "recording_idx"]


@dataclass(frozen=True)
class TrainOnly:
    """The training rows of a split, without any reference to the test rows.

    Attributes:
        rows: training rows, with at least the columns `user_idx, recording_idx`.
    """

    rows: DataFrame


@dataclass(frozen=True)
class Split:
    """Both sides of a split.

    Attributes:
        train: rows that a model may be trained on.
        test: rows that a model must predict, with at least the columns `user_idx, recording_idx`; code that
            trains must never receive them.
    """

    train: TrainOnly
    test: DataFrame

    def counts(self) -> DataFrame:
        """Count the rows of the split, and the users, recordings, cold ones and repeats of the test.

        Nothing is removed from the split.

        Returns:
            One row `train_rows, test_rows, test_users, test_recordings, cold_users, cold_recordings,
            repeats`. Cold users and cold recordings are those of the test that do not occur in train. Repeats
            are the distinct pairs (user, recording) of the test that occur in train too.
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
    """Split by time: rows before `cut` are train, and rows of a period after it are the test.

    A row without a time is in neither side.

    Args:
        rows: rows with `user_idx, recording_idx` and the time column.
        cut: rows before this moment, not at it, are train.
        gap_days: days between `cut` and the start of the test period; rows in the gap are in neither side.
        horizon_days: length of the test period in days.
        at: name of the time column.
    """
    begins = cut + timedelta(days=gap_days)
    later = (F.col(at) >= F.lit(begins)) & (F.col(at) < F.lit(begins + timedelta(days=horizon_days)))
    return Split(TrainOnly(rows.where(F.col(at) < F.lit(cut))), rows.where(later))


def last_n(rows: DataFrame, n: int, *, at: str = "at") -> Split:
    """Split off each user's last `n` rows by time as the test.

    Of rows with equal times, the one with the higher `recording_idx` counts as later; a row without a time
    counts as the earliest. Every user keeps at least one row in train, so that the model knows every user.
    """
    mine = Window.partitionBy("user_idx")
    late = F.row_number().over(mine.orderBy(F.desc_nulls_last(at), F.desc("recording_idx")))
    return _parted(rows, late <= F.least(F.lit(n), F.count(F.lit(1)).over(mine) - 1))


def leave_one_out(rows: DataFrame, *, at: str = "at") -> Split:
    """Split off each user's last row as the test; the row of a user with a single row stays in train."""
    return last_n(rows, 1, at=at)


def fraction(
    rows: DataFrame, share: float, seed: int, *, by: tuple[str, str] = ("user_idx", "recording_idx")
) -> Split:
    """Split off a pseudo-random share of each user's rows as the test.

    The rows are chosen by a hash of user, recording and seed, so the result does not depend on partitions.

    Args:
        rows: the rows to split.
        share: fraction of each user's rows that are the test; the number of rows is rounded down.
        seed: seed of the hash.
        by: names of the user and the recording column.
    """
    mine = Window.partitionBy(by[0])
    lot = F.row_number().over(mine.orderBy(F.xxhash64(*by, F.lit(seed)), by[1]))
    return _parted(rows, lot <= F.floor(F.lit(share) * F.count(F.lit(1)).over(mine)))


def existing_split(train: DataFrame, test: DataFrame) -> Split:
    """Return the split with these training rows and test rows."""
    return Split(TrainOnly(train), test)


def _parted(rows: DataFrame, is_test: Column) -> Split:
    told = rows.withColumn("_test", is_test)
    return Split(TrainOnly(told.where(~F.col("_test")).drop("_test")), told.where("_test").drop("_test"))
