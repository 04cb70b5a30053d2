"""Tests of tracking on a real sqlite MLflow, and against servers that fail in four ways."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from trackpools.config.loading import load_config
from trackpools.errors import ConfigError, InputError
from trackpools.shell.tracking import mlflow_server
from trackpools.shell.tracking.mlflow_server import Server, reachable, tracking_uri
from trackpools.shell.tracking.outbox import Spool, spool_folder
from trackpools.shell.tracking.tracker import Tracker, describe_error, replay_pending

LIMIT_S = 5.0


def mlflow_config(*settings):
    return load_config(settings=settings).mlflow


def runs(root):
    """Return the client and {stage tag: run}, as a reader of the server sees them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(mlflow_config(), root))
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len({(r.data.tags["trackpools.flow_id"], r.data.tags["trackpools.stage"]) for r in found}) == len(
        found
    )
    return client, {r.data.tags["trackpools.stage"]: r for r in found}


def run_flow(tracker):
    tracker.params({"train.rank": 8, "nothing": None})
    with tracker.stage("train") as stage:
        stage.params({f"p{i}": i for i in range(230)})
        for step, loss in enumerate([3.0, 2.0, 1.5]):
            stage.metrics({"loss": loss}, step=step)
        stage.metrics({"not a number": float("nan"), "skipped": None})
        stage.input("interactions", "/data/tables/interactions", 0)
        stage.tag({"engine": "implicit"})
        stage.artifact_text("note.txt", "hello")
    tracker.artifact_text("report.html", "<p>report</p>")


def check_flow(root, status="FINISHED"):
    client, found = runs(root)
    parent, child = found["(flow)"], found["train"]
    assert set(found) == {"(flow)", "train"}
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.status, child.info.status) == (status, "FINISHED")
    assert parent.data.params == {"train.rank": "8", "nothing": "null"}
    assert len(child.data.params) == 230
    assert child.data.params["p229"] == "229"
    assert [(m.step, m.value) for m in client.get_metric_history(child.info.run_id, "loss")] == [
        (0, 3.0),
        (1, 2.0),
        (2, 1.5),
    ]
    assert child.data.metrics["not a number"] != child.data.metrics["not a number"]
    assert child.data.tags["engine"] == "implicit"
    (dataset,) = child.inputs.dataset_inputs
    assert dataset.dataset.name == "interactions"
    assert json.loads(dataset.dataset.source) == {
        "path": "/data/tables/interactions",
        "delta_table_version": "0",
    }
    assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["note.txt"]
    assert [f.path for f in client.list_artifacts(parent.info.run_id)] == ["report.html"]


def test_a_flow_leaves_a_parent_run_with_a_child_per_stage_and_no_spool(root):
    with Tracker(mlflow_config(), root, "flow-1", "demo") as tracker:
        assert tracker.run_id is not None
        run_flow(tracker)
    check_flow(root)
    assert list(spool_folder(root).iterdir()) == []
    assert runs(root)[1]["(flow)"].info.run_id == tracker.run_id


def test_pushing_the_same_records_twice_leaves_the_same_runs(root):
    tracker = Tracker(mlflow_config(), root, "flow-1", "demo")
    run_flow(tracker)
    tracker.flush()
    spool = spool_folder(root) / "flow-1.jsonl"
    copy, files = spool.read_bytes(), spool.with_suffix(".files")
    shutil.copytree(files, files.with_suffix(".kept"))
    tracker.finish()
    spool.write_bytes(copy + b'{"op": "metrics", "stage": "train", "val')  # kill -9 cut this line
    files.with_suffix(".kept").rename(files)
    assert replay_pending(mlflow_config(), root) == 1
    check_flow(root, status="KILLED")
    assert replay_pending(mlflow_config(), root) == 0


def test_a_torn_line_does_not_swallow_the_next_one(tmp_path):
    (tmp_path / "f.jsonl").write_text('{"op": "flow", "stage": null, "at": 1}\n{"op": "me')
    spool = Spool(tmp_path, "f")
    spool.append({"op": "end", "stage": None, "at": 2})
    assert [record["op"] for record in spool.records()] == ["flow", "end"]
    spool.close()


