"""Run the real commands in the test's own session."""

import datetime as dt
import json
import random

from trackpools import stages
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.refresh.refresh_command import refresh
from trackpools.shell.releases import releases, show_pools
from trackpools.shell.store.store import Store

START = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
AS_OF = (START + dt.timedelta(days=40)).isoformat()
# The settings of a small flow with all sources.
WHOLE = (
    "train.rank=8",
    "train.iterations=5",
    "pools.k=40",
    "sources.als.k=60",
    "sources.als.k_heard=20",
    "sources.popular.k=120",
    "rules.min_listeners=1",  # five of 40 users are many
    "report.enabled=false",
)  # the report takes a fifth of the time, and tests of the report switch it on
OFF = tuple(
    f"sources.{name}.enabled=false"
    for name in ("als_neighbours", "cooccurrence", "artist_graph", "rediscover", "tags", "fresh", "explore")
)
# Only three sources: tests of other things need no more, and take half the time.
SMALL = (*WHOLE, *OFF)


def events(users=40, recordings=120, plays=2500, seed=0):
    """Return a log with some taste: users and recordings of three kinds.

    Users mostly play their own kind.
    """
    rng = random.Random(seed)
    rows = []
    for n in range(plays):
        user = rng.randrange(users)
        kind = user % 3 if rng.random() < 0.9 else rng.randrange(3)
        recording = min(int(rng.paretovariate(0.8)) - 1, recordings // 3 - 1) * 3 + kind
        at = START + dt.timedelta(seconds=rng.randrange(60 * 86_400))
        rows.append(
            {
                "event_id": f"e{n}",
                "user_id": f"u{user:03}",
                "track_id": f"t{recording:04}",
                "played_at": at.isoformat(),
                "ms_played": 200_000,
            }
        )
    return rows


def import_events(config, folder, rows, name="events", files=1):
    """Write rows as JSON lines in `files` files, and import them."""
    path = folder / name
    path.mkdir(parents=True)
    for i in range(files):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows[i::files]]
        (path / f"part-{i}.json").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return pipeline.import_log(config, Options(quiet=True), "events", str(path))


def run(config, as_of=None, known_as_of=None):
    """Run the whole flow; return its answer."""
    return pipeline.run_stages(
        config, Options(quiet=True), "run", stages.STAGES, publish=True, as_of=as_of, known_as_of=known_as_of
    )


def refreshed(config, as_of=AS_OF):
    """Refresh the users concerned; return the answer."""
    return refresh(config, Options(quiet=True), as_of=as_of, known_as_of=None)


def shown(spark, config):
    """Return {user: pool} of the release in force, read again as every Spark reader does."""
    store = Store(spark, config.store)
    return {
        pool["user_id"]: pool
        for pool in show_pools.show_pools(store, releases.latest(store), config, (), 100)
    }


def hashes(spark, config):
    """Return {table: content hash} of the release in force."""
    return {table.name: table.hash for table in releases.latest(Store(spark, config.store)).tables}
