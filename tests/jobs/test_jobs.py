"""Tests of the job files: each runs one command, takes its options, and never exits with 0."""

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[2] / "jobs"
COMMANDS = {
    "import_log": "import",
    "ids": "ids",
    "interactions": "interactions",
    "features": "features",
    "train": "train",
    "pools": "pools",
    "publish": "publish",
    "run_all": "run",
    "evaluate": "evaluate",
    "tune": "tune",
    "promote": "promote",
    "refresh": "refresh",
    "watch": "watch",
    "export_kv": "export",
}


def run(monkeypatch, job, *arguments):
    """Run a job in this process as spark-submit does; return its exit code, or None where it returns."""
    monkeypatch.setattr(sys, "argv", [f"{job}.py", *arguments])
    try:
        runpy.run_path(str(JOBS / f"{job}.py"), run_name="__main__")
    except SystemExit as ended:
        return ended.code
    return None


def test_there_is_a_job_for_every_command_that_runs_stages():
    from trackpools.cli.flow import COMMANDS as STAGE_COMMANDS

    assert {path.stem for path in JOBS.glob("*.py")} == set(COMMANDS)
    assert set(STAGE_COMMANDS) <= set(COMMANDS.values())


@pytest.mark.parametrize("job", COMMANDS)
def test_a_job_is_a_docstring_an_import_and_one_call(job):
    tree = ast.parse((JOBS / f"{job}.py").read_text())
    assert [type(node) for node in tree.body] == [ast.Expr, ast.ImportFrom, ast.If]
    assert ast.unparse(tree.body[2].body[0]) == f"job({COMMANDS[job]!r})"


@pytest.mark.parametrize(
    "job",
    [
        job
        for job in COMMANDS
        if job not in {"import_log", "evaluate", "tune", "promote", "watch", "export_kv"}
    ],
)
def test_a_dry_run_of_a_job_returns_and_does_not_exit(job, monkeypatch, capsys):
    assert run(monkeypatch, job, "--root", "/nowhere/at/all", "--dry-run", "--json") is None
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["command"]) == (True, COMMANDS[job])


@pytest.mark.parametrize("job", COMMANDS)
def test_a_bad_configuration_ends_a_job_with_2(job, monkeypatch, capsys):
    name = ["synthetic"] if job == "import_log" else []
    assert run(monkeypatch, job, *name, "--set", "train.rank=0", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "config"


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["surplus"], ["--root"]])
def test_wrong_arguments_end_a_job_with_2_and_a_sentence(arguments, monkeypatch, capsys):
    assert run(monkeypatch, "ids", *arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_help_is_not_a_failure(monkeypatch, capsys):
    assert run(monkeypatch, "run_all", "--help") is None
    assert "--as-of" in capsys.readouterr().out


def test_importing_a_job_does_nothing():
    code = "import run_all, sys; print('pyspark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=JOBS, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
