"""What was filled and what it showed, appended to `fills` and `exposures` in batches, without a JVM; a failure costs rows, never a playlist."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import types as T

from trackpools.fill.contract import Playlist
from trackpools.shell.watching import library
from trackpools.table import DATE, DOUBLE, FLOAT, INT, LONG, SHORT, STRING, TIME, Table
from trackpools.tables_serving import EXPOSURES, FILLS

LOG = logging.getLogger(__name__)
ARROW = {
    STRING: pa.string(),
    INT: pa.int32(),
    LONG: pa.int64(),
    SHORT: pa.int16(),
    FLOAT: pa.float32(),
    DOUBLE: pa.float64(),
    DATE: pa.date32(),
    TIME: pa.timestamp("us", "UTC"),
}
MOST_KEPT = 50_000  # playlists that wait while the tables cannot be written; then the oldest go


@dataclass
class FillJournal:
    """Playlists that wait to be written. Safe among threads.

    Attributes:
        batch: playlists, and `seconds` since the last one was written: whichever comes first writes.
        lost: playlists that were given up.
        trouble: why the last attempt failed; empty where it did not.
        writer: the thread that writes, or wrote last.
    """

    root: str
    batch: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    lost: int = 0
    trouble: str = ""
    writer: threading.Thread | None = None
    _waiting: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {FILLS.name: [], EXPOSURES.name: []}
    )
    _since: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def add(self, made: Playlist, user_idx: int, recordings: Sequence[int]) -> None:
        """Keep a playlist; where a batch is full or old a thread begins to write it.

        Args:
            recordings: idx of its tracks, in their order.
        """
        now = datetime.now(UTC)
        both = {
            "request_id": made.request_id,
            "user_idx": user_idx,
            "release_id": made.release,
            "at": now,
            "day": now.date(),
        }
        with self._lock:
            self._waiting[FILLS.name].append(both | _fill(made))
            self._waiting[EXPOSURES.name] += [
                both
                | {"place": place, "recording_idx": idx, "origin": one.origin, "propensity": one.propensity}
                for place, (one, idx) in enumerate(zip(made.tracks, recordings, strict=True), 1)
            ]
            due = len(self._waiting[FILLS.name]) >= self.batch or self.clock() - self._since >= self.seconds
            if due and (self.writer is None or not self.writer.is_alive()):
                self.writer = threading.Thread(target=self.flush, daemon=True)
                self.writer.start()

    def flush(self) -> None:
        """Write what waits. What cannot be written goes on waiting; of too much the oldest goes."""
        with self._writing:
            self._flush()

    def _flush(self) -> None:
        try:
            with self._lock:
                taken = {name: rows[:] for name, rows in self._waiting.items()}
            self.trouble = ""
            for table in (EXPOSURES, FILLS):  # a fill is there once all of its tracks are
                self._append(table, taken[table.name])
        except Exception as error:  # whatever a store raises, playlists go on
            LOG.warning("playlists could not be kept and wait: %s", type(error).__name__)
            self.trouble = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
            self._give_up()
        finally:
            self._since = self.clock()

    def _append(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        library().write_deltalake(
            f"{self.root}/tables/{table.name}",
            pa.Table.from_pylist(rows, schema=_schema(table)),
            mode="append",
            partition_by=list(table.partitioned_by),
            name=table.name,
            description=table.grain,
        )
        with self._lock:
            del self._waiting[table.name][: len(rows)]

    def _give_up(self) -> None:
        with self._lock:
            fills = self._waiting[FILLS.name]
            old = {one["request_id"] for one in fills[: max(len(fills) - MOST_KEPT, 0)]}
            self.lost += len(old)
            for name in self._waiting:
                self._waiting[name] = [one for one in self._waiting[name] if one["request_id"] not in old]


def _schema(table: Table) -> Any:
    """As Arrow, with the meaning of each column as its comment."""
    return pa.schema(
        [
            pa.field(
                one.name, _arrow(one.dataType), metadata={"comment": str((one.metadata or {})["comment"])}
            )
            for one in table.columns
        ]
    )


def _arrow(kind: Any) -> Any:
    return pa.list_(_arrow(kind.elementType)) if isinstance(kind, T.ArrayType) else ARROW[kind]


def _fill(made: Playlist) -> dict[str, Any]:
    return {
        "model": made.model,
        "tracks": len(made.tracks),
        "chosen_by_model": made.chosen_by_model,
        "degraded": made.degraded,
        "met": [one.name for one in made.told if one.met],
        "unmet": [one.name for one in made.told if not one.met],
        "not_applied": len(made.not_applied),
        "pool": made.candidates["pool"] + made.candidates["explore"],
        "retrieved": made.candidates["retrieval"],
        "tokens": made.tokens,
        "cost": made.cost,
        "ms": sum(made.milliseconds.values()),
    }
