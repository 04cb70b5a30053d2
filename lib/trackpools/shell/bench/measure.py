"""Benchmark of measuring pools by later plays: seconds, and growth of the Python driver's memory."""

import resource
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.sources import SOURCES
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.memory import peak
from trackpools.shell.bench.workloads import seconds
from trackpools.shell.measurement.pool_measures import EvaluationWindow, measure_pools
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.spark.session import spark_session

# K: candidates of a pool. HEARD: recordings that each user heard before AS_OF. LATER: plays of each user after
# AS_OF.
AS_OF, K, HEARD, LATER, GIB = datetime(2026, 1, 1, tzinfo=UTC), 500, 40, 20, 2**30
MARKETS = ("SE", "NO", "DK", "FI", "DE", "US")


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Compute every measure of pools that `trackpools evaluate` reports, for two numbers of users.

    The smaller number is a tenth of the larger. Each user has a pool of 500, heard 40 recordings before, and
    has 20 plays in the 28 days after.

    Returns:
        Ratios: the minutes at the larger number of users, and the peak resident memory of the Python driver
        at the larger number ÷ at the smaller one.
    """
    most, recordings = size.of((1_000_000, 100_000), (20_000, 5000))
    minutes, growth = (
        Ratio(f"minutes for {most:,} users", 10.0, at_most=True),
        Ratio("Python driver's memory, of ten times the users", 1.2, at_most=True),
    )
    found, spark = Measured([minutes, growth]), spark_session(config.session)
    for number in range(1, rounds + 1):
        held = []
        for users in (most // 10, most):
            progress(f"round {number}: {users:,} users")
            folder = Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
            try:
                past, plays = _world(spark, config, folder, users, recordings)
                with peak() as most_held:
                    spent = found.note(f"{users:,} users, s", seconds(partial(_measured, past, plays)))
                held.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
                found.note(f"{users:,} users, peak GiB of all processes", most_held.bytes / GIB)
                found.note(f"{users:,} users, driver's GiB", held[-1] / GIB)
            finally:
                shutil.rmtree(folder)
        minutes.values.append(spent / 60)
        growth.values.append(held[1] / held[0])
    return found


def _measured(past: EvaluationWindow, plays: DataFrame) -> None:
    """Compute all measures of the pools from the later plays."""
    with persisted(past.later(plays)) as later:
        measure_pools(past, past.read("pools"), later, {source.bit: source.name for source in SOURCES})


def _facts(spark: SparkSession, things: DataFrame, users: int) -> DataFrame:
    """Return the facts of every recording.

    Args:
        spark: The session.
        things: `recording_idx`, one row for each recording.
        users: The number of users.
    """
    thing = F.col("recording_idx")
    rng = np.random.default_rng(0)
    sketches = spark.createDataFrame(
        [(i, bytearray(rng.integers(-60, 60, 16, np.int8).tobytes())) for i in range(256)],
        "slot int, sketch binary",
    )
    listeners = F.greatest(F.lit(1), (F.lit(float(users)) / (thing + 1)).cast("int"))
    return (
        things.withColumn("slot", F.pmod(thing, F.lit(256)).cast("int"))
        .join(F.broadcast(sketches), "slot")
        .select(
            "recording_idx",
            (thing / 10).cast("int").alias("artist"),
            (1960 + 10 * (thing % 7)).cast("short").alias("decade"),
            (thing % 20).cast("byte").alias("tag_group"),
            listeners.alias("listeners"),
            F.date_sub(F.lit(AS_OF.date()), (thing % 4000).cast("int")).alias("released"),
            "sketch",
        )
    )


def _world(
    spark: SparkSession, config: Config, folder: Path, users: int, recordings: int
) -> tuple[EvaluationWindow, DataFrame]:
    """Write the tables that `measure_pools` reads; their values are computed from numbers and hashes.

    Each user is in one of six markets. The number of listeners of a recording is proportional to 1 ÷ rank.

    Args:
        spark: The session that writes and reads the tables.
        config: The merged configuration.
        folder: An existing, empty folder.
        users: The number of users.
        recordings: The number of recordings.

    Returns:
        The window, with horizons of 7 and 28 days, and the plays after AS_OF.
    """
    people, things = (
        spark.range(n).select(F.col("id").cast("int").alias(name))
        for n, name in ((users, "user_idx"), (recordings, "recording_idx"))
    )
    user, thing = F.col("user_idx"), F.col("recording_idx")

    def drawn(n: int, step: int, salt: int) -> Column:
        """Return `n` different recordings of the user of the row, array<int>."""
        start = F.pmod(F.xxhash64("user_idx", F.lit(salt)), F.lit(recordings))
        return F.transform(
            F.sequence(F.lit(1), F.lit(n)), lambda i: F.pmod(start + i * step, F.lit(recordings)).cast("int")
        )

    bits = len(SOURCES)
    candidate = F.transform(
        drawn(K, 7, 1),
        lambda one: F.struct(one.alias("recording"), (1 + F.pmod(one, F.lit(2**bits - 1))).alias("sources")),
    )
    told: dict[str, Any] = {
        "pools": people.select("user_idx", candidate.alias("candidates")),
        "recording_facts": _facts(spark, things, users),
        "recording_features": things,
        "user_ids": people.select(user.cast("string").alias("user_id"), "user_idx"),
        "recording_ids": things.select(thing.cast("string").alias("recording_id"), "recording_idx"),
        "users": people.select(
            user.cast("string").alias("user_id"),
            F.element_at(F.lit(list(MARKETS)), 1 + user % len(MARKETS)).alias("market"),
            F.lit("allow").alias("explicit_policy"),
            F.lit("").alias("birth_band"),
            F.lit(["rock"]).alias("declared_tags"),
        ),
        "user_features": people.select("user_idx", (1 + user % 10).cast("byte").alias("activity_decile")),
        "user_factors": people.select(user.alias("idx")),
        "tracks": things.select(
            thing.cast("string").alias("track_id"), thing.cast("string").alias("recording_id")
        ),
        "track_cards": things.select(
            "recording_idx",
            F.lit("*").alias("market"),
            (1 - thing / recordings).cast("float").alias("popularity"),
        ),
        "interactions": people.select(
            "user_idx", F.explode(drawn(HEARD, 11, 2)).alias("recording_idx")
        ).withColumns({"plays": F.lit(3), "counted": F.lit(0), "rated": F.lit(None).cast("byte")}),
        t.PLAYS.name: people.select(
            user.cast("string").alias("user_id"),
            F.explode(drawn(LATER, 3, 1).cast("array<string>")).alias("track_id"),
        ).withColumns(
            {
                "played_at": F.timestamp_seconds(
                    F.lit(int(AS_OF.timestamp()))
                    + F.pmod(F.xxhash64("user_id", "track_id"), F.lit(28 * 86_400))
                ),
                "context_type": F.lit("album"),
                "plays": F.lit(1),
                "content_type": F.lit("music"),
                "private": F.lit(False),
            }
        ),
    }
    for name, frame in told.items():
        frame.write.parquet(str(folder / name))
    own = config.model_copy(
        update={"holdout": config.holdout.model_copy(update={"days": 28, "short_days": 7})}
    )
    past = EvaluationWindow(lambda name: spark.read.parquet(str(folder / name)), AS_OF, own, (7, 28))
    return past, past.read(t.PLAYS.name)