def test_a_killed_flow_is_replayed_as_killed(root):
    code = (
        "import sys, os, signal; from trackpools.shell.tracking.tracker import Tracker; from trackpools.config.loading import load_config\n"
        "t = Tracker(load_config().mlflow, sys.argv[1], 'dead', 'demo'); t.params({'a': 1})\n"
        "with t.stage('train') as s: s.metrics({'loss': 1.0}); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, root], check=False)
    assert done.returncode == -signal.SIGKILL
    assert replay_pending(mlflow_config(), root) == 1
    _, found = runs(root)
    assert {stage: run.info.status for stage, run in found.items()} == {"(flow)": "KILLED", "train": "KILLED"}
    assert found["train"].data.metrics == {"loss": 1.0}


def test_the_spool_of_a_living_flow_is_left_alone(root):
    tracker = Tracker(mlflow_config(), root, "alive", "demo")
    assert replay_pending(mlflow_config(), root) == 0
    tracker.finish()
    assert runs(root)[1]["(flow)"].info.status == "FINISHED"


def test_an_error_marks_stage_and_flow_as_failed_without_its_quoted_values(root):
    tracker = Tracker(mlflow_config(), root, "flow-1", "demo")
    with pytest.raises(InputError), tracker.stage("import"):
        raise InputError("no user 'secret-user-7'; give another", ["row of secret-user-7"])
    _, found = runs(root)
    assert {run.info.status for run in found.values()} == {"FAILED"}
    assert found["import"].data.tags["trackpools.error"] == "input: no user …; give another"
    assert "secret-user-7" not in json.dumps([run.to_dictionary() for run in found.values()])


def test_only_the_kind_of_a_foreign_error_is_recorded():
    assert describe_error(ValueError("cannot cast secret-user-7")) == "ValueError"


def test_a_changed_parameter_is_refused_alone(root):
    with Tracker(mlflow_config(), root, "flow-1", "demo") as tracker:
        tracker.params({"a": 1})
        tracker.flush()
        tracker.params({"a": 2, "b": 3})
    run = runs(root)[1]["(flow)"]
    assert run.data.params == {"a": "1", "b": "3"}
    assert run.info.status == "FINISHED"


def test_a_locked_database_is_spooled_and_replayed(root):
    import sqlite3

    Tracker(mlflow_config(), root, "before", "demo").finish()  # creates the experiment
    holder = sqlite3.connect(f"{root}/mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with Tracker(mlflow_config(), root, "flow-1", "demo") as tracker:
        assert tracker.run_id is None
        run_flow(tracker)
    seconds = time.monotonic() - began
    print(f"\nlocked sqlite: {seconds:.2f} s")
    assert seconds < LIMIT_S
    holder.execute("ROLLBACK")
    holder.close()
    mlflow_server.forget_down()
    assert replay_pending(mlflow_config(), root) == 1
    assert {run.data.tags["trackpools.flow_id"] for run in runs_of(root)} == {"before", "flow-1"}


def runs_of(root):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(mlflow_config(), root))
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


class Loopback:
    """Run a server on loopback that answers each request with `answer(n)`; None means no answer."""

    def __init__(self, answer):
        self.answer, self.requests, self.open = answer, 0, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        while True:
            try:
                if not connection.recv(65536):
                    return
                self.requests += 1
                status = self.answer(self.requests)
                if status is not None:
                    connection.sendall(
                        f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{{}}".encode()
                    )
                    connection.close()
                    return
            except OSError:
                return

    def close(self):
        self.socket.close()
        for connection in self.open:
            connection.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.mark.parametrize(
    "kind", ["refused", "silent", "error 500", "answers once, then silent", "retry later"]
)
def test_a_dead_server_costs_at_most_five_seconds_in_total_and_nothing_is_lost(root, kind):
    import mlflow  # noqa: F401 - its import is not the server's fault

    answers = {
        "refused": None,
        "silent": lambda n: None,
        "error 500": lambda n: 500,
        "retry later": lambda n: 429,
        "answers once, then silent": lambda n: 200 if n == 1 else None,
    }
    server = Loopback(answers[kind]) if answers[kind] else None
    config = mlflow_config(
        f"mlflow.tracking_uri={server.uri if server else f'http://127.0.0.1:{free_port()}'}"
    )
    try:
        began = time.monotonic()
        assert replay_pending(config, root) == 0
        with Tracker(config, root, "flow-1", "demo") as tracker:
            assert tracker.run_id is None
            run_flow(tracker)
        second = Tracker(config, root, "flow-2", "demo")
        second.finish()
        assert replay_pending(config, root) == 0
        seconds = time.monotonic() - began
    finally:
        if server:
            server.close()
    print(f"\n{kind}: {seconds:.2f} s, {server.requests if server else 0} requests")
    assert seconds <= LIMIT_S
    assert Server(config, root).down
    assert os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") is None
    (spool_folder(root) / "flow-2.jsonl").unlink()
    assert replay_pending(mlflow_config(), root) == 1
    check_flow(root)


def test_tracking_switched_off_or_nothing_to_replay_never_imports_mlflow(tmp_path):
    code = (
        "import sys; from trackpools.shell.tracking.tracker import Tracker, replay_pending; from trackpools.config.loading import load_config\n"
        "assert replay_pending(load_config().mlflow, sys.argv[1]) == 0\n"
        "t = Tracker(load_config(settings=['mlflow.enabled=false']).mlflow, sys.argv[1], 'f', 'demo')\n"
        "with t.stage('train') as s: s.metrics({'loss': 1.0}); s.artifact_text('a.txt', 'a')\n"
        "assert t.run_id is None; t.finish(); assert 'mlflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "root")], check=True)
    assert not (tmp_path / "root").exists()


def test_where_there_is_no_local_root_the_cache_folder_holds_spool_and_server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert spool_folder("s3a://a/b").parent == spool_folder(None).parent == tmp_path / "trackpools" / "spool"
    assert spool_folder("s3a://a/b") != spool_folder("s3a://a/c")
    assert tracking_uri(mlflow_config(), None) == f"sqlite:///{tmp_path}/trackpools/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://x")
    assert tracking_uri(mlflow_config(), None) == "http://x"
    assert tracking_uri(mlflow_config("mlflow.tracking_uri=http://y"), None) == "http://y"


def test_tracking_prints_nothing_on_standard_output(root, capfd):
    with Tracker(mlflow_config(), root, "flow-1", "demo") as tracker:
        run_flow(tracker)
    assert capfd.readouterr().out == ""


def test_reachable_says_why_not(root):
    assert reachable(mlflow_config(), root) is None
    assert "refused" in reachable(mlflow_config(f"mlflow.tracking_uri=http://127.0.0.1:{free_port()}"), root)


@pytest.mark.parametrize("flow_id", ["", "../up", "a b", "x" * 129, ".hidden", "a'b"])
def test_a_flow_id_that_is_not_a_file_name_is_refused(root, flow_id):
    with pytest.raises(ConfigError, match="flow id"):
        Tracker(mlflow_config(), root, flow_id, "demo")
