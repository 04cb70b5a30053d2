"""Is an input as full as it usually is: hours of each market beside the same hours of the days before, and columns that should be filled."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config_contracts import Complete
from trackpools.core.audience import EVERYWHERE

DAY = timedelta(hours=24)


def window(as_of: datetime, days: int) -> tuple[datetime, datetime, datetime]:
    """(first hour of the days before, first of the last 24 full hours, their end)."""
    end = as_of.replace(minute=0, second=0, microsecond=0)
    return end - DAY * (days + 1), end - DAY, end


def thin_hours(plays: DataFrame, users: DataFrame, as_of: datetime, asked: Complete) -> DataFrame:
    """`market, hour (0 to 23 UTC), plays, usual`: hours of the last 24 with less than their share of the median of the days before; one without any has 0.

    An hour is judged that had plays on more than half of those days, and `least_plays` as the median of these.

    Args:
        plays: `user_id, played_at, plays`.
        users: `user_id, market`; unknown is `*`.
    """
    first, last, end = (F.lit(at) for at in window(as_of, asked.days))
    there = plays.where((F.col("played_at") >= first) & (F.col("played_at") < end)).join(
        users.select("user_id", "market"), "user_id", "left"
    )
    market, at = (
        F.coalesce("market", F.lit(EVERYWHERE)).alias("market"),
        F.date_trunc("hour", "played_at").alias("at"),
    )
    counts = there.groupBy(market, at).agg(F.sum("plays").alias("n"))
    hours = counts.withColumn("hour", F.hour("at"))
    before = (
        hours.where(F.col("at") < last)
        .groupBy("market", "hour")
        .agg(F.percentile("n", 0.5).alias("usual"), F.count(F.lit(1)).alias("days"))
    )
    judged = before.where((F.col("days") * 2 > asked.days) & (F.col("usual") >= asked.least_plays))
    now = hours.where(F.col("at") >= last).select("market", "hour", F.col("n").alias("plays"))
    beside = judged.join(now, ["market", "hour"], "left").fillna(0, ["plays"])
    return beside.where(F.col("plays") < F.lit(asked.least_share) * F.col("usual")).select(
        "market", "hour", "plays", "usual"
    )


def filled(rows: DataFrame, columns: Iterable[str]) -> DataFrame:
    """One row: `rows`, and of each column the share in which it is not null (null of no rows)."""
    some = F.when(F.count(F.lit(1)) > 0, F.count(F.lit(1)))
    return rows.agg(
        F.count(F.lit(1)).alias("rows"),
        *((F.count(F.col(f"`{name}`")) / some).alias(name) for name in columns),
    )
