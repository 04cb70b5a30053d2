"""The readings of all prompts: of the tests, in whose source they are found, of the suite, of the grammar."""

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

from catalogues import read
from trackpools.fill.contract.normalise import Words
from trackpools.fill.parser.phrases.grammar import GRAMMAR
from trackpools.fill.suite import cases

TESTS = Path(__file__).parents[1]
READERS = {
    "read",
    "read_with_findings",
    "checked_fill",
    "request_of",
    "fill",
}  # functions of the tests that take a prompt; of methods with these names nothing is a prompt
MOST_CHARACTERS = 4_000  # longer ones are there to be slow

WORDS = Words.of(
    [
        "Radiohead",
        "The National",
        "Air",
        "Bon Iver",
        "Yes",
        "Beyoncé",
        "AC/DC",
        "Sigur Rós",
        "Simon and Garfunkel",
    ],
    ["rock", "jazz", "hip hop", "chill", "indie pop", "electronic", "metal", "dream pop", "ballad"],
)
NAMES = {  # that stand for the catalogue's own in the suite
    "tag": ["rock", "jazz", "hip hop", "metal"],
    "artist": ["The National", "Bon Iver", "Sigur Rós", "Simon and Garfunkel"],
    "title": ["Karma Police"],
    "language": ["French"],
}


def readings():
    """`{where from: {prompt: reading}}`; examples of the grammar are read without names, as its test does."""
    return {
        "suite": {one: _reading(one, WORDS) for one in _prompts_of_suite()},
        "tests": {one: _reading(one, WORDS) for one in prompts_of_tests()},
        "grammar": {
            one: _reading(one)
            for phrases in GRAMMAR.values()
            for phrase in phrases
            for one in phrase.examples
        },
    }


def _reading(prompt, words=None):
    found = read(prompt, words)
    told = {
        "constraints": found.constraints.model_dump(mode="json", exclude_defaults=True),
        "not_applied": list(found.not_applied),
        "denied": [one.words for one in found.left if one.denied],
    }
    return {name: value for name, value in told.items() if value}


def _prompts_of_suite():
    """The prompts that `eval-fill` asks, with names of `NAMES`."""
    names = {f"{kind}{place}": name for kind, some in NAMES.items() for place, name in enumerate(some)}
    for one in yaml.safe_load(cases.OURS.read_text(encoding="utf-8"))["prompts"]:
        yield one["prompt"].format(**names)


def prompts_of_tests():
    """The distinct prompts of all tests, sorted."""
    found = set()
    for path in sorted(TESTS.glob("*/**/test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "prompt" in source:
            tree = ast.parse(source)
            found |= {*_called(tree), *_named(tree)}
        if path.relative_to(TESTS).parts[0] == "fill":
            found |= set(_given(_loaded(path)))
    return sorted(one for one in found if len(one) <= MOST_CHARACTERS)


def _called(tree):
    """Texts that are arguments of a reader, or of anything under the name `prompt`."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        reads = isinstance(call.func, ast.Name) and call.func.id in READERS
        given = [*(call.args if reads else ()), *(one.value for one in call.keywords if one.arg == "prompt")]
        yield from (
            one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)
        )


def _named(tree):
    """Texts of constants whose name says that they are prompts."""
    for node in tree.body:
        names = (
            [one.id for one in node.targets if isinstance(one, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
        if any("PROMPT" in name for name in names):
            yield from (
                one.value
                for one in ast.walk(node.value)
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )


def _loaded(path):
    spec = importlib.util.spec_from_file_location(f"prompts_of_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _given(module):
    """Texts that tests take as the argument `prompt`, and those that begin a row of a table of cases."""
    for value in vars(module).values():
        for mark in getattr(value, "pytestmark", ()):
            names = mark.args[0] if mark.name == "parametrize" else ()
            names = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
            if "prompt" in names:
                rows = [one.values if isinstance(one, type(pytest.param())) else one for one in mark.args[1]]
                yield from (row if len(names) == 1 else row[names.index("prompt")] for row in rows)
        if isinstance(value, dict):
            yield from (
                row[0] for row in value.values() if isinstance(row, tuple) and row and isinstance(row[0], str)
            )
