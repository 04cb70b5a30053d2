"""Tests of what a terminal shows: our own progress and answers, and nothing of the libraries below."""

import os
import re
import subprocess
import sys

import pytest

from flows import OFF

WORLD = (
    "synthetic.users=60",
    "synthetic.tracks=200",
    "synthetic.days=30",
    "synthetic.plays_per_user_day=4",
    "pools.k=30",
    "sources.als.k=40",
    "train.iterations=2",
    "train.rank=16",
    *OFF,
)
STEP = re.compile(r"(?!warning)[a-z]+: [a-z].*")


def trackpools(*words):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    command = [sys.executable, "-m", "trackpools", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def test_explain_prints_its_answer_only(released):
    explain = trackpools("explain", "u001", "--root", released.store.root)
    assert (explain.stderr, "u001" in explain.stdout) == ("", True)


@pytest.mark.soak
def test_demo_prints_nothing_of_spark_or_mlflow(tmp_path):
    settings = [word for one in WORLD for word in ("--set", one)]
    demo = trackpools("demo", "--profile", "--root", str(tmp_path / "root"), *settings)
    said = demo.stderr.splitlines()
    assert [line for line in said if not STEP.fullmatch(line)] == []
    assert [line.split(":")[0] for line in said][-3:] == ["pools", "publish", "report"]
    assert (tmp_path / "root" / "mlflow.db").exists()
    profile = [line.split() for line in demo.stdout.splitlines() if line.count("%") == 1]
    assert {"start", "import", "train", "pools", "report", "all"} <= {cell for row in profile for cell in row}
