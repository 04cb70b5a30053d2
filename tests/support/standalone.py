"""A standalone Spark cluster on loopback: a master and workers on free ports, which end with the test."""

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
WAIT_S = 60


def clean_environment(**more):
    """Return the environment without the variables that this process's own Spark set."""
    kept = {
        key: value for key, value in os.environ.items() if not re.match("_?(PY)?SPARK|PYTHONPATH|MLFLOW", key)
    }
    return (
        kept
        | {
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        | more
    )


def _die_with_us():
    """Ask in the child for SIGTERM when this process ends, however it ends.

    So a killed test run leaves no cluster behind.
    """
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


GROUP = {"start_new_session": True, "preexec_fn": _die_with_us if sys.platform == "linux" else None}


def _until(what, found):
    """Return the first true answer of `found`, which is called again and again for a while."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer = found()
            if answer:
                return answer
        time.sleep(0.2)
    raise TimeoutError(f"{what} within {WAIT_S} s")


@contextlib.contextmanager
def _daemon(kind, folder, *arguments):
    """Run a Spark daemon in its own process group; yield its log file and its process."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{kind.rpartition('.')[2]}.log"
    command = [
        str(SPARK_HOME / "bin" / "spark-class"),
        f"org.apache.spark.deploy.{kind}",
        "--host",
        "127.0.0.1",
        "--webui-port",
        "0",
        *arguments,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=clean_environment(), cwd=folder, **GROUP
        )
    try:
        yield log, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # a worker that ends also ends its executors
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _told(log, pattern):
    found = re.search(pattern, log.read_text(errors="replace"))
    return found and found.group(1)


@contextlib.contextmanager
def standalone_cluster(folder, cores=2, memory="2g", workers=1):
    """Yield the master's spark:// URL once its workers have registered, and the workers' processes.

    A worker that is killed with its process group takes its executors with it.
    """
    with contextlib.ExitStack() as daemons:
        log, _ = daemons.enter_context(_daemon("master.Master", folder, "--port", "0"))
        url = _until("a master's address", lambda: _told(log, r"Starting Spark master at (spark://\S+)"))
        ui = _until("a master's web page", lambda: _told(log, r"MasterWebUI.*(http://\S+:\d+)"))
        size = ("--cores", str(cores), "--memory", memory)
        processes = []
        for number in range(workers):
            own = folder / f"worker-{number}"
            processes.append(
                daemons.enter_context(
                    _daemon("worker.Worker", own, *size, "--work-dir", str(own / "work"), url)
                )[1]
            )
        # The web page has a random port of its own, so it is not that of another master.
        port = ui.rpartition(":")[2]
        _until("registered workers", lambda: len(_alive(f"http://127.0.0.1:{port}/json/")) == workers)
        yield url, processes


def _alive(address):
    with urllib.request.urlopen(address, timeout=5) as answer:
        return [worker for worker in json.load(answer)["workers"] if worker["state"] == "ALIVE"]


def spark_submit(arguments, *, python=sys.executable, timeout=600, **environment):
    """Run spark-submit; return the finished process with its text output.

    A variable whose value is None is left out of its environment.
    """
    command = [str(SPARK_HOME / "bin" / "spark-submit"), *map(str, arguments)]
    wanted = clean_environment(PYSPARK_PYTHON=str(python), PYSPARK_DRIVER_PYTHON=str(python)) | environment
    environment = {key: value for key, value in wanted.items() if value is not None}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **GROUP
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
