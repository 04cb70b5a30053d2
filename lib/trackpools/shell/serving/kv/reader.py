"""Read users and catalogue of a release from a key-value store, or from its tables if that fails."""

import time
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from trackpools.config import Config
from trackpools.core.serving.user_record import UserRecord, decode_record, record_key
from trackpools.errors import InputError
from trackpools.shell.resilience.circuit_breaker import CircuitBreaker
from trackpools.shell.resilience.timeout import call_with_timeout
from trackpools.shell.serving.kv import redis_client
from trackpools.shell.serving.kv.redis_client import Keys, Manifest
from trackpools.shell.serving.loaded_release import LoadedRelease

PIECES = 8  # chunks read in one round trip


def open_release(config: Config) -> LoadedRelease:
    """Open the release that fills read.

    If `kv.url` is set, this is the exported release, provided that it is in force, or that it is an earlier
    one and the release in force was published at most `kv.stale_hours` ago. Otherwise it is the release in
    force, read from its tables; if `kv.url` is set, its `note` says why the export is not used.

    Raises:
        ConfigError: if the password, or the package of the key-value store, is missing.
        InputError: if nothing is published.
    """
    force = LoadedRelease.of(config)
    if config.kv.url is None:
        return force
    try:
        text = call_with_timeout(
            2 * config.kv.timeout_s,
            lambda: redis_client.client(config.kv, config.kv.timeout_s).get(redis_client.current(config.kv)),
        )
    except redis_client.timeouts():
        return replace(force, note="read from the tables: the key-value store did not answer in time")
    except redis_client.redis_errors() as error:
        return replace(
            force, note=f"read from the tables: the key-value store did not answer ({type(error).__name__})"
        )
    manifest = Manifest.read(text)
    if manifest is None or manifest.expires_at <= time.time():
        return replace(
            force,
            note="read from the tables: the key-value store has no export that can be read; next: trackpools export kv",
        )
    return _chosen(config, force, manifest)


def _chosen(config: Config, force: LoadedRelease, manifest: Manifest) -> LoadedRelease:
    """Return the exported release if it may be used, else the release in force with a note that says why."""
    old = force
    if manifest.seq != force.seq:
        try:
            before = LoadedRelease.of(config, manifest.seq)
        except InputError:
            before = None
        if (
            before is None
            or before.seq > force.seq
            or datetime.now(UTC) - force.created_at > timedelta(hours=config.kv.stale_hours)
        ):
            return replace(
                force,
                note=f"read from the tables: the key-value store has release {manifest.seq}; next: trackpools export kv",
            )
        old = replace(
            before,
            note=f"read from release {manifest.seq}: release {force.seq}, which is in force, is not exported yet",
        )
    if old.release_id != manifest.release_id:
        return replace(
            force,
            note=f"read from the tables: the key-value store holds release {manifest.release_id:.80} of another root",
        )
    return ExportedRelease(
        **{one.name: getattr(old, one.name) for one in fields(LoadedRelease)}, manifest=manifest
    )


@dataclass(frozen=True, kw_only=True)
class ExportedRelease(LoadedRelease):
    """A release that is read from the key-value store; takedowns are read from the tables of its root.

    Attributes:
        manifest: what the export contains.
    """

    manifest: Manifest

    @property
    def place(self) -> str:
        """Where users and catalogue are read from, in words; the tables stand in if it fails."""
        return "the key-value store"

    @cached_property
    def _breaker(self) -> CircuitBreaker:
        return CircuitBreaker(self.config.kv.failures, self.config.kv.rest_s)

    @cached_property
    def _client(self) -> Any:
        return redis_client.client(self.config.kv, self.config.kv.timeout_s)

    @property
    def _keys(self) -> Keys:
        return Keys(self.config.kv.prefix, self.release_id)

    @cached_property
    def _schema(self) -> Any:
        return pa.ipc.read_schema(pa.py_buffer(self._client.get(self._keys.schema) or b""))

    def data(self, name: str) -> Any:
        """Return a table as a pyarrow dataset: from the export if all its rows can be read, else the table."""
        if name not in self.manifest.tables:
            return super().data(name)
        try:
            rows = self._loaded(name)
        except (pa.ArrowInvalid, *redis_client.redis_errors()):
            rows = None
        return (
            ds.dataset(rows)
            if rows is not None and len(rows) == self.manifest.rows[name]
            else super().data(name)
        )

    def _loaded(self, name: str) -> Any:
        client = redis_client.client(self.config.kv, self.config.kv.load_timeout_s)
        keys = [self._keys.chunk(name, one) for one in self.manifest.tables[name]]
        made = []
        for start in range(0, len(keys), PIECES):
            with client.pipeline(transaction=False) as pipe:
                for key in keys[start : start + PIECES]:
                    pipe.get(key)
                made += [pa.ipc.open_stream(pa.py_buffer(one or b"")).read_all() for one in pipe.execute()]
        return pa.concat_tables(made)

    def user_record(self, user_id: str, *, pool: bool = False) -> UserRecord:
        """Read a user from the export; if that fails, read the tables and return a note that says why."""
        why = "is not asked for a while after failures"
        if self._breaker.allows():
            try:
                record, schema = call_with_timeout(
                    self.config.kv.timeout_s,
                    lambda: (self._client.get(self._keys.record(record_key(user_id))), self._schema),
                )
                self._breaker.record(ok=True)
                if record is not None:
                    return decode_record(record, schema)
                why = "has no record of the user"
            except redis_client.timeouts():
                self._breaker.record(ok=False)
                why = "did not answer in time"
            except redis_client.redis_errors() as error:
                self._breaker.record(ok=False)
                why = f"failed ({type(error).__name__})"
            except pa.ArrowInvalid:
                why = "has a record that cannot be read"
        return replace(
            super().user_record(user_id, pool=pool),
            note=f"the user is read from the tables: the key-value store {why}",
        )
