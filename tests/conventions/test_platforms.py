"""Tests of the files for platforms: properties that agree and give reasons, and recipes.

The files, jobs and options that a recipe names exist.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFS = sorted((ROOT / "conf" / "spark").glob("*.conf"))
DOC = (ROOT / "lib" / "trackpools" / "docs" / "platforms.md").read_text(encoding="utf-8")


def keys(path):
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    return dict(line.split("=", 1) for line in lines)


def session_texts():
    """Return {key: value} of the constant texts that the local session is built with."""
    tree = ast.parse((ROOT / "lib/trackpools/shell/spark/session.py").read_text())
    pairs = [
        pair
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for pair in zip(node.keys, node.values, strict=True)
    ]
    return {
        key.value: value.value
        for key, value in pairs
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
    }


def test_there_is_a_file_for_every_kind_of_cluster():
    assert [path.stem for path in CONFS] == ["kubernetes", "local", "standalone", "yarn"]


@pytest.mark.parametrize("path", CONFS, ids=lambda path: path.stem)
def test_every_line_has_its_reason_above_it(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line and not line.startswith("#") and not before.startswith("# ")
    ]
    assert bare == []
    assert len(keys(path)) == len([line for line in lines if line and not line.startswith("#")]), (
        "a key is given twice"
    )
    assert all(
        re.fullmatch(r"spark\.[\w.]+", key) and value == value.strip() for key, value in keys(path).items()
    )


def test_all_files_have_the_properties_that_trackpools_needs():
    from trackpools.shell.spark.temporary_conf import VACUUM

    needed = keys(ROOT / "conf/spark/standalone.conf")
    assert all(needed.items() <= keys(path).items() for path in CONFS)
    assert VACUUM.items() <= needed.items()
    session = session_texts()
    differs = {
        key: (value, session.get(key))
        for key, value in needed.items()
        if key not in VACUUM and session.get(key) != value
    }
    assert differs == {}


def test_the_schedule_is_python_that_compiles_and_runs_jobs_that_exist():
    (block,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    compile(block, "platforms.md", "exec")
    jobs = re.findall(r"/jobs/(\w+)\.py", block)
    assert sorted(jobs) == ["import_log", "run_all"]


def test_recipes_name_only_existing_files():
    assert set(re.findall(r"(?<!tests/)jobs/(\w+)\.py", DOC)) <= {
        path.stem for path in (ROOT / "jobs").glob("*.py")
    }
    assert set(re.findall(r"conf/spark/(\w+)\.conf", DOC)) == {"standalone", "yarn", "kubernetes"}
    for section in ("Standalone", "YARN", "Dataproc", "EMR", "Kubernetes"):
        recipe = DOC.split(f"\n## {section}\n")[1].split("\n## ")[0]
        assert (
            "/run_all.py" in recipe and "--config cluster --root" in recipe and "trackpools.zip" in recipe
        ), section
