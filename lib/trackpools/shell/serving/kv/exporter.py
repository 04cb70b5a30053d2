"""The command `trackpools export kv`: copy what fills read of a release to Redis or Valkey.

Readers switch to the export only after all of it is written.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.pools.batch import bucket_of
from trackpools.core.serving import user_record
from trackpools.core.serving.user_record import FORMAT, records
from trackpools.errors import ConfigError, ContractError, TrackpoolsError
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release
from trackpools.shell.serving.kv import redis_client
from trackpools.shell.serving.kv.redis_client import Keys, Manifest
from trackpools.shell.serving.kv.writer import BUCKETS, CHUNKS, Target
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.store import Store, require_place

# tables that a reader holds in memory: they are stored once, not with each user
CATALOGUE = (
    "track_cards",
    "recording_facts",
    "source_lists",
    "recording_factors",
    "fresh_factors",
    "recording_vectors",
)
EXPIRES = "expires_at"  # field of the hash `Keys.done`
PING_S = 5.0
HOUR_S = 3600


def export(config: Config, options: Options) -> CommandResult:
    """Write the release in force into the key-value store and switch readers to it.

    An interrupted export of the same release is continued: what it has written is not written again.

    Raises:
        ConfigError: if no key-value store is configured, or it does not answer.
        InputError: if nothing is published.
        ContractError: if fewer users or rows were written than the release has.
        TrackpoolsError: if the store fails during the export; readers keep their present release, and the
            next export continues this one.
    """
    require_place(config.store)
    client = _answering_client(config)
    with options.progress(len(CATALOGUE) + 2) as progress, _readable_errors(config):
        store = Store(spark_session(config.session), config.store)
        release = releases.latest(store)
        there = Manifest.read(client.get(redis_client.current(config.kv)))
        if there is not None and there.release_id == release.release_id and _fresh(there.expires_at, config):
            said = f"release {release.seq} ({release.release_id}) is exported already, valid until {_utc_text(there.expires_at)}"
            return CommandResult(
                release.release_id, lines=[said], more={"users": there.users, "switched": True}
            )
        keys = Keys(config.kv.prefix, release.release_id)
        made, samples = _written(
            store, release, Target(config.kv, keys, _expiry(client, config, keys)), client, progress
        )
        progress("switch: let readers follow the export")
        switched = client.eval(
            redis_client.SWITCH, 1, redis_client.current(config.kv), made.seq, made.text(), made.expires_at
        )
    return _summary(config, client, made, samples, switched=bool(switched))


@contextmanager
def _readable_errors(config: Config) -> Iterator[None]:
    """Turn errors of the key-value store, here or in a Spark task, into a readable TrackpoolsError."""
    failures: tuple[type[Exception], ...] = (PySparkException, *redis_client.redis_errors())
    try:
        yield
    except failures as error:
        found = (
            re.search(r"redis\.exceptions\.(\w+): ([^\n]*)", str(error))
            if isinstance(error, PySparkException)
            else None
        )
        if isinstance(error, PySparkException) and found is None:
            raise
        why = f"{found[1]}: {found[2]}" if found else f"{type(error).__name__}: {error}"
        raise TrackpoolsError(
            f"the export to the key-value store at {config.kv.url} failed ({why:.300}); readers keep their present release. "
            "Run the command again: what is stored already is not written twice",
        ) from None


def _answering_client(config: Config) -> Any:
    """Return a client of the key-value store, after the store has answered a ping.

    Raises:
        ConfigError: if the store does not answer.
    """
    try:
        redis_client.client(config.kv, PING_S).ping()
    except redis_client.redis_errors() as error:
        raise ConfigError(
            f"the key-value store at {config.kv.url} does not answer ({error}); check that it is running and that kv.url is right"
        ) from None
    return redis_client.client(config.kv, config.kv.load_timeout_s)


def _fresh(expires_at: float, config: Config) -> bool:
    """Return whether more than half of the lifetime of an export is left."""
    return expires_at - time.time() > HOUR_S * config.kv.ttl_hours / 2


def _utc_text(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _expiry(client: Any, config: Config, keys: Keys) -> int:
    """Return when the export expires, in seconds since 1970.

    A continued export keeps the expiry that it began with. If half of its lifetime is over, it gets a new
    expiry instead, and everything is written anew.
    """
    before = int(client.hget(keys.done, EXPIRES) or 0)
    if _fresh(before, config):
        return before
    until = int(time.time() + HOUR_S * config.kv.ttl_hours)
    client.delete(keys.done)
    client.hset(keys.done, EXPIRES, until)
    client.expireat(keys.done, until)
    return until


def _written(
    store: Store, release: Release, target: Target, client: Any, progress: Callable[[str], None]
) -> tuple[Manifest, list[bytes]]:
    """Write all tables and users of a release that are not in the key-value store yet.

    Returns:
        The manifest of the export, and the key of one record of each bucket that was written now.
    """
    done = {name.decode(): value.decode() for name, value in client.hgetall(target.keys.done).items()}
    chunks: dict[str, list[str]] = {}
    for name in (name for name in CATALOGUE if release.holds(name)):
        progress(f"{name}: {release.rows(name):,} rows")
        if f"table:{name}" in done:
            chunks[name] = json.loads(done[f"table:{name}"])
        else:
            chunks[name] = _chunks(store, release, target, name)
            client.hset(target.keys.done, f"table:{name}", json.dumps(chunks[name]))
    progress(f"users: {release.rows('user_ids'):,}")
    rows, samples = _records(
        store, release, target, {int(name.partition(":")[2]) for name in done if name.startswith("bucket:")}
    )
    counts = [
        tuple(map(int, told.split())) for name, told in done.items() if name.startswith("bucket:")
    ] + rows
    users, size = (sum(one[at] for one in counts) for at in (0, 1))
    _require_all("users", release, users, release.rows("user_ids"))
    tables = {name: tuple(some) for name, some in chunks.items()}
    rows_of = {name: release.rows(name) for name in tables}
    return Manifest(
        FORMAT, release.seq, release.release_id, tables, rows_of, users, size, target.until
    ), samples


def _chunks(store: Store, release: Release, target: Target, name: str) -> list[str]:
    rows = releases.read_pinned(store, release, name).mapInArrow(target.chunks(name), CHUNKS).collect()
    _require_all(f"rows of {name}", release, sum(row["rows"] for row in rows), release.rows(name))
    return sorted(row["chunk"] for row in rows)


def _require_all(what: str, release: Release, got: int, want: int) -> None:
    if got != want:
        raise ContractError(
            f"only {got:,} of {want:,} {what} of release {release.seq} are exported, so readers keep their present release; run the command again"
        )


def _records(
    store: Store, release: Release, target: Target, done: set[int]
) -> tuple[list[tuple[int, ...]], list[bytes]]:
    """Write the records of the buckets that are not done.

    Returns:
        Users and bytes of each written bucket, and the key of one record of each.
    """
    names = ("user_ids", "users", "interactions", "pools", *user_record.VECTORS)
    frames = {name: releases.read_pinned(store, release, name) for name in names if release.holds(name)}
    buckets = store.read("pools", release.version("pools")).agg(F.max("bucket")).first()
    count = 1 + (buckets[0] if buckets is not None and buckets[0] is not None else 0)
    if done:
        frames["user_ids"] = frames["user_ids"].where(~bucket_of(count).isin(*done))
    made = (
        records(frames, count)
        .repartition("bucket")
        .sortWithinPartitions("bucket")
        .mapInArrow(target.records, BUCKETS)
        .collect()
    )
    return [(row["users"], row["bytes"]) for row in made], [bytes(row["sample"]) for row in made]


def _summary(
    config: Config, client: Any, made: Manifest, samples: list[bytes], *, switched: bool
) -> CommandResult:
    """Report what was written, the size of one user's record, and what 100 million users would need."""
    each = made.size / made.users if made.users else 0.0
    try:
        taken = [size for size in (client.memory_usage(key) for key in samples[:100]) if size]
    except redis_client.redis_errors():  # the export is complete even if the store does not report sizes
        taken = []
    memory = sum(taken) / len(taken) if taken else None
    whole = (
        f", {memory:,.0f} in the store's memory with the key: {memory / 10:,.0f} GB for 100 M users"
        if memory
        else ""
    )
    sizes = f"{each:,.0f} bytes per user{whole}"
    said = f"release {made.seq} ({made.release_id}): {made.users:,} users → {config.kv.url}, valid until {_utc_text(made.expires_at)}"
    more = {
        "users": made.users,
        "bytes_a_user": each,
        "memory_a_user": memory,
        "expires_at": made.expires_at,
        "switched": switched,
    }
    warnings = [] if switched else ["readers follow a later release already, and keep it"]
    after = f'next: trackpools fill --user USER "20 songs" --set kv.url={config.kv.url} --root {config.store.root or "…"}'
    return CommandResult(made.release_id, warnings=warnings, lines=[said, sizes, after], more=more)
