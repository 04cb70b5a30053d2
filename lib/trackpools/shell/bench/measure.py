"""Pools measured by what was heard after them, at growing numbers of users: seconds, and whether the driver holds more for more users."""

import resource
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.sources import SOURCES
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import seconds
from trackpools.shell.bench.memory import peak
from trackpools.shell.kept import kept
from trackpools.shell.measuring import Past, measured
from trackpools.shell.session import spark_session

AS_OF, K, HEARD, LATER, GIB = datetime(2026, 1, 1, tzinfo=UTC), 500, 40, 20, 2**30
MARKETS = ("SE", "NO", "DK", "FI", "DE", "US")


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Pools of 500, 40 recordings heard before and 20 plays after, 28 days; everything that `trackpools evaluate` says of pools."""
    most, recordings = size.of((1_000_000, 100_000), (20_000, 5000))
    minutes, growth = (
        Ratio(f"minutes for {most:,} users", 10.0, at_most=True),
        Ratio("Python driver's memory, of ten times the users", 1.2, at_most=True),
    )
    found, spark = Measured([minutes, growth]), spark_session(config.session)
    for number in range(1, rounds + 1):
        held = []
        for users in (most // 10, most):
            tell(f"round {number}: {users:,} users")
            folder = Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
            try:
                past, plays = _world(spark, config, folder, users, recordings)
                with peak() as most_held:
                    spent = found.note(
                        f"{users:,} users, s", seconds(lambda past=past, plays=plays: _measured(past, plays))
                    )  # type: ignore[misc]
                held.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
                found.note(f"{users:,} users, peak GiB of all processes", most_held.bytes / GIB)
                found.note(f"{users:,} users, driver's GiB", held[-1] / GIB)
            finally:
                shutil.rmtree(folder)
        minutes.values.append(spent / 60)
        growth.values.append(held[1] / held[0])
    return found


def _measured(past: Past, plays: DataFrame) -> None:
    with kept(past.later(plays)) as later:
        measured(past, past.read("pools"), later, {source.bit: source.name for source in SOURCES})


def _world(
    spark: SparkSession, config: Config, folder: Path, users: int, recordings: int
) -> tuple[Past, DataFrame]:
    """Everything by hashes, on disk as the flow leaves it: everybody in one of six markets, recordings of popularity 1 / rank."""
    people, things = (
        spark.range(n).select(F.col("id").cast("int").alias(name))
        for n, name in ((users, "user_idx"), (recordings, "recording_idx"))
    )
    user, thing = F.col("user_idx"), F.col("recording_idx")

    def drawn(n: int, step: int, salt: int) -> Column:
        """So many different recordings of a user."""
        start = F.pmod(F.xxhash64("user_idx", F.lit(salt)), F.lit(recordings))
        return F.transform(
            F.sequence(F.lit(1), F.lit(n)), lambda i: F.pmod(start + i * step, F.lit(recordings)).cast("int")
        )

    bits = len(SOURCES)
    candidate = F.transform(
        drawn(K, 7, 1),
        lambda one: F.struct(one.alias("recording"), (1 + F.pmod(one, F.lit(2**bits - 1))).alias("sources")),
    )
    rng = np.random.default_rng(0)
    sketches = spark.createDataFrame(
        [(i, bytearray(rng.integers(-60, 60, 16, np.int8).tobytes())) for i in range(256)],
        "slot int, sketch binary",
    )
    listeners = F.greatest(F.lit(1), (F.lit(float(users)) / (thing + 1)).cast("int"))
    facts = (
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
    told: dict[str, Any] = {
        "pools": people.select("user_idx", candidate.alias("candidates")),
        "recording_facts": facts,
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
    past = Past(lambda name: spark.read.parquet(str(folder / name)), AS_OF, own, (7, 28))
    return past, past.read(t.PLAYS.name)
