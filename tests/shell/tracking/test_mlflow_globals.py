"""Tests that only one thread at a time uses the parts of MLflow that depend on global settings."""

import os
import threading

import mlflow
from mlflow.tracking import fluent as whole

from trackpools.shell.tracking.mlflow_globals import mlflow_target
from trackpools.shell.tracking.mlflow_server import brief_waits


def test_threads_take_turns_and_each_finds_and_leaves_the_process_as_it_was(tmp_path):
    uris = [f"sqlite:///{tmp_path}/{name}.db" for name in "ab"]
    before = dict(os.environ), mlflow.get_tracking_uri(), whole._active_experiment_id
    inside, first_is_in, first_may_go = [], threading.Event(), threading.Event()
    seen = {}

    def first():
        with mlflow_target(uris[0], "1", {"TRACKPOOLS_OF": "first"}):
            inside.append("first")
            first_is_in.set()
            first_may_go.wait(30)
            seen["first"] = (
                mlflow.get_tracking_uri(),
                os.environ["TRACKPOOLS_OF"],
                os.environ["MLFLOW_EXPERIMENT_ID"],
            )
            inside.remove("first")

    def second():
        first_is_in.wait(30)
        with mlflow_target(uris[1], "2", {"TRACKPOOLS_OF": "second"}):
            seen["inside with"] = list(inside)
            seen["second"] = (
                mlflow.get_tracking_uri(),
                os.environ["TRACKPOOLS_OF"],
                os.environ["MLFLOW_EXPERIMENT_ID"],
            )

    threads = [threading.Thread(target=one, daemon=True) for one in (first, second)]
    for thread in threads:
        thread.start()
    first_is_in.wait(30)
    threads[1].join(1)  # without the lock, the thread would have ended by now
    first_may_go.set()
    for thread in threads:
        thread.join(30)
    assert seen == {"first": (uris[0], "first", "1"), "second": (uris[1], "second", "2"), "inside with": []}
    assert (dict(os.environ), mlflow.get_tracking_uri(), whole._active_experiment_id) == before


def test_a_nested_call_does_not_wait_for_the_lock(tmp_path):
    """Check a thread that holds the lock already, as in `prompt_registry` and `mlflow_assessment`."""
    with brief_waits(1), mlflow_target(f"sqlite:///{tmp_path}/a.db", "1", {}):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"
