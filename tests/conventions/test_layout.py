"""Tests of where files are and what they are called. Starts no Spark.

They check the layers, the sizes of folders, and names that must occur once.
"""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from source_trees import ROOT, SOURCES, public_definitions

MAX_FILES = 15
# Folders whose files are all of one kind may hold more.
MAX_FILES_OF_ONE_KIND = 25
OF_ONE_KIND = {"core/sources", "shell/bench"}
# These file names occur twice; the value says how the files differ.
FILE_NAMES_TWICE = {
    "fill.py": "cli/fill.py registers the command; fill/flow/fill.py is what it runs",
    "flow.py": "cli/flow.py registers the commands; shell/bench/flow.py measures the flow",
    "refresh.py": "cli/refresh.py registers the command; shell/bench/refresh.py measures it",
    "sample.py": "core/als/sample.py draws a sample; shell/bench/sample.py measures training on one",
    "train.py": "shell/training/train.py trains; shell/bench/train.py measures it",
}
# These words do not say what a thing is.
FORBIDDEN_NAMES = {
    "told",
    "made",
    "said",
    "found",
    "given",
    "held",
    "met",
    "one",
    "few",
    "kept",
    "known",
    "ahead",
    "there",
    "can",
    "cannot",
}


def python_files(folder):
    return [path for path in folder.iterdir() if path.suffix == ".py"]


def folders(top):
    return [top, *(path for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__")]


def test_every_module_imports_lower_layers_only():
    # This runs in a separate process: import-linter configures logging, and so disables other tests' loggers.
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("top", ["lib/trackpools", "tests", "jobs", "notebooks"])
def test_a_folder_holds_few_enough_files_to_be_read_at_a_glance(top):
    def limit(path):
        return MAX_FILES_OF_ONE_KIND if path.relative_to(ROOT / top).as_posix() in OF_ONE_KIND else MAX_FILES

    counts = {path.relative_to(ROOT).as_posix(): len(python_files(path)) for path in folders(ROOT / top)}
    assert {name: count for name, count in counts.items() if count > limit(ROOT / name)} == {}


def test_no_file_name_occurs_twice():
    counts = Counter(Path(file).name for file in SOURCES if not file.endswith("__init__.py"))
    assert {name for name, count in counts.items() if count > 1} == set(FILE_NAMES_TWICE)


def test_no_public_class_name_occurs_twice():
    places = defaultdict(list)
    for file, tree in SOURCES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_public_names_say_what_a_thing_is():
    defined = {(file, node.name) for file, tree in SOURCES.items() for node in public_definitions(tree)}
    modules = {(file, Path(file).stem) for file in SOURCES}
    assert {(file, name) for file, name in defined | modules if name.lower() in FORBIDDEN_NAMES} == set()


# places whose docstrings an open issue replaces
LONG_FIRST_LINES_ALLOWED = {
    "fill/parser/": 'issue 35, "Real prompts read right"',
}


def test_the_first_line_of_a_docstring_is_short():
    def first_line(node):
        text = ast.get_docstring(node)
        return text.splitlines()[0] if text else ""

    nodes = [
        (file, getattr(node, "name", "module"), first_line(node))
        for file, tree in SOURCES.items()
        for node in (tree, *public_definitions(tree))
    ]
    long = [(file, name) for file, name, line in nodes if len(line) > 100]
    assert [one for one in long if not one[0].startswith(tuple(LONG_FIRST_LINES_ALLOWED))] == []
