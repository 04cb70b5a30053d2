"""Tests of the docs: they build strictly, fetch nothing, are current, and their commands exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from trackpools import errors
from trackpools.cli import whole
from trackpools.config import Config
from trackpools.config.loading import _keys
from trackpools.shell.docs import docs_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "lib" / "trackpools" / "docs"
TEXTS = {
    path.relative_to(ROOT).as_posix(): path
    for path in (*sorted(DOCS.rglob("*.md")), ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md")))
}
COMMANDS = typer.main.get_command(whole()).commands


def build_docs(docs, to):
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-n",
        "-b",
        "html",
        "-c",
        str(ROOT / "conf" / "docs"),
        str(docs),
        str(to),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def docs_with(folder, text):
    """Copy the docs beside the code that they link to, with one new page; return the folder."""
    shutil.copytree(DOCS, folder / "docs")
    for beside in ("core", "shell", "datasets"):
        (folder / beside).symlink_to(DOCS.parent / beside)
    (folder / "docs" / "later.md").write_text(f"# A page of a colleague\n\n{text}\n", encoding="utf-8")
    return folder / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build_docs(docs_with(folder, "See [sources](sources.md#cold-users)."), folder / "html")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


def test_every_page_and_picture_is_in_the_site_and_a_new_page_is_found_from_all(site):
    assert {path.stem for path in DOCS.glob("*.md")} | {"later"} <= {
        path.stem for path in site.glob("*.html")
    }
    assert {path.name for path in (DOCS / "pictures").glob("*.svg")} <= {
        path.name for path in (site / "_images").iterdir()
    }
    assert 'href="later.html"' in (site / "runbook.html").read_text(encoding="utf-8")


def test_reading_it_fetches_nothing(site):
    asked = re.compile(
        r"""<(?:script|link|img|iframe|object)\b[^>]*\b(?:src|href|data)=["'](?:https?:)?//|@import|url\(["']?(?:https?:)?//"""
    )
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    assert len(files) > 15
    assert [path.name for path in files if asked.search(path.read_text(encoding="utf-8"))] == []


def test_planted_mistakes_stop_the_build_and_all_are_reported(tmp_path):
    mistakes = {
        "[gone](gone.md)": "'gone.md'",
        "[no such heading](sources.md#no-such-heading)": "'no-such-heading'",
        "![a picture](pictures/gone.svg)": "pictures/gone.svg",
        "#### Deeper than it may be": "Non-consecutive header level",
    }
    done = build_docs(docs_with(tmp_path, "\n\n".join(mistakes)), tmp_path / "site")
    assert done.returncode != 0
    assert [said for said in mistakes.values() if said not in done.stderr] == [], done.stderr


@pytest.mark.parametrize("name", sorted(docs_pages.pages()))
def test_pages_generated_from_code_are_current(name):
    assert (DOCS / name).read_text(encoding="utf-8") == docs_pages.pages()[name], (
        "type: python -m trackpools.shell.docs.docs_pages"
    )


def test_the_page_of_the_configuration_names_every_key_and_what_it_may_be():
    page = docs_pages.configuration_page()
    told = {
        f"{section}.{key}": line
        for section, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        for key, line in re.findall(r"^\| `([\w.]+)` \|(.*)$", body, re.MULTILINE)
    }
    keys = [key for key in _keys(Config) if "." in key]
    assert len(keys) > 150
    assert [key for key in keys if key not in told] == []
    assert "whole number from 1 to 2,048" in told["train.rank"]
    assert "`implicit`, `mllib`, `blocked`" in told["train.engine"]
    silent = {
        key
        for key, line in told.items()
        if not line.rstrip(" |").rpartition("|")[2].strip() or line.endswith("|  |")
    }
    assert silent == {key for key in told if re.fullmatch(r"sources\.\w+", key)}, (
        "only sources are told by their keys"
    )


def code_of(text):
    """Return the lines of code blocks and the code spans of a page, with continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) + re.findall(
        r"(?:^ {4,}.*\n)+", text, re.MULTILINE
    )
    spans = re.findall(
        r"`(trackpools\s[^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + [
        " ".join(span.split()) for span in spans
    ]


def unknown_parts(line):
    """Yield what does not exist of the trackpools commands in a line: commands, options and keys."""
    for told in re.findall(
        r"(?<![\w./-])trackpools +(.*?)(?= && | \| | · |  |\)|$)", line.partition(" #")[0]
    ):
        words = told.replace("'", "").replace('"', "").split()
        command = COMMANDS.get(words[0])
        if words[0] in ("--version", "--help"):
            continue
        if command is None:
            if re.fullmatch(r"[a-z_]+", words[0]):
                yield f"no command {words[0]}"
            continue
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        yield from (
            f"{words[0]} has no {word}"
            for word in words[1:]
            if word.startswith("--") and word.partition("=")[0] not in options
        )
        settings = [
            words[i + 1].partition("=")[0]
            for i, word in enumerate(words[:-1])
            if word == "--set" and "=" in words[i + 1]
        ]
        yield from (
            f"no key {key}"
            for key in settings
            if key not in set(_keys(Config)) and key.rpartition(".")[0] not in ("ingest.columns", "a")
        )


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_of_the_docs_exists(name):
    assert [
        f"{line.strip()}: {one}"
        for line in code_of(TEXTS[name].read_text(encoding="utf-8"))
        for one in unknown_parts(line)
    ] == []


def test_the_docs_contain_commands():
    lines = [
        line
        for path in TEXTS.values()
        for line in code_of(path.read_text(encoding="utf-8"))
        if re.search(r"(?<![\w./-])trackpools [a-z]", line)
    ]
    assert len(lines) > 60
    assert {"import", "run", "switch", "rollback", "promote", "vacuum", "doctor"} <= {
        word for line in lines for word in line.split()
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trackpools rum --root R", "no command rum"),
        ("x=1 trackpools run --rot R", "run has no --rot"),
        ("a && trackpools run --set train.rnak=8 && b", "no key train.rnak"),
        ("trackpools run && trackpools show pools --users u", "show has no --users"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line, said):
    assert list(unknown_parts(line)) == [said]
    assert code_of(f"Text.\n\n```bash\n{line}\n```\n") == [line]
    assert code_of("Type `trackpools\nrun --root R` now.") == ["trackpools run --root R"]


def test_the_runbook_knows_every_way_to_stop():
    text = (DOCS / "runbook.md").read_text(encoding="utf-8")
    ways = {
        (one.exit_code, one.code)
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.TrackpoolsError)
    }
    told = {
        (int(code), name)
        for code, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    assert ways == told


def test_quotes_of_the_runbook_are_real_messages():
    text, said = (
        (DOCS / "runbook.md").read_text(encoding="utf-8"),
        "".join(path.read_text(encoding="utf-8") for path in (ROOT / "lib").rglob("*.py")),
    )
    quotes = re.findall(r"^\*Exit \d, `\w+`: ([^*]+?)\.?\*", text, re.MULTILINE) + re.findall(
        r"\*`([^`]+)`\*|\*exit 3, `contract`: ([^*]+)\*", text
    )
    parts = [part.strip() for quote in quotes for part in re.split(r"\bN\b", "".join(quote)) if part.strip()]
    assert len(parts) >= 5
    assert [part for part in parts if part not in said] == []
