"""Measure for `trackpools watch` whether the log and the pools look as they usually do.

Every resulting frame has only a few rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

WEEKS = 4  # a day is compared with the same weekday of this many weeks before
COLUMNS = (
    "ms_played",
    "received_at",
    "context_type",
    "reason_end",
)  # columns of plays that a client may forget to send


@dataclass(frozen=True)
class WatchCheck:
    """A measured value and the bounds that it should keep.

    Attributes:
        name: name of the check; the section "Alerts of watch" of runbook.md says what to do for each name.
        slice: the part of the data that was measured: `all`, or for example `column=ms_played`.
        found: the measured value.
        low: smallest value allowed; None if there is no lower bound.
        high: largest value allowed; None if there is no upper bound.
        usual: what `found` is compared with, as text for the summary of the command.
    """

    name: str
    slice: str
    found: float
    low: float | None = None
    high: float | None = None
    usual: str = ""

    @property
    def holds(self) -> bool:
        """Whether the value is within its bounds."""
        return (self.low is None or self.found >= self.low) and (self.high is None or self.found <= self.high)


def daily(plays: DataFrame, as_of: datetime) -> DataFrame:
    """Count plays and users of the last 24 hours, and of the same 24 hours of the weeks before.

    Args:
        plays: plays with `played_at`, `user_id` and `plays`.
        as_of: end of the last 24 hours.

    Returns:
        One row for each period with plays: `ago int, plays long, users long`. `ago` is 0 for the 24 hours
        before `as_of`, and 7, 14, 21 or 28 for those that many days earlier.
    """
    end = F.lit(as_of)
    ago = F.floor((F.unix_micros(end) - 1 - F.unix_micros("played_at")) / F.lit(86_400_000_000)).cast("int")
    there = plays.where(
        (F.col("played_at") < end) & (F.col("played_at") >= F.lit(as_of - timedelta(days=7 * WEEKS + 1)))
    ).withColumn("ago", ago)
    return (
        there.where(F.col("ago") % 7 == 0)
        .groupBy("ago")
        .agg(F.sum("plays").alias("plays"), F.count_distinct("user_id").alias("users"))
    )


def usual_count(counts: dict[int, int]) -> float | None:
    """Return the median count of the same day in the weeks before.

    Args:
        counts: `ago` → count, from the result of `daily`.

    Returns:
        The median; None if the log has fewer than two of these days.
    """
    before = [counts[7 * week] for week in range(1, WEEKS + 1) if 7 * week in counts]
    return float(median(before)) if len(before) > 1 else None


def null_shares(plays: DataFrame, as_of: datetime) -> DataFrame:
    """Compute the share of nulls in each of `COLUMNS`, recently and before.

    Returns:
        At most two rows: `recent boolean` and one double for each of `COLUMNS`. `recent` is true for the
        plays of the 24 hours before `as_of`, and false for the plays of the 28 days before these hours.
    """
    end, last, first = (F.lit(as_of - timedelta(days=days)) for days in (0, 1, 29))
    there = plays.where((F.col("played_at") < end) & (F.col("played_at") >= first)).withColumn(
        "recent", F.col("played_at") >= last
    )
    return there.groupBy("recent").agg(
        *(F.avg(F.col(name).isNull().cast("double")).alias(name) for name in COLUMNS)
    )


def turnover(before: DataFrame, now: DataFrame) -> DataFrame:
    """Compare which recordings were played in the last 28 days before each of two releases.

    Args:
        before, now: `recording_features` of the older and the newer release.

    Returns:
        One row `lost double, new double`. `lost` counts the recordings that were played only before the older
        release, and `new` those that were played only before the newer one. Both are divided by the number of
        recordings that were played before the older release; they are null if that number is 0.
    """
    old, new = (
        frame.where(F.col("plays_28d") > 0).select("recording_idx", F.lit(1).alias(name))
        for frame, name in ((before, "_old"), (now, "_new"))
    )
    both, there = old.join(new, "recording_idx", "full"), F.nullif(F.count("_old"), F.lit(0))
    return both.agg(
        (F.count_if(F.col("_new").isNull()) / there).alias("lost"),
        (F.count_if(F.col("_old").isNull()) / there).alias("new"),
    )


def fullness(pools: DataFrame, k: int) -> DataFrame:
    """Count the pools that each rule left short, and the full pools, with their mean size.

    Args:
        pools: pools as in `tables.POOLS`.
        k: size of a full pool.

    Returns:
        One row for each rule, and one for full pools (`rule` is null): `rule, users long, size double`.
        `size` is the mean number of candidates, divided by `k`.
    """
    return pools.groupBy(F.col("shortfall.rule").alias("rule")).agg(
        F.count(F.lit(1)).alias("users"), (F.avg(F.size("candidates.recording")) / k).alias("size")
    )


def psi_checks(psi: Sequence[tuple[str, float, float]], max_psi: float) -> list[WatchCheck]:
    """Build one check for each distribution; it fails if the PSI is above both `max_psi` and chance.

    Args:
        psi: for each distribution its name, its PSI (see `drift`), and the bound of a PSI that arises by
            chance (`drift.chance_psi`).
        max_psi: largest PSI allowed.
    """
    return [
        WatchCheck("psi", f"of={name}", index, high=max(max_psi, chance), usual=f"{chance:.3f} by chance")
        for name, index, chance in psi
    ]


def is_timed() -> Column:
    """Return whether a row of `plays` is a play with a time; the checks of the log count only such rows."""
    return (F.col("kind") == "play") & F.col("played_at").isNotNull()
