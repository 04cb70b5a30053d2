"""MLflow tracking that never makes a command fail.

Records (parameters, metrics, files and so on) are first written to a file on disk, the spool. They are
pushed, that is sent to the server, while the command runs. If the server cannot be reached, they stay in the
spool, and the next command pushes them.
"""

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
from trackpools.shell.tracking.mlflow_server import Server
from trackpools.shell.tracking.outbox import Record, Spool, spool_folder, waiting
from trackpools.shell.tracking.outbox_sender import Pusher

LOG = logging.getLogger(__name__)
PUSH_EVERY_S = 5.0  # so short that MLflow shows the loss curve of a long stage while it runs
QUOTED = re.compile(r"(['\"])(?:(?!\1).)*\1")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def describe_error(error: BaseException) -> str:
    """Describe a failure without personal data, for a tracking server.

    An error of trackpools is described by its code and message. Quoted text in the message is masked, because
    it may be a user id. Any other error is described only by its type and Spark's error condition, because
    the messages of Spark and pandas cite the values on which they failed.
    """
    if isinstance(error, TrackpoolsError):
        return f"{error.code}: {QUOTED.sub('…', error.message)}"[:500]
    condition = getattr(error, "getCondition", lambda: None)()
    return type(error).__name__ + (f" [{condition}]" if condition else "")


class Scope:
    """Records facts for one MLflow run: the parent run of a flow, or the run of one of its stages.

    Args:
        tracker: the tracker of the flow.
        stage: name of the stage; None stands for the parent run.
    """

    def __init__(self, tracker: "Tracker", stage: str | None) -> None:
        self._tracker, self._stage = tracker, stage

    def _add(self, op: str, **fields: Any) -> None:
        self._tracker.add({"op": op, "stage": self._stage, "at": _now_ms(), **fields})

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; if a name is recorded twice, its first value stays."""
        self._add(
            "params",
            values={str(key): "null" if value is None else str(value) for key, value in values.items()},
        )

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics with the present time; metrics that are None are left out.

        Args:
            values: name → value.
            step: number of the iteration to which the values belong; None stands for 0.
        """
        numbers = {str(key): float(value) for key, value in values.items() if value is not None}
        # JSON has no NaN and no infinity. They are spooled as text, and converted back when they are sent.
        self._add(
            "metrics",
            step=step or 0,
            values={key: value if math.isfinite(value) else str(value) for key, value in numbers.items()},
        )

    def input(self, table: str, where: str, version: int) -> None:
        """Record a table that this run read.

        Args:
            table: name of the table.
            where: its path, or its name in the catalog.
            version: the version that was read.
        """
        self._add("input", table=table, where=where, version=int(version))

    def tag(self, values: Mapping[str, Any]) -> None:
        """Record tags; if a name is recorded twice, its last value stays."""
        self._add("tags", values={str(key): str(value) for key, value in values.items()})

    def artifact_text(self, name: str, text: str) -> None:
        """Record a text as an artifact file with the given name, such as report.html."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            path.write_text(text, encoding="utf-8")
            self.artifact_file(path)

    def artifact_file(self, path: Path | str) -> None:
        """Record a file as an artifact under its own name.

        The file is copied now, so the caller may delete it when this method returns.
        """
        kept = self._tracker.keep(Path(path))
        if kept is not None:
            self._add("file", path=str(kept))


class Tracker(Scope):
    """Tracks one flow in MLflow: a parent run for the flow and a child run for each stage.

    Args:
        config: the `mlflow` section; if `enabled` is false, nothing is recorded.
        root: root of the store; if it is on the local disk, it holds the spool and the default sqlite server.
        flow_id: identifier of the flow; a second tracker with the same id continues the same runs.
        name: name of the parent run.

    Raises:
        ConfigError: if MLflow is switched on and the flow id cannot be a file name.
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
            self.tag({"trackpools.error": describe_error(error)})
        self.finish("FINISHED" if error is None else "FAILED" if isinstance(error, Exception) else "KILLED")

    def add(self, record: Record) -> None:
        """Write one record to the spool.

        Once a first push has succeeded, all waiting records are pushed too, if the last push was tried more
        than `PUSH_EVERY_S` seconds ago.
        """
        if self._spool is None:
            return
        try:
            self._spool.append(record)
        except OSError as error:  # only a warning: if the disk is full, a stage that needs it fails anyway
            LOG.warning("the spool for MLflow cannot be written: %s", error)
            return
        if self._done and time.monotonic() - self._pushed_at > PUSH_EVERY_S:
            self.flush()

    def keep(self, path: Path) -> Path | None:
        """Copy a file into the spool, and return the copy, which is kept until it is pushed.

        The result is None if nothing is tracked or the file cannot be copied; the latter logs a warning.
        """
        try:
            return None if self._spool is None else self._spool.keep(path)
        except OSError as error:
            LOG.warning("the file %s cannot be copied to the spool for MLflow: %s", path.name, error)
            return None

    @property
    def run_id(self) -> str | None:
        """The id of the parent run. If the run does not exist yet, the waiting records are pushed first.

        It is None if MLflow is switched off or the server is out of reach.
        """
        if self._pusher is None:
            return None
        if self._pusher.run_id(None) is None:
            self.flush()
        return self._pusher.run_id(None)

    def stage_run_id(self, name: str) -> str | None:
        """Return the run id of a stage that has begun.

        If the stage has no run yet, the waiting records are pushed first. The result is None if MLflow is
        switched off or the server is out of reach.
        """
        if self._pusher is None:
            return None
        if self._pusher.run_id(name) is None:
            self.flush()
        return self._pusher.run_id(name)

    def flush(self) -> bool:
        """Push the records that were not pushed yet, and return whether none are left to push."""
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
        """Track a stage as a child run while the `with` block runs.

        If an error leaves the block, the stage and the flow end with the status FAILED, and the error is
        raised again. For an interruption such as Ctrl-C, the status is KILLED.

        Args:
            name: name of the stage.

        Yields:
            The scope that records facts for the stage's run.
        """
        scope = Scope(self, name)
        scope._add("stage")
        try:
            yield scope
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            scope.tag({"trackpools.error": describe_error(error)})
            scope._add("end", status=status)
            self.tag({"trackpools.error": f"{name}: {describe_error(error)}"})
            self.finish(status)
            raise
        scope._add("end", status="FINISHED")
        self.flush()

    def finish(self, status: str = "FINISHED") -> None:
        """End the parent run and push the remaining records; a second call does nothing.

        Records that cannot be pushed stay in the spool for `replay_pending`.

        Args:
            status: FINISHED, FAILED or KILLED.
        """
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
    """Open the spool of a flow; if it cannot be written or locked, log a warning and return None."""
    try:
        return Spool(folder, flow_id)
    except OSError as error:  # also BlockingIOError: if a flow runs twice at once, only the first is tracked
        LOG.warning(
            "nothing is tracked in MLflow: the spool for flow %s in %s cannot be written (%s)",
            flow_id,
            folder,
            error,
        )
        return None


