"""Is what came in, and what went out, as it usually is: the counts that `trackpools watch` judges, each a few rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

WEEKS = 4  # a day is compared with the same day of so many weeks before
COLUMNS = (
    "ms_played",
    "received_at",
    "context_type",
    "reason_end",
)  # of plays: what a client sends or forgets to send


@dataclass(frozen=True)
class Check:
    """What was found, and between which two it should lie; None is no bound.

    Attributes:
        name: of the section of runbook.md that says what to do.
        slice: what it is about, `all` or such as column=ms_played.
        usual: what it is compared with, for whoever reads the summary.
    """

    name: str
    slice: str
    found: float
    low: float | None = None
    high: float | None = None
    usual: str = ""

    @property
    def holds(self) -> bool:
        return (self.low is None or self.found >= self.low) and (self.high is None or self.found <= self.high)


def daily(plays: DataFrame, as_of: datetime) -> DataFrame:
    """`ago int (0: the 24 hours before as_of), plays long, users long` of those 24 hours and of the same ones 7, 14, … days before."""
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


def usual(counts: dict[int, int]) -> float | None:
    """The median of the same day of the weeks before; None where the log has fewer than two of them."""
    before = [counts[7 * week] for week in range(1, WEEKS + 1) if 7 * week in counts]
    return float(median(before)) if len(before) > 1 else None


def null_shares(plays: DataFrame, as_of: datetime) -> DataFrame:
    """`recent boolean`, and of each of `COLUMNS` the share that is null: in the 24 hours before as_of, and in the 28 days before those."""
    end, last, first = (F.lit(as_of - timedelta(days=days)) for days in (0, 1, 29))
    there = plays.where((F.col("played_at") < end) & (F.col("played_at") >= first)).withColumn(
        "recent", F.col("played_at") >= last
    )
    return there.groupBy("recent").agg(
        *(F.avg(F.col(name).isNull().cast("double")).alias(name) for name in COLUMNS)
    )


def turnover(before: DataFrame, now: DataFrame) -> DataFrame:
    """One row `lost, new double`: of recordings played in the 28 days before, as shares of those of the older release.

    Args:
        before, now: `recording_features` of two releases.
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
    """`rule` (null: full), `users long, size double`: pools by the rule that left them short, and the mean share of k that they hold."""
    return pools.groupBy(F.col("shortfall.rule").alias("rule")).agg(
        F.count(F.lit(1)).alias("users"), (F.avg(F.size("candidates.recording")) / k).alias("size")
    )


def within(psi: Sequence[tuple[str, float, float]], most: float) -> list[Check]:
    """A check for each spread: beyond `most`, and beyond what chance does.

    Args:
        psi: what is spread, its index, and the index that chance stays below.
    """
    return [
        Check("psi", f"of={name}", index, high=max(most, chance), usual=f"{chance:.3f} by chance")
        for name, index, chance in psi
    ]


def is_timed() -> Column:
    """What volume counts: timed plays."""
    return (F.col("kind") == "play") & F.col("played_at").isNotNull()
