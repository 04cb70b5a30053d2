"""A tracking server that may be dead: probed once, waited for briefly, and left alone for the rest of the process after its first failure.

MLflow's own defaults wait 246 s for a refused port and 120 s × 8 for one that accepts and is silent.
"""

import contextlib
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
from trackpools.places import user_cache
from trackpools.shell.lock import local_path

LOG = logging.getLogger(__name__)
R = TypeVar("R")
# the rest of the wait belongs to the first API call: a server may answer the probe and hang afterwards
PROBE_SHARE = 0.6
SQLITE_WAIT_S = 2
# what MLflow answers to a request that will never succeed, however often it is sent
REFUSED = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}
_DOWN: dict[str, str] = {}
_lock = threading.RLock()


def tracking_uri(config: MlflowConfig, root: str | None) -> str:
    """The configured server, else MLFLOW_TRACKING_URI, else Databricks on Databricks, else sqlite in the root (or the cache, where the root is not local)."""
    given = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return "databricks"
    folder = local_path(root) or user_cache()
    return f"sqlite:///{folder.absolute() / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite URI, None for any other."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def forget_down() -> None:
    """Give every server another chance; a process does so by ending."""
    _DOWN.clear()


def _answers(uri: str, timeout_s: float) -> str | None:
    """None if the server answers HTTP at all, else why not; through the proxies of the environment, as MLflow itself goes."""
    request = urllib.request.Request(uri.rstrip("/") + "/health", method="GET")  # noqa: S310 - only called for http and https
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return None
    except urllib.error.HTTPError:
        return None  # 401, 404 and 500 are answers; the first real call tells more
    except urllib.error.URLError as error:
        # an own certificate authority is MLflow's to judge
        return None if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def probe(uri: str, timeout_s: float) -> str | None:
    """None when a server can be talked to, else the reason; waits at most `timeout_s`, also for a name server or a slow drip of bytes."""
    if not uri.startswith(("http://", "https://")):
        return None
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(_answers(uri, timeout_s)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else f"no answer within {timeout_s:.1f} s"


@contextlib.contextmanager
def brief_waits(timeout_s: int) -> Iterator[None]:
    """MLflow's waits cut down while inside, and put back after: in a notebook the process is not ours."""
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the spool is our retry
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
        "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": str(timeout_s),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # an ended run prints its address, and --json is one object
    }
    with _lock:
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
    """One tracking server (and its registry), by configuration and root."""

    def __init__(self, config: MlflowConfig, root: str | None) -> None:
        self.config = config
        self.uri = tracking_uri(config, root)
        self._client: Any = None

    @property
    def down(self) -> str | None:
        """Why this process no longer talks to the server, or None."""
        return _DOWN.get(self.uri)

    def mark_down(self, reason: str) -> None:
        if self.uri not in _DOWN:
            _DOWN[self.uri] = reason
            message = "MLflow at %s is out of reach (%s); the work goes on, and what is spooled of it is sent by the next command"
            LOG.warning(message, without_secrets(self.uri), reason)

    def _unfit(self) -> str | None:
        path = sqlite_file(self.uri)
        if path is not None:
            return _unwritable(path)
        return probe(self.uri, PROBE_SHARE * self.config.timeout_s) if self._client is None else None

    def attempt(self, action: Callable[[Any], R], timeout_s: int | None = None) -> R | None:
        """`action(MlflowClient)`, or None where the server is, or thereby turns out to be, out of reach.

        Args:
            timeout_s: longest wait for one answer; only for uploads to a server that has just answered.
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
    """None when a sqlite file takes a writer now (or is not there yet); asked each time, for MLflow itself waits 20 s for a lock."""
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
    """True where MLflow understood the request and will never accept it; such a record is skipped, not kept for ever."""
    return getattr(error, "error_code", None) in REFUSED


def without_secrets(uri: str) -> str:
    """A URI without the user and password that may stand in it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else uri.partition("?")[0]


def _client(uri: str, registry_uri: str | None) -> Any:
    from mlflow import MlflowClient  # costs 3 s, so only once something is to be sent

    path = sqlite_file(uri)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri, registry_uri=registry_uri)


def experiment_id(client: Any, config: MlflowConfig, uri: str) -> str:
    """Id of the configured experiment, made on first use; artifacts of a sqlite server lie beside its file."""
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
        again = client.get_experiment_by_name(config.experiment)  # another process made it in between
        if again is None:
            raise
        return str(again.experiment_id)


def reachable(config: MlflowConfig, root: str | None) -> str | None:
    """None when the server can be talked to, else why not; never imports MLflow and changes nothing."""
    uri = tracking_uri(config, root)
    path = sqlite_file(uri)
    return probe(uri, config.timeout_s) if path is None else _unwritable(path)