def replay_pending(config: MlflowConfig, root: str | None) -> int:
    """Push the spools that earlier flows left behind, and return how many were pushed completely.

    Runs that never ended get the status KILLED. The first spool that cannot be pushed ends the loop; it and
    the later ones stay on disk. If there are no such spools, MLflow is not imported.

    Args:
        config: the `mlflow` section.
        root: root of the store.
    """
    if not config.enabled:
        return 0
    server, done = Server(config, root), 0
    for spool in waiting(root):
        records = spool.records()
        if not any(record["op"] == "flow" for record in records):
            spool.remove()  # the flow was killed before its first record was complete
            continue
        if Pusher(server, spool.flow_id).push([*records, *_killed(records)]):
            spool.remove()
            done += 1
        else:
            spool.close()
            break
    return done


def _killed(records: list[Record]) -> list[Record]:
    """Return a record of kind `end` for each run of a flow that began and never ended.

    Its time is that of the flow's last record.
    """
    last = max(int(record["at"]) for record in records)
    begun = dict.fromkeys(record["stage"] for record in records if record["op"] in {"flow", "stage"})
    ended = {record["stage"] for record in records if record["op"] == "end"}
    open_ones = [stage for stage in begun if stage is not None and stage not in ended] + (
        [None] if None not in ended else []
    )
    return [{"op": "end", "stage": stage, "at": last, "status": "KILLED"} for stage in open_ones]
