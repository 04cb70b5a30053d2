"""MLflow tracking that never costs a run: spooled on disk first, pushed when the server answers, replayed by the next command where it does not."""

import contextlib
import logging
import math
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trackpools.config import MlflowConfig
from trackpools.errors import TrackpoolsError
from trackpools.shell.mlflow_client import Server
from trackpools.shell.push import Pusher
from trackpools.shell.spool import Record, Spool, spool_folder, waiting

LOG = logging.getLogger(__name__)
PUSH_EVERY_S = 5.0  # a long stage shows its loss curve while it runs
QUOTED = re.compile(r"(['\"])(?:(?!\1).)*\1")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def told(error: BaseException) -> str:
    """What a tracking server may know of a failure.

    Our own sentence with what stands in quotes masked, for it may be a user id; of any other error only its kind, since
    Spark and pandas cite the values they fail on.
    """
    if isinstance(error, TrackpoolsError):
        return f"{error.code}: {QUOTED.sub('…', error.message)}"[:500]
    condition = getattr(error, "getCondition", lambda: None)()
    return type(error).__name__ + (f" [{condition}]" if condition else "")


class Scope:
    """What can be told of one run: the flow (stage None) or a stage of it."""

    def __init__(self, tracker: "Tracker", stage: str | None) -> None:
        self._tracker, self._stage = tracker, stage

    def _add(self, op: str, **fields: Any) -> None:
        self._tracker.add({"op": op, "stage": self._stage, "at": _now_ms(), **fields})

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; the first value of a name stays."""
        self._add(
            "params",
            values={str(key): "null" if value is None else str(value) for key, value in values.items()},
        )

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Numbers of now, at a step (iteration) or 0; None values are left out."""
        numbers = {str(key): float(value) for key, value in values.items() if value is not None}
        # JSON has no word for these; MLflow understands the text
        self._add(
            "metrics",
            step=step or 0,
            values={key: value if math.isfinite(value) else str(value) for key, value in numbers.items()},
        )

    def input(self, table: str, where: str, version: int) -> None:
        """A table this run read: its name, path or catalog name, and pinned version."""
        self._add("input", table=table, where=where, version=int(version))

    def tag(self, values: Mapping[str, Any]) -> None:
        """Tags; the last value of a name stays."""
        self._add("tags", values={str(key): str(value) for key, value in values.items()})

    def artifact_text(self, name: str, text: str) -> None:
        """A text file such as report.html."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            path.write_text(text, encoding="utf-8")
            self.artifact_file(path)

    def artifact_file(self, path: Path | str) -> None:
        """A file under its own name; copied now, so it may be deleted at once."""
        kept = self._tracker.keep(Path(path))
        if kept is not None:
            self._add("file", path=str(kept))


class Tracker(Scope):
    """A parent run per flow and a child run per stage.

    Args:
        config: the mlflow section; with `enabled` false every method does nothing.
        root: root of the store; its spool and default sqlite server lie there when it is on local disk.
        flow_id: identifies the flow; the same id finds the same runs again.
        name: name of the parent run.

    Raises:
        ConfigError: for a flow id that is no file name.
    """

    def __init__(self, config: MlflowConfig, root: str | None, flow_id: str, name: str) -> None:
        super().__init__(self, None)
        self._pusher: Pusher | None = None
        self._spool = _open(spool_folder(root), flow_id) if config.enabled else None
        self._server = Server(config, root)
        self._done = 0
        self._pushed_at = time.monotonic()
        self._finished = self._spool is None
        if self._spool is not None:
            self._pusher = Pusher(self._server, flow_id)
            self._add("flow", name=name)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self.tag({"trackpools.error": told(error)})
        self.finish("FINISHED" if error is None else "FAILED" if isinstance(error, Exception) else "KILLED")

    @staticmethod
    def replay_pending(config: MlflowConfig, root: str | None) -> int:
        """See `replay_pending` below."""
        return replay_pending(config, root)

    def add(self, record: Record) -> None:
        """Spool one record, and push when the last push is a while ago."""
        if self._spool is None:
            return
        try:
            self._spool.append(record)
        except OSError as error:  # a full disk will be told by the stage that needs it
            LOG.warning("cannot spool what is to be tracked: %s", error)
            return
        if self._done and time.monotonic() - self._pushed_at > PUSH_EVERY_S:
            self.flush()

    def keep(self, path: Path) -> Path | None:
        """A copy of a file that lives until it is pushed; None when nothing is tracked."""
        try:
            return None if self._spool is None else self._spool.keep(path)
        except OSError as error:
            LOG.warning("cannot keep %s to be tracked: %s", path.name, error)
            return None

    @property
    def run_id(self) -> str | None:
        """The parent run, made on first use; None while the server is out of reach."""
        if self._pusher is None:
            return None
        if self._pusher.run_id(None) is None:
            self.flush()
        return self._pusher.run_id(None)

    def stage_run_id(self, name: str) -> str | None:
        """The run of a stage that was started; None while the server is out of reach."""
        if self._pusher is None:
            return None
        if self._pusher.run_id(name) is None:
            self.flush()
        return self._pusher.run_id(name)

    def flush(self) -> bool:
        """Push what was not pushed yet; True when nothing is left."""
        if self._spool is None or self._pusher is None:
            return True
        self._pushed_at = time.monotonic()
        if self._server.down is not None:
            return False
        records = self._spool.records()
        if not self._pusher.push(records[self._done :]):
            return False
        self._done = len(records)
        return True

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Scope]:
        """A child run around a stage; an error inside marks it and the flow as failed and goes on upwards."""
        scope = Scope(self, name)
        scope._add("stage")
        try:
            yield scope
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            scope.tag({"trackpools.error": told(error)})
            scope._add("end", status=status)
            self.tag({"trackpools.error": f"{name}: {told(error)}"})
            self.finish(status)
            raise
        scope._add("end", status="FINISHED")
        self.flush()

    def finish(self, status: str = "FINISHED") -> None:
        """End the parent run (FINISHED, FAILED or KILLED) and push the rest; what cannot be pushed waits for `replay_pending`."""
        if self._finished or self._spool is None:
            return
        self._add("end", status=status)
        self._finished = True
        if self.flush():
            self._spool.remove()
        else:
            self._spool.close()
        self._spool = None


def _open(folder: Path, flow_id: str) -> Spool | None:
    try:
        return Spool(folder, flow_id)
    except OSError as error:  # also BlockingIOError: the same flow runs twice, and the first one tracks it
        LOG.warning(
            "nothing is tracked in MLflow: the spool for flow %s in %s cannot be written (%s)",
            flow_id,
            folder,
            error,
        )
        return None


def replay_pending(config: MlflowConfig, root: str | None) -> int:
    """Push the spools that earlier flows left behind; returns how many are now done.

    Flows that were killed get the status KILLED. Costs nothing (no MLflow import) where there are none.
    """
    if not config.enabled:
        return 0
    server, done = Server(config, root), 0
    for spool in waiting(root):
        records = spool.records()
        if not any(record["op"] == "flow" for record in records):
            spool.remove()  # killed within its first line: there is nothing in it
            continue
        if Pusher(server, spool.flow_id).push([*records, *_killed(records)]):
            spool.remove()
            done += 1
        else:
            spool.close()
            break
    return done


def _killed(records: list[Record]) -> list[Record]:
    """Ends for what was begun and never ended, at the time of the last sign of life."""
    last = max(int(record["at"]) for record in records)
    begun = dict.fromkeys(record["stage"] for record in records if record["op"] in {"flow", "stage"})
    ended = {record["stage"] for record in records if record["op"] == "end"}
    open_ones = [stage for stage in begun if stage is not None and stage not in ended] + (
        [None] if None not in ended else []
    )
    return [{"op": "end", "stage": stage, "at": last, "status": "KILLED"} for stage in open_ones]
