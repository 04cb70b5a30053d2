"""Tests of how the fills of a suite become rows of MLflow's evaluation view.

Functions, not language models, assess the fills. The assessments belong to the command's MLflow run.
Afterwards, environment variables and MLflow's settings of the process are as they were before.
"""

import os
import sqlite3
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import fluent

from trackpools.config.loading import load_config
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.contract.messages import ConstraintResult
from trackpools.fill.suite.cases import Case, in_turns
from trackpools.fill.suite.measures import Outcome
from trackpools.shell.fills import mlflow_assessment
from trackpools.shell.tracking.tracker import Tracker


def outcome(number, met=True, **more):
    told = (ConstraintResult(name="tracks", wanted="12", got="12" if met else "9", met=met),)
    case = Case(f"length-{number:03}", "length", f"{number} songs", Constraints(tracks=12))
    return Outcome(
        case,
        True,
        told,
        {"pool": met, "retrieval": met, "catalogue": True},
        0.5,
        0.2,
        0.9,
        10.0 * number,
        7,
        0.1,
        "",
        **more,
    )


def config_of(root):
    return load_config(settings=[f"mlflow.tracking_uri=sqlite:///{root}/mlflow.db"], root=root)


@pytest.fixture
def before(tmp_path):
    """Make this process track elsewhere, as a notebook may; yield a function that returns its settings.

    At the end, check that nothing was written elsewhere.
    """
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    mlflow.set_tracking_uri(elsewhere)
    yield lambda: (
        dict(os.environ),
        mlflow.get_tracking_uri(),
        fluent._active_experiment_id,
        mlflow.active_run(),
    )
    assert not (tmp_path / "elsewhere.db").exists()


def test_each_fill_is_a_row_with_its_assessments_and_the_process_is_as_before(root, before, capfd):
    config, was = config_of(root), before()
    with Tracker(config.mlflow, root, "eval-fill-1", "eval-fill") as tracker:
        said = mlflow_assessment.assess(
            config,
            tracker.run_id,
            [outcome(1), outcome(2, met=False), outcome(3, repeated=2, outside=1)],
            of=7,
        )
    assert before() == was
    assert said == f"3 of 7 fills are assessed one by one in MLflow, in the traces of run {tracker.run_id}"
    assert capfd.readouterr().out == ""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    shares = {
        "satisfied": 2 / 3,
        "possible": 1.0,
        "understood": 1.0,
        "closed_world": 2 / 3,
        "no_duplicates": 2 / 3,
        "chosen_by_model": 0.5,
        "milliseconds": 20.0,
    }
    assert {name: run.data.metrics[f"{name}/mean"] for name in shares} == pytest.approx(shares)
    traces = {
        one.data.spans[0].inputs["case"]: one
        for one in client.search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id)
    }
    assert sorted(traces) == ["length-001", "length-002", "length-003"]
    found = {one.name: one for one in traces["length-002"].info.assessments}
    assert set(found) == {*mlflow_assessment.SCORERS, "wants"}
    assert (
        found["satisfied"].value,
        found["satisfied"].rationale,
        found["satisfied"].source.source_type,
    ) == (False, "tracks: 12; 9", "CODE")
    assert found["wants"].value == {"tracks": 12}
    with sqlite3.connect(Path(root) / "mlflow.db") as database:
        assert "LLM_JUDGE" not in "\n".join(database.iterdump())


def test_where_the_evaluation_fails_the_run_is_tracked_all_the_same(root, before, monkeypatch):
    def broken(**_):
        raise ValueError("no scorers today\nmore")

    monkeypatch.setattr("mlflow.genai.evaluate", broken)
    config, was = config_of(root), before()
    with Tracker(config.mlflow, root, "eval-fill-1", "eval-fill") as tracker:
        said = mlflow_assessment.assess(config, tracker.run_id, [outcome(1)], of=1)
        tracker.metrics({"after": 1.0})
    assert said == "no fill is assessed in MLflow: ValueError: no scorers today"
    assert before() == was
    run = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db").get_run(tracker.run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"after": 1.0})


def test_without_mlflow_there_is_one_line(root):
    assert "mlflow.enabled is false" in mlflow_assessment.assess(
        load_config(settings=["mlflow.enabled=false"], root=root), None, [outcome(1)], of=1
    )
    assert "the server cannot be reached" in mlflow_assessment.assess(
        config_of(root), None, [outcome(1)], of=1
    )


def test_rows_are_taken_from_each_family_in_turn():
    some = ["a1", "a2", "a3", "b1", "c1", "c2"]
    assert in_turns(some, lambda one: one[0], 4) == ["a1", "b1", "c1", "a2"]
    assert in_turns(some, lambda one: one[0], None) == ["a1", "b1", "c1", "a2", "c2", "a3"]
