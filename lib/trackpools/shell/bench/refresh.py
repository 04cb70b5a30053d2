"""A refresh against the full run it spares: time of the pools and bytes written, where one listener in a hundred played something."""

from collections.abc import Callable
from pathlib import Path

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.shell import work
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.world import generated
from trackpools.shell.command import Options
from trackpools.shell.refresh_command import refresh
from trackpools.shell.session import spark_session
from trackpools.shell.store import Store
from trackpools.stages import STAGES

BUCKETS, DAYS, PLAYS = 256, 30, 3.0
QUIET = Options(quiet=True)


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Every source and rule on. A round is a world of its own."""
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
            tell(f"round {number}: {users:,} listeners, a full run")
            found.note("plays", work.import_log(own, QUIET, "synthetic", None).more["accepted"])
            stages = work.run_stages(
                own, QUIET, "run", STAGES, publish=True, as_of=None, known_as_of=None
            ).more["stages"]
            full = found.note(
                "full run's pools, s", next(one["seconds"] for one in stages if one["stage"] == "pools")
            )
            store = Store(spark_session(own.session), own.store)
            base = found.note(
                "base, MiB", float(store.commit(t.POOLS.name).counted["numOutputBytes"]) / 2**20
            )
            tell(f"round {number}: one in a hundred plays, a refresh")
            work.import_log(own, QUIET, "events", str(_came(store)))
            told = refresh(own, QUIET, as_of=None, known_as_of=None).more
            of_time.values.append(found.note("refresh, s", told["measured"]["seconds"]) / full)
            of_bytes.values.append(
                found.note("written, MiB", told["measured"]["bytes_written"] / 2**20) / base
            )
            for reason, count in told["concerned"].items():
                found.note(f"listeners, {reason}", count)
    return found


def _came(store: Store) -> Path:
    """A file of plays: one listener in a hundred plays his last track again, the day before the log ends."""
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
