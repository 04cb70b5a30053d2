"""Tests of `trackpools tune` on a small log: what it finds, reads and leaves untouched.

A killed search loses no finished trial.
"""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from flows import SMALL, START, hashes
from trackpools.config.loading import load_config
from trackpools.errors import ConfigError, InputError
from trackpools.shell.command import Options
from trackpools.shell.tracking import mlflow_server
from trackpools.shell.tracking.mlflow_server import tracking_uri
from trackpools.shell.tuning import search, search_space

# λ is so large that the factors are nearly zero, so every other trial is better.
ABSURD = (
    *SMALL,
    "train.reg=10000000.0",
    "train.rank=2",
    "pools.k=25",
    "pools.floor=0",
    "holdout.days=14",
    "tune.k=10",
    "tune.trials=3",
)
UNTIL = (START + dt.timedelta(days=60)).isoformat()
TESTED = START + dt.timedelta(days=50)  # in the days that only `promote` reads
ASKED = START + dt.timedelta(days=40)  # in the days before those


def settings(root, *more):
    return load_config(settings=["mlflow.enabled=false", *ABSURD, *more], root=str(root))


def run_tune(config, **more):
    return search.tune(config, Options(root=config.store.root, quiet=True), until=UNTIL, **more).more


def trials(answer):
    return [
        (one["study"], one["state"], one["value"] and round(one["value"], 9), one["settings"])
        for one in answer["trials"]
    ]


def files(root):
    return {path.relative_to(root): path.stat().st_mtime_ns for path in (Path(root) / "tables").rglob("*")}


def plant_plays(spark, at):
    """Return an input in which all users play all recordings at one moment."""
    rows = [
        (f"p{user}-{recording}", f"u{user:03}", f"t{recording:04}", at)
        for user in range(40)
        for recording in range(120)
    ]
    plays = spark.createDataFrame(
        rows, "event_id string, user_id string, track_id string, played_at timestamp"
    )
    return {"plays": plays.selectExpr("*", "'play' AS kind", "200000 AS ms_played", "1 AS plays")}


@pytest.fixture(scope="module")
def once(spark, published, tmp_path_factory):
    """Return `(root, answer, files before, hashes before)` of one search with MLflow on."""
    root = shutil.copytree(published, tmp_path_factory.mktemp("tune") / "root")
    config = settings(root, "mlflow.enabled=true")
    mlflow_server.forget_down()
    before = files(root), hashes(spark, config)
    return root, search.tune(config, Options(root=str(root), quiet=True), until=UNTIL), *before


@pytest.mark.soak
def test_absurd_settings_are_replaced_and_the_answer_is_a_complete_configuration(once):
    root, answer, *_ = once
    found = answer.more
    assert [one["study"] for one in found["trials"]] == ["trial"] * 3 + ["blend"] * 3
    first, *others = (one for one in found["trials"] if one["study"] == "trial")
    assert first["settings"] == {}
    assert max(one["value"] for one in others) > 2 * first["value"]
    assert found["better"] and found["settings"]["train.reg"] < 1e7
    assert found["measures"]["new gain"]["low"] > 0
    assert (
        found["interval"][0] < found["value"] == found["measures"]["new best"]["value"] < found["interval"][1]
    )
    # Loaded by itself, without the options of the search, the file gives these options and what was found.
    assert found["config"] == str(root / "tuned.yml")
    alone = search_space.dump(load_config(found["config"]))
    wanted = search_space.dump(
        search_space.with_settings(settings(root, "mlflow.enabled=true"), found["settings"])
    )
    assert alone | {"tune": None} == wanted | {"tune": None}
    told = yaml.safe_load(Path(found["config"]).read_text())
    assert "engine" not in told["train"] and "ingest" not in told
    day = "2025-04-16T00:00:00+00:00"
    steps = (["interactions", "features", "train"] if "weights.saturation" in found["settings"] else []) + [
        "pools"
    ]
    assert [
        f"next: trackpools {step} --config {found['config']} --as-of {day} --root {root}" in answer.lines
        for step in steps
    ] == [True] * len(steps)


@pytest.mark.soak
def test_nothing_that_readers_follow_is_touched_and_nothing_is_left_behind(spark, once):
    root, _, before, released = once
    assert files(root) == before
    assert hashes(spark, settings(root)) == released
    assert not (root / "tuning_side").exists()


