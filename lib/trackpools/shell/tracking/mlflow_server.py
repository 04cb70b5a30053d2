"""Calls to an MLflow tracking server that may be dead.

An http server is probed before the first call, and every call waits only briefly. After the first failed
call, this process does not call the server again. With MLflow's own defaults, a call waits 246 s if the port
refuses connections, and 8 times 120 s if the port accepts a connection and never answers.
"""

import contextlib
import http.client
import logging
import os
import sqlite3
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from trackpools.config import MlflowConfig
from trackpools.paths import user_cache
from trackpools.shell.resilience.timeout import CallTimedOut, call_with_timeout
from trackpools.shell.spark.runtime import on_databricks
from trackpools.shell.store.root_lock import local_path

LOG = logging.getLogger(__name__)
R = TypeVar("R")
# Share of `mlflow.timeout_s` that the probe may take. It is below 1, because a server may answer the probe
# and then hang, and then the first API call waits as well.
PROBE_SHARE = 0.6
SQLITE_WAIT_S = 2  # longest wait for the lock of a sqlite file
# MLflow's error codes for a request that will never succeed, however often it is sent.
REFUSED = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}
_DOWN: dict[str, str] = {}  # tracking URI → the reason why this process no longer calls that server
# MLflow reads environment variables, which belong to the whole process. Code that sets them holds this lock
# until it has restored them.
PROCESS_LOCK = threading.RLock()


def tracking_uri(config: MlflowConfig, root: str | None) -> str:
    """Return the URI of the tracking server: the first of these that is given.

    1. `mlflow.tracking_uri` of the configuration
    2. the environment variable `MLFLOW_TRACKING_URI`
    3. `databricks`, if this process runs on Databricks
    4. the sqlite file `mlflow.db` in the root, or in the user's cache folder if the root is not on the local
       disk
    """
    given = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    if on_databricks():
        return "databricks"
    folder = local_path(root) or user_cache()
    return f"sqlite:///{folder.absolute() / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a sqlite URI, or None for any other URI."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def forget_down() -> None:
    """Forget which servers are down, so that this process calls them again."""
    _DOWN.clear()


