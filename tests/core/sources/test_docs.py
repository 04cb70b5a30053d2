"""Tests of the walk-through in docs/sources.md.

One file and one section of configuration add a source, and it passes the conformance tests.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOC = (ROOT / "lib" / "trackpools" / "docs" / "sources.md").read_text(encoding="utf-8")


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)
    return text


@pytest.mark.soak
def test_a_source_is_one_file_and_one_section(tmp_path):
    copy = tmp_path / "project"
    for folder in ("lib", "conf", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "lib/trackpools/core/sources/album_mates.py").write_text(block("python"), encoding="utf-8")
    base = copy / "conf" / "base.yml"
    section = block("yaml").removeprefix("sources:\n")
    base.write_text(
        re.sub(
            r"^sources:.*\n",
            lambda line: line[0] + section,
            base.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        ),
        encoding="utf-8",
    )
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))
    } | {"PYTHONPATH": str(copy / "lib")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "tests/core/sources/test_conformance.py",
        "-k",
        "album_mates or bits",
    ]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d* passed", done.stdout), done.stdout[-500:]


def test_the_table_of_the_docs_names_every_source():
    from trackpools.core.sources import SOURCES

    told = dict(re.findall(r"^\| `(\w+)` \|.*\| (\w+) \|$", DOC, re.MULTILINE))
    assert told == {source.name: source.emits for source in SOURCES}
