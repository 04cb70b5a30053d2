"""Record playlists in `fills` and their tracks in `exposures`, in batches and without a JVM.

If they cannot be written, rows of these tables may be lost, but playlists are returned all the same.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import types as T

from trackpools.fill.contract.messages import Playlist
from trackpools.schema import DATE, DOUBLE, FLOAT, INT, LONG, SHORT, STRING, TIME, Table
from trackpools.shell.serving.switch_watch import library
from trackpools.tables import EXPOSURES, FILLS

LOG = logging.getLogger(__name__)
ARROW = {  # Spark type → Arrow type
    STRING: pa.string(),
    INT: pa.int32(),
    LONG: pa.int64(),
    SHORT: pa.int16(),
    FLOAT: pa.float32(),
    DOUBLE: pa.float64(),
    DATE: pa.date32(),
    TIME: pa.timestamp("us", "UTC"),
}
MAX_WAITING_FILLS = 50_000  # most playlists that wait while the tables cannot be written; older ones are lost


@dataclass
class FillJournal:
    """Playlists that wait to be written. All methods are safe to call from several threads.

    Attributes:
        root: the folder or URL of the store.
        batch: number of waiting playlists that starts a write.
        seconds: seconds since the last write after which the next playlist starts a write, even if fewer wait.
        clock: returns the present moment in seconds.
        lost: number of playlists that were given up.
        trouble: why the last write failed; empty if it succeeded.
        writer: the thread of the last write that `add` started; None if there was none.
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

    def add(self, playlist: Playlist, user_idx: int, recordings: Sequence[int]) -> None:
        """Add a playlist, and start a thread that writes all waiting ones if `batch` or `seconds` is reached.

        Args:
            playlist: the playlist.
            user_idx: the number of the user.
            recordings: the `recording_idx` of each track, in the order of the playlist.
        """
        now = datetime.now(UTC)
        both = {
            "request_id": playlist.request_id,
            "user_idx": user_idx,
            "release_id": playlist.release,
            "at": now,
            "day": now.date(),
        }
        with self._lock:
            self._waiting[FILLS.name].append(both | _fill(playlist))
            self._waiting[EXPOSURES.name] += [
                both
                | {"place": place, "recording_idx": idx, "origin": one.origin, "propensity": one.propensity}
                for place, (one, idx) in enumerate(zip(playlist.tracks, recordings, strict=True), 1)
            ]
            due = len(self._waiting[FILLS.name]) >= self.batch or self.clock() - self._since >= self.seconds
            if due and (self.writer is None or not self.writer.is_alive()):
                self.writer = threading.Thread(target=self.flush, daemon=True)
                self.writer.start()

    def flush(self) -> None:
        """Write the waiting playlists; never raises.

        If the tables cannot be written, the latest MAX_WAITING_FILLS playlists go on waiting, and older ones
        are given up.
        """
        with self._writing:
            self._flush()

    def _flush(self) -> None:
        try:
            with self._lock:
                taken = {name: rows[:] for name, rows in self._waiting.items()}
            self.trouble = ""
            # Tracks are written first, so that every playlist in `fills` has all its tracks in `exposures`.
            for table in (EXPOSURES, FILLS):
                self._append(table, taken[table.name])
        except Exception as error:  # a failure of the store must not stop fills
            LOG.warning("playlists could not be stored and wait for the next try: %s", type(error).__name__)
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
            old = {one["request_id"] for one in fills[: max(len(fills) - MAX_WAITING_FILLS, 0)]}
            self.lost += len(old)
            for name in self._waiting:
                self._waiting[name] = [one for one in self._waiting[name] if one["request_id"] not in old]


def _schema(table: Table) -> Any:
    """Return the Arrow schema of a table, with the meaning of each column as its comment."""
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
