"""Check whether an input is as complete as usual.

The plays of each market and hour are compared with the same hour of the days before. For columns that should
be filled, the share of rows with a value is computed.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config.data import Complete
from trackpools.core.log.audience import EVERYWHERE

DAY = timedelta(hours=24)


def compared_hours(as_of: datetime, days: int) -> tuple[datetime, datetime, datetime]:
    """Return the start of the days before, the start of the last 24 full hours, and their end.

    Args:
        as_of: a moment in the hour after the last full hour.
        days: number of days before the last 24 full hours.
    """
    end = as_of.replace(minute=0, second=0, microsecond=0)
    return end - DAY * (days + 1), end - DAY, end


def thin_hours(plays: DataFrame, users: DataFrame, as_of: datetime, contract: Complete) -> DataFrame:
    """Return those of the last 24 full hours that have too few plays, compared with the days before.

    An hour of a market has too few plays if it has less than `least_share` × the median of the same hour on
    the `days` before. An hour is judged only if the same hour had plays on more than half of those days, with
    a median of at least `least_plays`.

    Args:
        plays: `user_id, played_at, plays`.
        users: `user_id, market`; the plays of a user without a market count for market `*`.
        as_of: the moment up to which full hours are compared.
        contract: the limits `days`, `least_share` and `least_plays`.

    Returns:
        One row for each market × hour with too few plays: `market`, `hour` (0 to 23, UTC), `plays` (0 for an
        hour without plays), `usual` (the median).
    """
    first, last, end = (F.lit(at) for at in compared_hours(as_of, contract.days))
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
    judged = before.where((F.col("days") * 2 > contract.days) & (F.col("usual") >= contract.least_plays))
    now = hours.where(F.col("at") >= last).select("market", "hour", F.col("n").alias("plays"))
    beside = judged.join(now, ["market", "hour"], "left").fillna(0, ["plays"])
    return beside.where(F.col("plays") < F.lit(contract.least_share) * F.col("usual")).select(
        "market", "hour", "plays", "usual"
    )


def filled_shares(rows: DataFrame, columns: Iterable[str]) -> DataFrame:
    """Return the share of rows in which each of the columns is not null.

    Returns:
        One row: `rows` (the number of rows), and the share under the name of each column. The shares are null
        if there are no rows.
    """
    some = F.when(F.count(F.lit(1)) > 0, F.count(F.lit(1)))
    return rows.agg(
        F.count(F.lit(1)).alias("rows"),
        *((F.count(F.col(f"`{name}`")) / some).alias(name) for name in columns),
    )
