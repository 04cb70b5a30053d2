"""Tests of the code hash of every stage.

It stays equal where files move or texts are reworded, and changes where the code computes something else.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from trackpools import stages
from trackpools.shell.identity.code_reach import PackageCode
from trackpools.shell.identity.work_identity import code_hash
from trackpools.shell.pipeline import stage_writer
from trackpools.shell.refresh import refresh_command
from trackpools.shell.training import blocked
from trackpools.shell.tuning import search

LIB = Path(__file__).resolve().parents[3] / "lib"


def test_a_function_outside_the_package_has_no_hash():
    with pytest.raises(LookupError, match=r"json\.dumps is not in the \.py files of trackpools"):
        code_hash(json.dumps)
    with pytest.raises(LookupError, match="<lambda>"):
        code_hash(lambda: None)


USERS = {
    stage.name: [stage.run, *stage_writer.DECIDING_ACTIONS.get(stage.name, ())] for stage in stages.STAGES
} | {
    "refresh": list(refresh_command.COMPUTES),
    "tune": [search.Search],
    "checkpoints": [blocked.fit],
}
ENTRIES = {
    name: [(one.__module__, one.__qualname__) for one in functions] for name, functions in USERS.items()
}


@pytest.fixture(scope="module")
def ours():
    """Return {name: hash} of every user of the code hash."""
    return {name: code_hash(*functions) for name, functions in USERS.items()}


@pytest.fixture
def package(tmp_path):
    """Return the path of a copy of trackpools that a test may change."""
    return Path(
        shutil.copytree(
            LIB / "trackpools", tmp_path / "trackpools", ignore=shutil.ignore_patterns("__pycache__", "docs")
        )
    )


def changed_hashes(package, ours):
    """Return the names whose hash differs from today's."""
    code = PackageCode(package)
    return {name for name, entries in ENTRIES.items() if code.hash_of(entries) != ours[name]}


def move(package, old, new):
    """Move a module of the copy, and rewrite the imports of it."""
    source, target = (package / f"{one.replace('.', '/')}.py" for one in (old, new))
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    (parent, name), (room, other) = (f"trackpools.{one}".rsplit(".", 1) for one in (old, new))

    def rewritten(line):
        found = re.fullmatch(rf"( *)from {re.escape(parent)} import (.*)", line)
        names = found[2].split(", ") if found else []
        moved = [one for one in names if one.split(" as ")[0] == name]
        if not moved:
            return [line.replace(f"from trackpools.{old} import", f"from trackpools.{new} import")]
        others = [one for one in names if one not in moved]
        alias = moved[0].split(" as ")[-1]
        return [
            f"{found[1]}from {room} import {other} as {alias}",
            *([f"{found[1]}from {parent} import {', '.join(others)}"] if others else []),
        ]

    for path in package.rglob("*.py"):
        path.write_text("\n".join(new for line in path.read_text().split("\n") for new in rewritten(line)))


def test_all_hashes_differ(ours):
    assert len(set(ours.values())) == len(ours)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ours.values())


MOVES = {
    "core.log.confidence": "core.evidence.half_life",
    "core.log.non_taste": "core.functional_audio",
    "core.catalogue.features": "core.describing.features",
    "core.sources.source_lists": "core.candidates.lists",
    "core.als.memory_plan": "core.training_plan",
    "shell.training.blocked": "shell.engines.blocked",
    "shell.refresh.merge_interactions": "shell.folding",
    "shell.tuning.trial": "shell.objective",
    "stages": "flow.bodies",
    "config.data": "config.of_data",
}


def test_every_module_may_move(package, ours):
    for old, new in MOVES.items():
        move(package, old, new)
    assert not [
        path
        for path in package.rglob("*.py")
        if re.search(r"from trackpools\.(core\.log\.confidence|stages|config\.data) import", path.read_text())
    ]
    code = PackageCode(package)
    modules = {f"trackpools.{old}": f"trackpools.{new}" for old, new in MOVES.items()}
    now = {
        name: code.hash_of([(modules.get(module, module), function) for module, function in entries])
        for name, entries in ENTRIES.items()
    }
    assert now == ours