def _answers(uri: str, timeout_s: float) -> str | None:
    """Return None if the server gives any HTTP answer, else the reason why there is none.

    Like MLflow's requests, the request uses the proxies that environment variables set.
    """
    request = urllib.request.Request(uri.rstrip("/") + "/health", method="GET")  # noqa: S310 - only called for http and https
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return None
    except urllib.error.HTTPError:
        return None  # 401, 404 and 500 are answers too; the first real call shows whether the server works
    except urllib.error.URLError as error:
        # A certificate error is left to MLflow, which may be configured with a private certificate authority.
        return None if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def probe(uri: str, timeout_s: float) -> str | None:
    """Return None if a server can be reached, else the reason why it cannot.

    The probe takes at most `timeout_s` seconds in total, even if a name server hangs or bytes arrive slowly.
    Only http and https servers are probed; for any other URI, the result is None.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        return call_with_timeout(timeout_s, lambda: _answers(uri, timeout_s))
    except CallTimedOut:
        return f"no answer within {timeout_s:.1f} s"


@contextlib.contextmanager
def brief_waits(timeout_s: int) -> Iterator[None]:
    """Shorten MLflow's waits inside the block, and restore the environment variables afterwards.

    They are restored because other code may use MLflow in the same process, for example in a notebook.

    Args:
        timeout_s: longest wait for one answer, in seconds.
    """
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # no retry: the spool keeps what could not be sent
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
        "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": str(timeout_s),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # else MLflow prints a run's address, but with --json stdout must be one JSON object
    }
    with PROCESS_LOCK:
        before = {key: os.environ.get(key) for key in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def _why(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200] if text else ''}"


class Server:
    """Client of one tracking server and its model registry.

    Args:
        config: the `mlflow` section.
        root: root of the store; the default sqlite file is in it, see `tracking_uri`.

    Attributes:
        config: the `mlflow` section.
        uri: tracking URI of the server.
    """

    def __init__(self, config: MlflowConfig, root: str | None) -> None:
        self.config = config
        self.uri = tracking_uri(config, root)
        self._client: Any = None

    @property
    def down(self) -> str | None:
        """The reason why this process no longer calls the server, or None."""
        return _DOWN.get(self.uri)

    def mark_down(self, reason: str) -> None:
        """Stop calling the server for the rest of the process, and log a warning the first time."""
        if self.uri not in _DOWN:
            _DOWN[self.uri] = reason
            message = "MLflow at %s cannot be reached (%s); this command continues, and the next command sends the records that wait on disk"
            LOG.warning(message, without_secrets(self.uri), reason)

    def _unfit(self) -> str | None:
        """Return why the server cannot be called now, or None if it can.

        A sqlite file is checked before every call, an http server only before the first.
        """
        path = sqlite_file(self.uri)
        if path is not None:
            return _unwritable(path)
        return probe(self.uri, PROBE_SHARE * self.config.timeout_s) if self._client is None else None

    def attempt(self, action: Callable[[Any], R], timeout_s: int | None = None) -> R | None:
        """Run an action with an MLflow client.

        This method raises no error: any error of the action marks the server as down for the rest of the
        process.

        Args:
            action: called with an `MlflowClient`.
            timeout_s: longest wait for one answer, in seconds; set it only for uploads to a server that has
                just answered. None stands for `mlflow.timeout_s`.

        Returns:
            The result of the action. None if `mlflow.enabled` is false, if the server was already down, or
            if this call failed.
        """
        if not self.config.enabled or self.down is not None:
            return None
        began = time.monotonic()
        try:
            with brief_waits(timeout_s or self.config.timeout_s):
                reason = self._unfit()
                if reason is not None:
                    self.mark_down(reason)
                    return None
                self._client = self._client or _client(self.uri, self.config.registry_uri)
                return action(self._client)
        except Exception as error:  # the tracking of a run must never end it, whatever MLflow raises
            self.mark_down(f"{_why(error)} after {time.monotonic() - began:.1f} s")
            return None


def _unwritable(path: Path) -> str | None:
    """Return the reason why a sqlite file cannot be written now, or None if it can or does not exist.

    This is checked before every call, because MLflow itself waits 20 s for a lock.
    """
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=SQLITE_WAIT_S, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    except sqlite3.Error as error:
        return str(error)
    return None


def refused(error: Exception) -> bool:
    """Return whether an error of MLflow means that it will never accept the request.

    Callers skip what was refused, because it would be refused again at every later try.
    """
    return getattr(error, "error_code", None) in REFUSED


def without_secrets(uri: str) -> str:
    """Return only the scheme and host of a URI, without a user, a password or a path.

    A URI without a host is returned up to its `?`.
    """
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else uri.partition("?")[0]


def _client(uri: str, registry_uri: str | None) -> Any:
    from mlflow import MlflowClient  # this import costs 3 s, so it is done only when something is to be sent

    path = sqlite_file(uri)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri, registry_uri=registry_uri)


def experiment_id(client: Any, config: MlflowConfig, uri: str) -> str:
    """Return the id of the configured experiment.

    If no such experiment exists, it is created; if it was deleted, it is restored. With a sqlite file as
    server, a new experiment stores its artifacts in the folder `mlartifacts` beside that file.
    """
    found = client.get_experiment_by_name(config.experiment)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    path = sqlite_file(uri)
    artifacts = None if path is None else (path.absolute().parent / "mlartifacts").as_uri()
    try:
        return str(client.create_experiment(config.experiment, artifact_location=artifacts))
    except Exception:
        again = client.get_experiment_by_name(config.experiment)  # another process may have created it
        if again is None:
            raise
        return str(again.experiment_id)


def reachable(config: MlflowConfig, root: str | None) -> str | None:
    """Return None if the server can be reached, else the reason why it cannot.

    For a sqlite file, this tests whether the file can be written. MLflow is not imported, and nothing is
    changed.
    """
    uri = tracking_uri(config, root)
    path = sqlite_file(uri)
    return probe(uri, config.timeout_s) if path is None else _unwritable(path)
