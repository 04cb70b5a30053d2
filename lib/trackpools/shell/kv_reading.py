"""A release read from a key-value store: listeners and catalogue from there, and from its tables whatever the store cannot give."""

import time
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from trackpools.config import Config
from trackpools.core.known import Known, decoded, key_of
from trackpools.errors import InputError
from trackpools.shell import kv
from trackpools.shell.breaker import Breaker
from trackpools.shell.hurry import TooLong, within
from trackpools.shell.kv import Keys, Manifest
from trackpools.shell.serving import Opened

PIECES = 8  # chunks of a round trip


def open_release(config: Config) -> Opened:
    """The release that fills read: where `kv.url` is set that which is exported there, while it is the one in force or was so lately; else its tables.

    Raises:
        ConfigError: where the address or the password is missing.
        InputError: where nothing is published.
    """
    force = Opened.of(config)
    if config.kv.url is None:
        return force
    try:
        text = within(
            2 * config.kv.timeout_s,
            lambda: kv.client(config.kv, config.kv.timeout_s).get(kv.current(config.kv)),
        )
    except TooLong:
        return replace(force, note="read from the tables: the key-value store did not answer in time")
    except kv.trouble() as error:
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


def _chosen(config: Config, force: Opened, manifest: Manifest) -> Opened:
    old = force
    if manifest.seq != force.seq:
        try:
            before = Opened.of(config, manifest.seq)
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
            before, note=f"of release {manifest.seq}, while {force.seq} is in force: it is not exported yet"
        )
    if old.release_id != manifest.release_id:
        return replace(
            force,
            note=f"read from the tables: the key-value store holds release {manifest.release_id:.80} of another root",
        )
    return Exported(**{one.name: getattr(old, one.name) for one in fields(Opened)}, manifest=manifest)


@dataclass(frozen=True, kw_only=True)
class Exported(Opened):
    """An exported release; switches are looked up under its root, as ever."""

    manifest: Manifest

    @property
    def place(self) -> str:
        """Where listeners and catalogue are read from, and the tables where it fails."""
        return "the key-value store"

    @cached_property
    def _breaker(self) -> Breaker:
        return Breaker(self.config.kv.failures, self.config.kv.rest_s)

    @cached_property
    def _client(self) -> Any:
        return kv.client(self.config.kv, self.config.kv.timeout_s)

    @property
    def _keys(self) -> Keys:
        return Keys(self.config.kv.prefix, self.release_id)

    @cached_property
    def _schema(self) -> Any:
        return pa.ipc.read_schema(pa.py_buffer(self._client.get(self._keys.schema) or b""))

    def data(self, name: str) -> Any:
        """A table as a pyarrow dataset: as exported, where all of it is there."""
        if name not in self.manifest.tables:
            return super().data(name)
        try:
            rows = self._loaded(name)
        except (pa.ArrowInvalid, *kv.trouble()):
            rows = None
        return (
            ds.dataset(rows)
            if rows is not None and len(rows) == self.manifest.rows[name]
            else super().data(name)
        )

    def _loaded(self, name: str) -> Any:
        client = kv.client(self.config.kv, self.config.kv.load_timeout_s)
        keys = [self._keys.chunk(name, one) for one in self.manifest.tables[name]]
        made = []
        for start in range(0, len(keys), PIECES):
            with client.pipeline(transaction=False) as pipe:
                for key in keys[start : start + PIECES]:
                    pipe.get(key)
                made += [pa.ipc.open_stream(pa.py_buffer(one or b"")).read_all() for one in pipe.execute()]
        return pa.concat_tables(made)

    def known(self, user_id: str, *, pool: bool = False) -> Known:
        """As of `Opened`: from the listener's record, else from the tables, with a note."""
        why = "rests after failures"
        if self._breaker.allows():
            try:
                record, schema = within(
                    self.config.kv.timeout_s,
                    lambda: (self._client.get(self._keys.record(key_of(user_id))), self._schema),
                )
                self._breaker.told(well=True)
                if record is not None:
                    return decoded(record, schema)
                why = "has no record of the listener"
            except TooLong:
                self._breaker.told(well=False)
                why = "did not answer in time"
            except kv.trouble() as error:
                self._breaker.told(well=False)
                why = f"failed ({type(error).__name__})"
            except pa.ArrowInvalid:
                why = "has a record that cannot be read"
        return replace(
            super().known(user_id, pool=pool),
            note=f"the listener is read from the tables: the key-value store {why}",
        )
