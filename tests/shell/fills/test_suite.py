"""Tests of `trackpools eval-fill` on a release: its figures for users, scripts and MLflow.

Every playlist that the solver finds possible is filled.
"""

import json
from pathlib import Path

import mlflow
import pytest
from typer.testing import CliRunner

from conftest import shared_data
from flows import SMALL
from stub_model import numbers, stub
from trackpools.cli import whole


def command(*words):
    done = CliRunner().invoke(whole(), [str(word) for word in words])
    return done.exit_code, done.stdout


@pytest.fixture
def told(released, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return [
        "eval-fill",
        "--root",
        released.store.root,
        "--users",
        "2",
        "--rows",
        "3",
        "--json",
        "--quiet",
        *(part for one in SMALL for part in ("--set", one)),
    ]


def test_every_possible_prompt_is_satisfied_and_the_figures_are_in_mlflow(released, told):
    code, said = command(*told)
    answer = json.loads(said)
    assert code == 0, answer["error"]
    by = {(one["name"], one["of"]): one for one in answer["measures"]}
    assert by["satisfied_of_possible", "all"]["value"] == 1.0
    assert by["satisfied_of_possible", "all"]["count"] > 30
    assert by["understood", "all"]["value"] == 1.0
    assert (
        0
        < by["possible_pool", "all"]["value"]
        <= by["possible_retrieval", "all"]["value"]
        <= by["possible_catalogue", "all"]["value"]
    )
    assert any("tag0" in one for one in answer["left_out"])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{released.store.root}/mlflow.db")
    run = client.get_run(answer["mlflow_run_id"])
    assert run.data.metrics["satisfied_of_possible"] == 1.0
    assert run.data.params["model"] == "none"
    fills = json.loads(
        Path(client.download_artifacts(answer["mlflow_run_id"], "fills.json")).read_text(encoding="utf-8")
    )
    assert len(fills) == by["satisfied", "all"]["count"]
    assert "u0" not in json.dumps(fills), "no raw user id is tracked"
    assert (run.info.status, run.data.params["instructions"], run.data.metrics["closed_world/mean"]) == (
        "FINISHED",
        "none",
        1.0,
    )
    assert answer["assessed"].startswith(f"3 of {len(fills)} fills")
    rows = client.search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id)
    assert len({one.data.spans[0].inputs["case"].partition("-")[0] for one in rows}) == len(rows) == 3


@pytest.mark.soak
def test_every_prompt_that_a_real_catalogue_can_satisfy_is_satisfied(spark, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = [
        "--root",
        tmp_path / "root",
        "--json",
        "--quiet",
        *(part for one in (*SMALL, "mlflow.enabled=false") for part in ("--set", one)),
    ]
    assert command("import", "spotify-songs", shared_data("spotify_songs"), *root)[0] == 0
    assert command("run", *root)[0] == 0
    code, said = command("eval-fill", "--users", "2", *root)
    assert code == 0
    by = {(one["name"], one["of"]): one["value"] for one in json.loads(said)["measures"]}
    assert by["satisfied_of_possible", "all"] == by["understood", "all"] == 1.0
    assert (
        by["possible_pool", "all"]
        < by["possible_retrieval", "all"]
        >= 0.95 * by["possible_catalogue", "all"]
        > 0.7
    )


def test_a_model_is_measured_and_audited(told):
    with stub(numbers(*range(1, 13))) as server:
        at = [
            part
            for one in (
                f"llm.base_url={server.url}",
                "llm.model=stub",
                "llm.private=true",
                "mlflow.enabled=false",
            )
            for part in ("--set", one)
        ]
        code, said = command(*told, *at, "--limit", "8", "--audit", "6")
    answer = json.loads(said)
    assert code == 0, answer["error"]
    by = {(one["name"], one["of"]): one for one in answer["measures"]}
    assert by["chosen_by_model", "all"]["value"] > 0.3
    assert by["tokens", "all"]["value"] > 300
    assert answer["biased"] is True


def test_a_file_of_the_users_own_is_read_and_an_invalid_one_refused(told, tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(
        'version: 3\nprompts: [{family: mine, prompt: "7 songs", wants: {tracks: 7}}, {family: mine, prompt: "7 songs of joy", wants: {tracks: 7}}]'
    )
    code, said = command(*told, "--prompts", path, "--set", "mlflow.enabled=false")
    by = {(one["name"], one["of"]): one for one in json.loads(said)["measures"]}
    assert (code, by["satisfied", "family=mine"]["count"], by["understood", "all"]["value"]) == (0, 4, 0.5)
    path.write_text("version: 3")
    code, said = command(*told, "--prompts", path)
    assert (code, "is not a valid suite" in json.loads(said)["error"]["message"]) == (2, True)
    code, said = command("eval-fill", "--schema")
    assert json.loads(said)["title"] == "Suite"