@pytest.mark.soak
def test_every_trial_is_a_child_run(once):
    from mlflow import MlflowClient

    root, answer, *_ = once
    client = MlflowClient(tracking_uri=tracking_uri(settings(root).mlflow, str(root)))
    children = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{answer.mlflow_run_id}'")
    named = {run.data.tags["trackpools.stage"]: run for run in children}
    assert set(named) == {f"{study}-{n}" for study in ("trial", "blend") for n in range(3)}
    for one in answer.more["trials"]:
        run = named[f"{one['study']}-{one['trial']}"]
        assert run.data.tags["trackpools.trial"] == one["state"]
        assert run.data.metrics.get("value") == one["value"]
        assert (
            one["settings"].items()
            <= {key: json.loads(value) for key, value in run.data.params.items()}.items()
        )
    parent = client.get_run(answer.mlflow_run_id)
    assert parent.data.metrics["new_best"] == answer.more["value"]
    assert parent.data.params["best.train.reg"] == str(answer.more["tried"]["train.reg"])


@pytest.mark.soak
def test_the_same_call_again_tries_nothing_and_answers_the_same(spark, once):
    root, answer, *_ = once
    began = time.monotonic()
    again = run_tune(settings(root))
    assert time.monotonic() - began < 20
    assert again == answer.more | {"config": again["config"]}


@pytest.mark.soak
def test_the_same_seed_tries_the_same_and_days_for_promote_are_never_read(spark, once, tmp_path):
    root, answer, *_ = once
    again = run_tune(
        settings(shutil.copytree(root, tmp_path / "root")), fresh=True, planted=plant_plays(spark, TESTED)
    )
    assert trials(again) == trials(answer.more)
    assert again["measures"] == answer.more["measures"]


@pytest.mark.soak
def test_plays_in_the_searched_days_count_and_a_dead_mlflow_does_not_matter(spark, once, tmp_path):
    root, answer, *_ = once
    config = settings(
        shutil.copytree(root, tmp_path / "root"),
        "tune.trials=1",
        "mlflow.enabled=true",
        "mlflow.tracking_uri=http://127.0.0.1:9",
    )
    mlflow_server.forget_down()
    found = run_tune(config, fresh=True, planted=plant_plays(spark, ASKED))
    assert [one["settings"] for one in found["trials"]] == [{}, {}]
    assert found["trials"][0]["value"] != answer.more["trials"][0]["value"]
    assert not found["better"] and found["settings"] == {}


@pytest.mark.soak
def test_a_killed_search_resumes_and_ends_with_the_same_result(spark, once, published, tmp_path):
    answer = once[1].more
    own = shutil.copytree(published, tmp_path / "root")
    options = [
        part for one in ("mlflow.enabled=false", "session.memory=1g", *ABSURD) for part in ("--set", one)
    ]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "SPARK_"))
    }
    words = [sys.executable, "-m", "trackpools", "tune", "--root", str(own), "--until", UNTIL, *options]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("trial 2 of"):
            break
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    assert process.poll() is None, "".join(said)[-2000:]
    for one in tree:
        one.send_signal(signal.SIGKILL)
    process.wait()
    found = run_tune(settings(own))
    # One more trial began and none more ended: the first trial was not run again.
    numbers = [one["trial"] for one in found["trials"] if one["study"] == "trial"]
    assert numbers == [0, 2, 3]
    assert [(study, state, settings) for study, state, _, settings in trials(found)] == [
        (study, state, settings) for study, state, _, settings in trials(answer)
    ]
    assert found["value"] == pytest.approx(answer["value"], abs=1e-6)


def test_a_log_too_short_for_two_windows_is_refused_with_the_sum(spark, published, tmp_path):
    with pytest.raises(
        InputError, match=r"it has 60\.0 days; it needs 40 for promote alone \+ 40 to measure on = 80 days"
    ):
        run_tune(settings(shutil.copytree(published, tmp_path / "root"), "holdout.days=40"))


@pytest.mark.soak
def test_a_window_without_newly_heard_recordings_is_refused(spark, published, tmp_path):
    config = settings(shutil.copytree(published, tmp_path / "root"))
    with pytest.raises(InputError, match="chose and heard anything new in the 14 days"):
        search.tune(config, Options(quiet=True), until="2026-01-01")
    assert not (tmp_path / "root" / "tuned.yml").exists()


def test_without_optuna_it_says_what_to_install(published, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[tune\]'"):
        run_tune(settings(published))
