"""Stored behaviour: content hashes of tables, help texts, JSON answers, docs pages, readings of prompts.

Moving or renaming code changes none of these files. To accept an intended change, type
`TRACKPOOLS_SNAPSHOT=write python -m pytest tests/snapshot/test_snapshot.py`, and read the diff before you commit it.

Two worlds are looked at. The small one (`published` of conftest.py) has three sources and no catalogue. The
large one has all sources, a catalogue, profiles, and a refresh; it takes minutes, so its tests run with
`-m soak`, and `-m "soak or not soak"` stores both.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from flows import SMALL, WHOLE
from prompt_texts import readings
from snapshots import WRITE, as_text, difference, fixed, fixed_text, require_files, require_same, stored
from table_hashes import are_close, rounds_alike, tables_of
from trackpools.cli import whole
from trackpools.config.loading import load_config
from trackpools.shell.docs import docs_pages
from trackpools.shell.store.store import Store

APP = typer.main.get_command(whole())
DRY = ("ids", "interactions", "features", "train", "pools", "publish", "run", "refresh")
# Commands without a stored answer: they write tables or files, or answer with seconds. Of some of them the
# dry run is stored. Of `eval-fill` only the schema is: its solver has half a second a fill, so that its
# figures depend on the machine.
NOT_READ_ONLY = {
    *("import", "demo", "canary", "watch", "promote", "tune", "export", "vacuum"),
    *("package", "bench"),
}
# Name of the stored file → command line. These need no tables.
ALONE = {
    "tables": "tables",
    "doctor": "doctor --set mlflow.enabled=false",
    "prompt": "prompt show",
    "fill-schema": "fill --schema",
    "eval-fill-schema": "eval-fill --schema",
    **{f"{name}-dry-run": f"{name} --root nowhere --dry-run" for name in DRY},
    "refused-setting": "run --root nowhere --set train.rank=0 --set train.rnak=8",
    "refused-root": "run --root a/../b",
    "refused-nowhere": "releases --root nowhere",
    "refused-no-root": "run",
    "refused-importer": "import nonsense x --root nowhere",
    "refused-constraints": """fill --user u --root nowhere --constraints '{"tracks": 0, "trakcs": 1}'""",
}
# These are asked of a root with a release; USER is one of its users.
OF_ROOT = {
    "releases": "releases",
    "show": "show pools --limit 2",
    "explain": "explain USER",
    "switch-list": "switch list",
    "fill": "fill '20 songs, nothing I have heard this month, different artists' --user USER --model none",
    "fill-unmet": "fill '2 hours of jazz by Nobody, no live versions' --user USER --model none",
    "refused-user": "show pools --user nobody --user USER",
    "refused-show": "show tables",
    "refused-rollback": "rollback 99",
}
FOR_PEOPLE = ("show", "explain", "fill")
ENGINES = ("popularity", "item_knn", "ease")
PAIRS = "--train train --test test --format lightgcn --k 4,10"  # a published split in the current folder
QUIET_RUN = "--set mlflow.enabled=false"


@dataclass(frozen=True)
class World:
    """A root with a release.

    Attributes:
        folder: below tests/snapshot, of what is stored of it.
        settings: it was made with.
        user: whose pool is explained and who gets playlists.
    """

    folder: str
    root: str
    settings: tuple[str, ...]
    user: str

    def store(self, spark):
        return Store(spark, load_config(settings=list(self.settings), root=self.root).store)

    def line(self, command):
        settings = " ".join(f"--set {shlex.quote(one)}" for one in self.settings)
        return f"{command.replace('USER', self.user)} --root {self.root} {QUIET_RUN} {settings}"

    def answer(self, command):
        return answer(self.line(command), self.root)


def said(line):
    """What a command prints on standard output, as into a file of 100 columns."""
    screen = {"COLUMNS": "100", "TERM": "xterm"}  # a dumb terminal has 80 columns, whatever is said
    return CliRunner().invoke(whole(), shlex.split(line), prog_name="trackpools", env=screen).stdout


def answer(line, root):
    """The answer of a command with --json: an object, or a list where it prints one a line; see `fixed`."""
    found = [fixed(json.loads(one), root) for one in said(f"{line} --json").splitlines()]
    made = found[0] if len(found) == 1 else found
    if isinstance(made, dict) and "command" in made:
        made["seconds"] = "<seconds>"
    return made


def paths(command, path=()):
    """The words of every command and of every group of commands."""
    yield path
    for name, one in sorted(getattr(command, "commands", {}).items()):
        yield from paths(one, (*path, name))


HELP = {"-".join(("trackpools", *path)): " ".join(path) for path in paths(APP)}


@pytest.mark.parametrize("name", HELP)
def test_help_is_what_is_stored(name):
    require_same(f"help/{name}.txt", fixed_text(said(f"{HELP[name]} --help")))


def test_every_stored_help_is_of_a_command():
    require_files("help", [f"{name}.txt" for name in HELP])


def test_every_command_has_a_stored_answer_or_is_not_read_only():
    lines = (*ALONE.values(), *OF_ROOT.values(), "evaluate")
    assert set(APP.commands) == {line.partition(" ")[0] for line in lines} | NOT_READ_ONLY


@pytest.mark.parametrize("name", ALONE)
def test_an_answer_that_needs_no_tables_is_what_is_stored(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    line = ALONE[name]
    made = json.loads(said(line)) if "--schema" in line else answer(line, tmp_path)
    if name == "doctor":
        other = dict.fromkeys(("ok", "found", "fix"), "<of this machine>")
        made["checks"] = [{"name": one["name"]} | other for one in made["checks"]]
    if name.endswith("-dry-run") and name != "run-dry-run":
        made["config"] = "<as of run>"
    require_same(f"json/{name}.json", as_text(made))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_metrics_of_a_published_split_are_what_is_stored(spark, tmp_path, monkeypatch, engine):
    monkeypatch.chdir(tmp_path)
    for name, some in (("train", range(10)), ("test", range(10, 14))):
        items = {user: [user % 3 * 20 + (user * 7 + i * 3) % 20 for i in some] for user in range(60)}
        text = "".join(f"{user} {' '.join(map(str, of))}\n" for user, of in items.items())
        (tmp_path / name).write_text(text, encoding="utf-8")
    made = answer(f"evaluate {PAIRS} --engine {engine} {QUIET_RUN}", tmp_path)
    require_same(f"json/evaluate-{engine}.json", as_text(made))


def test_every_stored_answer_is_of_a_call():
    for_engines = [f"evaluate-{engine}" for engine in ENGINES]
    require_files("json", [f"{name}.json" for name in (*ALONE, *OF_ROOT, *for_engines)])
    large = ["tables.json", *(f"{name}.json" for name in OF_ROOT), *(f"{name}.txt" for name in FOR_PEOPLE)]
    require_files("large", large)


def test_the_generated_pages_are_what_is_stored():
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in docs_pages.pages().items()}
    require_same("pages.json", as_text(dict(sorted(hashes.items()))))


def test_the_reading_of_every_prompt_is_what_is_stored():
    found = readings()
    assert len(found["suite"]) >= 100
    assert len(found["tests"]) >= 300
    require_same("prompts.json", as_text(found))


@pytest.fixture
def small(released):
    return World("", released.store.root, SMALL, "u001")


@pytest.fixture(scope="module")
def large(spark, tmp_path_factory):
    sizes = ("synthetic.users=60", "synthetic.tracks=400", "synthetic.days=40", "synthetic.seed=1")
    made = World("large/", str(tmp_path_factory.mktemp("large") / "root"), (*WHOLE, *sizes), "u00000003")
    for command in ("import synthetic", "run --as-of 2025-12-28T00:00:00Z", "refresh"):
        found = made.answer(command)
        assert found["ok"], found["error"]
    return made


def require_same_tables(spark, world):
    name, now = f"{world.folder}tables.json", tables_of(world.store(spark))
    before = stored(name)
    if WRITE or before is None or rounds_alike(before, now) or not are_close(before, now):
        require_same(name, as_text(now))


def require_same_answer(spark, world, name, text):
    found = difference(f"{world.folder or 'json/'}{name}", text)
    if found and not rounds_alike(stored(f"{world.folder}tables.json"), tables_of(world.store(spark))):
        pytest.skip(
            "this processor rounds otherwise than the one that wrote tests/snapshot: ties fall otherwise"
        )
    if found:
        pytest.fail(found, pytrace=False)


def test_tables_are_what_is_stored(spark, small):
    require_same_tables(spark, small)


@pytest.mark.parametrize("name", OF_ROOT)
def test_an_answer_is_what_is_stored(spark, small, name):
    require_same_answer(spark, small, f"{name}.json", as_text(small.answer(OF_ROOT[name])))


@pytest.mark.soak
def test_tables_of_all_sources_and_of_a_refresh_are_what_is_stored(spark, large):
    require_same_tables(spark, large)


@pytest.mark.soak
@pytest.mark.parametrize("name", OF_ROOT)
def test_an_answer_of_all_sources_is_what_is_stored(spark, large, name):
    require_same_answer(spark, large, f"{name}.json", as_text(large.answer(OF_ROOT[name])))


@pytest.mark.soak
@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_what_people_are_shown_is_what_is_stored(spark, large, name):
    text = fixed_text(said(large.line(OF_ROOT[name])), large.root)
    require_same_answer(spark, large, f"{name}.txt", text)
