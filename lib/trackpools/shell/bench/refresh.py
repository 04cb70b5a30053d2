"""Benchmark of a refresh, compared with the full run that it replaces: seconds and bytes written.

One user in a hundred has played something since the full run.
"""

from collections.abc import Callable
from pathlib import Path

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.world import generated
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.refresh.refresh_command import refresh
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.store import Store
from trackpools.stages import STAGES

# BUCKETS: value of pools.buckets. DAYS, PLAYS: days of the log, and mean plays of a user in a day.
BUCKETS, DAYS, PLAYS = 256, 30, 3.0
QUIET = Options(quiet=True)


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Run all stages and then a refresh, with all configured sources and rules.

    Each round generates the synthetic world again, in a new store.

    Returns:
        Ratios: the seconds of the refresh ÷ those of the stage `pools` in the full run, and the bytes that
        the refresh writes ÷ the bytes of the pools that the full run wrote.
    """
    users, recordings = size.of((200_000, 50_000), (5_000, 5_000))
    of_time, of_bytes = (
        Ratio("seconds, of the full run's pools", 0.05, at_most=True),
        Ratio("bytes written, of the base's", 0.02, at_most=True),
    )
    found, wide = (
        Measured([of_time, of_bytes]),
        config.model_copy(update={"pools": config.pools.model_copy(update={"buckets": BUCKETS})}),
    )
    for number in range(1, rounds + 1):
        with generated(wide, users=users, tracks=recordings, days=DAYS, plays_per_user_day=PLAYS) as own:
            progress(f"round {number}: {users:,} users, a full run")
            found.note("plays", pipeline.import_log(own, QUIET, "synthetic", None).more["accepted"])
            stages = pipeline.run_stages(
                own, QUIET, "run", STAGES, publish=True, as_of=None, known_as_of=None
            ).more["stages"]
            full = found.note(
                "full run's pools, s", next(one["seconds"] for one in stages if one["stage"] == "pools")
            )
            store = Store(spark_session(own.session), own.store)
            base = found.note(
                "base, MiB", float(store.commit(t.POOLS.name).counted["numOutputBytes"]) / 2**20
            )
            progress(f"round {number}: one user in a hundred plays something; refresh")
            pipeline.import_log(own, QUIET, "events", str(_write_new_plays(store)))
            told = refresh(own, QUIET, as_of=None, known_as_of=None).more
            of_time.values.append(found.note("refresh, s", told["measured"]["seconds"]) / full)
            of_bytes.values.append(
                found.note("written, MiB", told["measured"]["bytes_written"] / 2**20) / base
            )
            for reason, count in told["concerned"].items():
                found.note(f"listeners, {reason}", count)
    return found


def _write_new_plays(store: Store) -> Path:
    """Write new plays as JSON for `trackpools import events`, and return the folder.

    One user in a hundred plays the last track of the user's history again, on the day before the last play of
    the log.
    """
    plays = store.read(t.PLAYS.name)
    last = plays.agg(F.max("played_at").alias("last")).first()
    assert last is not None  # noqa: S101 - an aggregate has one row
    some = plays.where(F.pmod(F.xxhash64("user_id", F.lit("refresh")), F.lit(100)) == 0)
    again = some.groupBy("user_id").agg(
        F.max_by(F.struct("play_key", "track_id", "ms_played"), "played_at").alias("one")
    )
    folder = Path(str(store.config.root)).with_name("came")
    lately = F.date_sub(F.lit(last["last"]), 1).cast("timestamp").alias("played_at")
    key = F.concat(F.lit("again "), "one.play_key").alias("event_id")
    again.select(key, "user_id", "one.track_id", lately, "one.ms_played").write.json(str(folder))
    return folder
