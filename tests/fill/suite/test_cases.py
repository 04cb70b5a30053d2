"""Tests of the cases of the fill suite: complete, readable by the rules, refused where invalid."""

import re
from collections import Counter

import numpy as np
import pytest

from catalogues import read, some, tracks
from trackpools.errors import InputError
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.parser.templates import LANGUAGES
from trackpools.fill.suite.cases import OURS, cases, load

WORLD = tracks(
    [
        {
            "title": f"Title {n}",
            "artist_names": [f"The {'ABCDE'[n % 5]} Band"],
            "tags": [["rock", "hip hop", "jazz", "R&B"][n % 4]],
            "language": "fr",
        }
        for n in range(60)
    ]
)
EVERYTHING = np.ones(60, bool)


def test_the_suite_has_ten_prompts_of_each_of_twelve_families():
    counts = Counter(one.family for one in load().prompts)
    assert (len(counts), set(counts.values())) == (12, {10})
    assert len({one.prompt for one in load().prompts}) == 120


def test_the_rules_read_every_prompt_as_it_is_meant():
    made, left = cases(load(), WORLD, EVERYTHING)
    assert (len(made), left) == (120, [])
    for one in made:
        understood = read(one.prompt, WORLD.words)
        assert understood.not_applied == (), one.prompt
        found, wants = (
            each.model_copy(
                update={"prefer": Constraints().prefer, "seeds": tuple(map(str.lower, each.seeds))}
            )
            for each in (understood.constraints, one.wants)
        )
        assert found == wants, one.prompt
        assert not re.search(r"\{\w+\}", one.prompt)


def test_prompts_that_the_catalogue_cannot_answer_are_left_out_and_reported():
    bare = tracks([{"title": f"Title {n}"} for n in range(20)])
    made, left = cases(load(), bare, np.ones(20, bool))
    assert len(made) + len(left) == 120
    assert {told.partition("no ")[2] for told in left} >= {"tag0", "artist0", "language0"}
    assert all(one.wants.every.tags == () for one in made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nprompts: []", "is not a valid suite"),
        ("version: 1\nprompts: [{family: x, prompt: y}]", "is not a valid suite"),
        ("a: [", "cannot be read"),
        ("- 1", "is not a valid suite"),
        ("version: 1\nprompts: [{family: x, prompt: y, wants: {tracks: 0}}]", "invalid constraints"),
        ("version: 1\nprompts: [{family: x, prompt: y, wants: {trakcs: 3}}]", "invalid constraints"),
        ("version: !!python/object:os.system 1", "cannot be read"),
    ],
)
def test_an_invalid_suite_is_refused(tmp_path, text, said):
    path = tmp_path / "prompts.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        cases(load(path), some(1), np.ones(40, bool))


def test_names_in_braces_are_names_alone(tmp_path):
    path = tmp_path / "prompts.yml"
    path.write_text(
        'version: 1\nprompts: [{family: x, prompt: "{tag0.__class__} {0} {{tag0}} {artist0[0]}", wants: {}}]'
    )
    (made,), _ = cases(load(path), WORLD, EVERYTHING)
    assert made.prompt == "{tag0.__class__} {0} {rock} {artist0[0]}"


def test_the_packaged_suite_uses_known_languages():
    assert OURS.is_file()
    assert len(set(LANGUAGES.values())) > 30
