"""`trackpools export kv`: what fills read of a release, in Redis or Valkey; readers follow it once all of it is there."""

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
from trackpools.core import known
from trackpools.core.assemble import bucket_of
from trackpools.core.known import FORMAT, records
from trackpools.errors import ConfigError, ContractError, TrackpoolsError
from trackpools.shell import kv, releases
from trackpools.shell.command import Answer, Options, telling
from trackpools.shell.kv import Keys, Manifest
from trackpools.shell.kv_writing import BUCKETS, CHUNKS, Target
from trackpools.shell.releases import Release
from trackpools.shell.session import spark_session
from trackpools.shell.store import Store, require_place

# what a reader holds in memory: once in the store, not with each listener
CATALOGUE = (
    "track_cards",
    "recording_facts",
    "source_lists",
    "recording_factors",
    "fresh_factors",
    "recording_vectors",
)
EXPIRES = "expires_at"
PING_S = 5.0
SECONDS = 3600  # an hour


def export(config: Config, options: Options) -> Answer:
    """Write the release in force and let readers follow it; what an export that broke off has written is not written again.

    Raises:
        ConfigError: where there is no such store, or it does not answer.
        InputError: where nothing is published.
        ContractError: where fewer listeners came out than the release has.
        TrackpoolsError: where the store fails on the way; readers stay where they are, and the next export goes on.
    """
    require_place(config.store)
    client = _asked(config)
    with telling(options, len(CATALOGUE) + 2) as tell, _clearly_told(config):
        store = Store(spark_session(config.session), config.store)
        release = releases.latest(store)
        there = Manifest.read(client.get(kv.current(config.kv)))
        if there is not None and there.release_id == release.release_id and _fresh(there.expires_at, config):
            said = f"release {release.seq} ({release.release_id}) is exported already, until {_moment(there.expires_at)}"
            return Answer(release.release_id, lines=[said], more={"users": there.users, "switched": True})
        keys = Keys(config.kv.prefix, release.release_id)
        made, samples = _written(
            store, release, Target(config.kv, keys, _until(client, config, keys)), client, tell
        )
        tell("switch: readers follow")
        switched = client.eval(kv.SWITCH, 1, kv.current(config.kv), made.seq, made.text(), made.expires_at)
    return _told(config, client, made, samples, switched=bool(switched))


@contextmanager
def _clearly_told(config: Config) -> Iterator[None]:
    """Failures of the store on the way, here or in a task, as one sentence."""
    failures: tuple[type[Exception], ...] = (PySparkException, *kv.trouble())
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
            f"the key-value store at {config.kv.url} failed on the way ({why:.300}); readers stay where they are. Run it again: what it has stays "
            "there, and is not written twice",
        ) from None


def _asked(config: Config) -> Any:
    """A client of a store that answers."""
    try:
        kv.client(config.kv, PING_S).ping()
    except kv.trouble() as error:
        raise ConfigError(
            f"the key-value store at {config.kv.url} does not answer ({error}); is it running, is kv.url right?"
        ) from None
    return kv.client(config.kv, config.kv.load_timeout_s)


def _fresh(expires_at: float, config: Config) -> bool:
    """Whether more than half of an export's life is left."""
    return expires_at - time.time() > SECONDS * config.kv.ttl_hours / 2


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _until(client: Any, config: Config, keys: Keys) -> int:
    """When the export expires: as one that broke off said, unless half of its life is over; then all of it is written anew."""
    before = int(client.hget(keys.done, EXPIRES) or 0)
    if _fresh(before, config):
        return before
    until = int(time.time() + SECONDS * config.kv.ttl_hours)
    client.delete(keys.done)
    client.hset(keys.done, EXPIRES, until)
    client.expireat(keys.done, until)
    return until


def _written(
    store: Store, release: Release, target: Target, client: Any, tell: Callable[[str], None]
) -> tuple[Manifest, list[bytes]]:
    """All of a release but what is there already; and keys of some records."""
    done = {name.decode(): value.decode() for name, value in client.hgetall(target.keys.done).items()}
    chunks: dict[str, list[str]] = {}
    for name in (name for name in CATALOGUE if release.holds(name)):
        tell(f"{name}: {release.rows(name):,} rows")
        if f"table:{name}" in done:
            chunks[name] = json.loads(done[f"table:{name}"])
        else:
            chunks[name] = _chunks(store, release, target, name)
            client.hset(target.keys.done, f"table:{name}", json.dumps(chunks[name]))
    tell(f"listeners: {release.rows('user_ids'):,}")
    rows, samples = _records(
        store, release, target, {int(name.partition(":")[2]) for name in done if name.startswith("bucket:")}
    )
    counts = [
        tuple(map(int, told.split())) for name, told in done.items() if name.startswith("bucket:")
    ] + rows
    users, size = (sum(one[at] for one in counts) for at in (0, 1))
    _require_all("listeners", release, users, release.rows("user_ids"))
    tables = {name: tuple(some) for name, some in chunks.items()}
    rows_of = {name: release.rows(name) for name in tables}
    return Manifest(
        FORMAT, release.seq, release.release_id, tables, rows_of, users, size, target.until
    ), samples


def _chunks(store: Store, release: Release, target: Target, name: str) -> list[str]:
    rows = releases.view(store, release, name).mapInArrow(target.chunks(name), CHUNKS).collect()
    _require_all(f"rows of {name}", release, sum(row["rows"] for row in rows), release.rows(name))
    return sorted(row["chunk"] for row in rows)


def _require_all(what: str, release: Release, got: int, want: int) -> None:
    if got != want:
        raise ContractError(
            f"{got:,} of {want:,} {what} of release {release.seq} are exported; readers stay where they are, run it again"
        )


def _records(
    store: Store, release: Release, target: Target, done: set[int]
) -> tuple[list[tuple[int, ...]], list[bytes]]:
    """Write the records of the buckets that are not done: users and bytes of each, and the key of one of each."""
    names = ("user_ids", "users", "interactions", "pools", *known.VECTORS)
    frames = {name: releases.view(store, release, name) for name in names if release.holds(name)}
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


def _told(config: Config, client: Any, made: Manifest, samples: list[bytes], *, switched: bool) -> Answer:
    """What was written, what a listener takes, and what that is of a hundred million."""
    each = made.size / made.users if made.users else 0.0
    try:
        taken = [size for size in (client.memory_usage(key) for key in samples[:100]) if size]
    except kv.trouble():  # it is written, whatever the store has not told of its size
        taken = []
    memory = sum(taken) / len(taken) if taken else None
    whole = (
        f", {memory:,.0f} in the store's memory, key and all: {memory / 10:,.0f} GB for 100 M"
        if memory
        else ""
    )
    sizes = f"{each:,.0f} bytes a listener{whole}"
    said = f"release {made.seq} ({made.release_id}): {made.users:,} listeners → {config.kv.url}, until {_moment(made.expires_at)}"
    more = {
        "users": made.users,
        "bytes_a_user": each,
        "memory_a_user": memory,
        "expires_at": made.expires_at,
        "switched": switched,
    }
    warnings = [] if switched else ["readers follow a later release already, and stay with it"]
    after = f'next: trackpools fill --user USER "20 songs" --set kv.url={config.kv.url} --root {config.store.root or "…"}'
    return Answer(made.release_id, warnings=warnings, lines=[said, sizes, after], more=more)
