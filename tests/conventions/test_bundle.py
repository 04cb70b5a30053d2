"""Tests of the Databricks bundle, without a workspace and without Spark.

What it names exists, its wheel tasks are commands that parse, and planted mistakes in it are found.
"""

import shutil
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest
import typer
import yaml

from bundle_faults import faults
from trackpools.cli import entry_points, whole
from trackpools.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def test_the_bundle_has_no_fault():
    assert faults(ROOT) == []


def test_only_training_runs_on_a_cluster_and_serving_is_serverless():
    where = {}
    for file in ("refresh", "train"):
        for name, job in yaml.safe_load((ROOT / "conf" / "bundle" / f"{file}.yml").read_text())["resources"][
            "jobs"
        ].items():
            where |= {(name, task["task_key"]): "job_cluster_key" in task for task in job["tasks"]}
    assert [task for task, cluster in where.items() if cluster] == [("train", "train"), ("promote", "train")]
    assert not where["refresh", "refresh"]
    assert not where["train", "pools"]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("databricks.yml", "conf/bundle/*.yml", "resources/*.yml", "include resources/*.yml names no file"),
        ("databricks.yml", "sync:", "sinc:", "databricks.yml: unknown key sinc"),
        ("databricks.yml", "    default: true\n", "", "exactly one target must be the default"),
        ("databricks.yml", "    mode: production", "    modus: production", "target prod: unknown key modus"),
        ("databricks.yml", "  node_type:", "  nodes:", "target dev: ${var.node_type} leads nowhere"),
        ("databricks.yml", "  node_type:", "  nodes:", "variable nodes is used by nothing"),
        (
            "databricks.yml",
            "      workers: 1",
            "      worker: 1",
            "target dev: sets worker, which is no variable",
        ),
        (
            "databricks.yml",
            "    default: 4",
            "    default: four",
            "target prod: jobs.train.job_clusters.new_cluster.num_workers: 'four' is no int",
        ),
        (
            "conf/bundle/storage.yml",
            "  volumes:",
            "  volume:",
            "target dev: resources.volume is none of jobs, schemas, volumes, registered_models",
        ),
        (
            "conf/bundle/storage.yml",
            "volume_type: MANAGED",
            "volume_type: OWN",
            "target dev: volumes.files.volume_type: 'OWN' is none of VolumeType",
        ),
        (
            "conf/bundle/storage.yml",
            "[EXECUTE]",
            "[RUN]",
            "target dev: registered_models.trackpools.grants.privileges: 'RUN' is none of Privilege",
        ),
        (
            "conf/bundle/refresh.yml",
            "/Volumes/${var.catalog}",
            "/Volumes/other",
            "/Volumes/other/trackpools/files is a volume that it does not deploy",
        ),
        (
            "conf/bundle/refresh.yml",
            "timezone_id",
            "timezone",
            "target dev: jobs.refresh.schedule: unknown key timezone",
        ),
        (
            "conf/bundle/refresh.yml",
            "trackpools-refresh",
            "trackpools-refrech",
            "job refresh, task refresh: trackpools-refrech is no entry point of trackpools",
        ),
        (
            "conf/bundle/refresh.yml",
            "{{job.parameters.log}}",
            "{{job.parameters.path}}",
            "job refresh, task import: {{job.parameters.path}} is no parameter of the job",
        ),
        (
            "conf/bundle/refresh.yml",
            "--set=store.catalog",
            "--set=store.katalog",
            "job refresh, task import: the configuration has 1 problem\n  - store.katalog: unknown key; did you mean store.catalog?",
        ),
        (
            "conf/bundle/refresh.yml",
            "--config=databricks",
            "--config=cluster",
            "job refresh, task import: the registry is not databricks-uc",
        ),
        (
            "conf/bundle/refresh.yml",
            "store.schema=${resources.schemas.trackpools.name}",
            "store.schema=other",
            "tables go to main.other, which it does not deploy",
        ),
        (
            "conf/bundle/refresh.yml",
            "../../dist/",
            "../dist/",
            "job refresh: ../dist/*.whl is not where the artifact is built",
        ),
        (
            "conf/bundle/train.yml",
            "job_cluster_key: dedicated\n          libraries",
            "job_cluster_key: shared\n          libraries",
            "job train, task train runs on nothing that the job has",
        ),
        (
            "conf/bundle/train.yml",
            "[{task_key: features}]",
            "[{task_key: feature}]",
            "job train, task train waits for feature, which is no task before it",
        ),
        (
            "conf/bundle/train.yml",
            "--as-of={{job.start",
            "--asof={{job.start",
            "job train, task ids: No such option: --asof",
        ),
    ],
)
def test_a_planted_mistake_is_found(tmp_path, file, old, new, said):
    shutil.copytree(ROOT / "conf" / "bundle", tmp_path / "conf" / "bundle")
    for name in ("databricks.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert [fault for fault in faults(tmp_path) if said in fault], faults(tmp_path)


def test_every_task_is_a_command_and_an_entry_point_of_its_name():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    named = {
        f"trackpools-{one.args[0]}": f"trackpools.cli.entry_points:{name}"
        for name, one in vars(entry_points).items()
        if isinstance(one, partial)
    }
    assert {name: function for name, function in scripts.items() if name != "trackpools"} == named
    assert {name.removeprefix("trackpools-") for name in named} <= set(
        typer.main.get_command(whole()).commands
    )


def test_a_task_returns_where_its_command_succeeds(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["wheel", "--dry-run", "--root", "/nowhere"])
    assert entry_points.train() is None
    assert "train.rank = 64" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "train.rnak=8"], "train.rnak: unknown key; did you mean train.rank?"),
        (["--no-such-option"], "trackpools train does not take these arguments: ['--no-such-option']"),
        ([], "no place for the tables is set"),
    ],
)
def test_a_task_raises_what_failed_and_never_exits(monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(sys, "argv", ["wheel", *arguments])
    with pytest.raises(ConfigError) as failure:
        entry_points.train()
    assert said in str(failure.value)
    assert capsys.readouterr().err