def test_docstrings_error_texts_comments_and_the_version_do_not_count(package, ours):
    for path in package.rglob("*.py"):
        text = re.sub(r'^( *)"""(?=\w)', r'\1"""Reworded. ', path.read_text(), flags=re.MULTILINE)
        path.write_text(re.sub(r'(raise \w+Error\(f?")', r"\1reworded: ", text) + "\n# the end\n")
    version = package / "__init__.py"
    version.write_text(version.read_text().replace("__version__ = ", '__version__ = "9" + '))
    assert changed_hashes(package, ours) == set()


USES_POOLS = {"pools", "refresh", "tune"}


@pytest.mark.parametrize(
    ("file", "before", "after", "whose"),
    [
        pytest.param(
            "core/log/non_taste.py",
            'LOOP = "loop"',
            'LOOP = "lap"',
            {"daily", "taste", "refresh", "tune"},
            id="constant",
        ),
        pytest.param(
            "core/log/interactions.py",
            'F.col("kind") == "',
            'F.col("kind") != "',
            {"daily", "refresh", "tune"},
            id="operator",
        ),
        pytest.param(
            "core/sources/popular.py",
            "PART = 4",
            "PART = 5",
            {"index", *USES_POOLS},
            id="constant of a source",
        ),
        pytest.param(
            "core/pools/blend_kernel.py",
            "@njit(",
            "@njit(fastmath=True, ",
            USES_POOLS,
            id="argument of a decorator",
        ),
        pytest.param(
            "config/__init__.py",
            "50.0 ** (1 -",
            "60.0 ** (1 -",
            {"train", "checkpoints", "refresh", "tune"},
            id="method of the configuration",
        ),
        pytest.param(
            "shell/training/mllib.py",
            "implicitPrefs=True",
            "implicitPrefs=False",
            {"train", "refresh", "tune"},
            id="engine",
        ),
        pytest.param(
            "shell/arrays/index_recall.py",
            "OVERALL, HARD = 128, 64",
            "OVERALL, HARD = 64, 64",
            {"refresh", "tune"},
            id="of the shell",
        ),
        pytest.param("fill/parser/quantities.py", "def ", "MORE = 1\n\n\ndef ", set(), id="playlists"),
        pytest.param("shell/store/store.py", "def overwrite", "def write_over", {"tune"}, id="store"),
    ],
)
def test_a_change_moves_only_the_hashes_that_reach_it(package, ours, file, before, after, whose):
    path = package / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    assert changed_hashes(package, ours) == whose


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_version_of_python_gives_the_same_hash(version, ours):
    known = [
        shutil.which(f"python{version}"),
        *sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python")),
    ]
    code = (
        "import json, sys; from pathlib import Path; from trackpools.shell.identity.code_reach import PackageCode; entries = json.loads(sys.argv[2]); "
        "code = PackageCode(Path(sys.argv[1])); print(sys.version_info[:2], "
        "json.dumps({name: code.hash_of(map(tuple, some)) for name, some in entries.items()}), sep='\\n')"
    )
    for python in filter(None, known):
        done = subprocess.run(
            [python, "-S", "-c", code, str(LIB / "trackpools"), json.dumps(ENTRIES)],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(LIB), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        if done.returncode == 0:
            said, found = done.stdout.splitlines()
            assert said == str(tuple(map(int, version.split("."))))
            assert json.loads(found) == ours
            return
    pytest.skip(f"there is no Python {version} on this machine that starts")


def test_the_code_of_training_counts_the_trainer_that_its_context_gives():
    from trackpools.shell.training.train import train
    from trackpools.stages import BY_NAME

    stage = BY_NAME["train"]
    assert stage_writer.code(stage) == code_hash(stage.run, train) != code_hash(stage.run)
    assert stage_writer.code(BY_NAME["daily"]) == code_hash(BY_NAME["daily"].run)
