"""Tests of a model that reads, over a real socket, what the rules leave of a prompt.

What it finds counts and is reported. If it fails in any way, the reading of the rules is used, in time.
"""

import json
import time

import numpy as np
import pytest

from catalogues import everything, listener, read, tracks
from readings import finding, findings, is_reading, reads, require_only_adds, require_words_accounted
from stub_model import completion, http, numbers, says, silent, slowly, stub
from trackpools.config.loading import load_config
from trackpools.fill.contract.constraints import Band, Constraints, Filter
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.flow.fill import Clock, FillInputs, fill_playlist
from trackpools.fill.flow.understand import parse_prompt
from trackpools.fill.llm.parse_assist import SYSTEM
from trackpools.fill.solver.compose import may_exist
from trackpools.shell.llm.openai_model import ChatModel

TAGS = ("rock", "jazz", "dream pop", "ballad")
WORLD = tracks(
    [
        {
            "title": f"Song {n}",
            "artist_names": [f"Artist {n % 13}"],
            "tags": [TAGS[n % 4]],
            "duration_ms": 200_000,
            "energy": n / 80,
            "tempo": 80.0 + n,
        }
        for n in range(80)
    ]
)
WHO = listener()
GOOD = numbers(*range(1, 13))
DREAMY = findings(finding("dreamy", "tags", "Dream Pop"))
MARGIN = 0.25  # seconds beyond the deadline


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Import the SDK before the tests: it takes a second or more, which must not count in their times."""
    with stub(GOOD) as server:
        checked_fill(model_at(server.url), "12 songs", deadline=60.0)


@pytest.fixture
def endpoint():
    with stub(reads(DREAMY, GOOD)) as server:
        yield server


def model_at(url, **more):
    told = {
        "llm.base_url": url,
        "llm.model": "stub",
        "llm.private": True,
        "llm.retries": 0,
        "llm.breaker_failures": 1000,
        "llm.price_in": 1.0,
        "llm.price_out": 2.0,
    } | more
    return ChatModel(load_config(settings=[f"{key}={json.dumps(value)}" for key, value in told.items()]).llm)


def checked_fill(model, prompt, *, deadline=4.0, constraints=None):
    """Return what was understood and a fill of it, after the checks that every fill must pass."""
    config, clock = load_config(), Clock()
    request = FillRequest(user_id="u", prompt=prompt, deadline_s=deadline, constraints=constraints)
    began = time.monotonic()
    meant = parse_prompt(
        request,
        WORLD,
        model,
        config.llm if model is None else model.config,
        clock,
        year=2026,
        may_exist=lambda one: may_exist(WORLD, np.arange(len(WORLD)), one, WHO, config.fill),
    )
    given = FillInputs(WORLD, everything(WORLD), meant.wanted, WHO, {}, config.fill, config.llm)
    made = fill_playlist(given, request, model, clock)
    assert time.monotonic() - began < deadline + MARGIN
    rules = read(prompt, WORLD.words)
    require_only_adds(rules.constraints, meant.parsed, WORLD, WHO)
    require_words_accounted(rules.left, meant.notes, meant.not_applied)
    rows = made.composition.rows
    assert len(np.unique(rows)) == len(rows)
    assert all(one.met for one in made.constraint_results), [
        one for one in made.constraint_results if not one.met
    ]
    return meant, made


def is_reading_of_rules(meant, prompt):
    rules = read(prompt, WORLD.words)
    return (meant.wanted, meant.parsed, meant.not_applied) == (
        rules.constraints,
        rules.constraints,
        rules.not_applied,
    )


def test_the_reading_of_the_model_is_filled_and_reported(endpoint):
    endpoint.behave = reads(
        findings(finding("dreamy", "tags", "Dream Pop"), finding("sappy", "no_tags", "ballad")),
        lambda _: http(500),
    )
    meant, made = checked_fill(model_at(endpoint.url), "12 dreamy songs about films, nothing sappy")
    assert meant.wanted == Constraints(
        tracks=12, every=Filter(no_tags=("ballad",)), prefer=Filter(tags=("dream pop",))
    )
    assert meant.notes == (
        'read by the model: "dreamy" as preferred: tagged dream pop',
        'read by the model: "sappy" as not tagged ballad',
    )
    assert meant.not_applied == ("films",)
    assert set(made.composition.rows % 4) == {2}
    assert "code chose all" in made.degraded
    assert (meant.tokens, meant.cost) == (1050, pytest.approx(1100 / 1e6))


def test_one_question_is_asked_of_the_words_that_are_left(endpoint):
    checked_fill(model_at(endpoint.url), "12 dreamy songs, nothing I have heard this month")
    question, choice = endpoint.asked
    assert is_reading(question)
    assert not is_reading(choice)
    assert question["response_format"]["json_schema"]["strict"] is True
    assert 'Not understood: "dreamy"\n' in question["messages"][1]["content"]
    assert '"dream pop", ' in question["messages"][1]["content"]
    endpoint.behave = reads("no idea", GOOD)
    meant, made = checked_fill(model_at(endpoint.url), "12 dreamy songs")
    assert len(endpoint.asked) == 4, "nobody is asked again"
    assert is_reading_of_rules(meant, "12 dreamy songs")
    assert meant.notes == (
        "the model was asked about the words that no rule reads, but its answer cannot be read",
    )
    assert (made.degraded, meant.tokens, meant.dropped) == ("", 1050, {"reading: unreadable": 1})


def test_the_model_is_not_asked_without_words_left_or_without_consent_or_without_time(endpoint):
    for prompt, more, deadline in (
        ("12 songs, no jazz", {}, 4.0),
        ("12 dreamy songs", {"llm.parse": False}, 4.0),
        ("12 dreamy songs", {}, 1.2),
    ):
        meant, _ = checked_fill(model_at(endpoint.url, **more), prompt, deadline=deadline)
        assert is_reading_of_rules(meant, prompt)
        assert meant.notes == ()
    assert not any(is_reading(asked) for asked in endpoint.asked)
    assert is_reading_of_rules(checked_fill(None, "12 dreamy songs")[0], "12 dreamy songs")


def test_a_caller_s_constraints_win_over_both(endpoint):
    endpoint.behave = reads(
        findings(finding("30 dreams", "tracks", low=30), finding("frantic", "energy", low=0.9)), GOOD
    )
    given = Constraints(tracks=12, every=Filter(energy=Band(high=0.9)))
    meant, _ = checked_fill(model_at(endpoint.url), "30 dreams, frantic", constraints=given)
    assert meant.wanted == given
    assert meant.dropped == {"reading: told already": 2}


@pytest.mark.parametrize(
    "late", [lambda _: silent, lambda _: slowly(http(200, completion(DREAMY)), 0.5)], ids=["silent", "slow"]
)
def test_a_reading_that_is_late_leaves_the_time_to_choose(endpoint, late):
    endpoint.behave = reads(late, GOOD)
    meant, made = checked_fill(model_at(endpoint.url), "12 dreamy songs", deadline=2.0)
    assert is_reading_of_rules(meant, "12 dreamy songs")
    assert meant.notes == (
        "the model was asked about the words that no rule reads, but did not answer (timeout: no answer in time)",
    )
    assert made.degraded == "", "degraded is of the choice"
    assert made.chosen_by_model > 0.8


def test_two_late_answers_still_give_a_playlist_in_time(endpoint):
    endpoint.behave = lambda _: silent
    meant, made = checked_fill(model_at(endpoint.url), "12 dreamy songs", deadline=2.0)
    assert is_reading_of_rules(meant, "12 dreamy songs")
    assert "code chose all" in made.degraded


def test_reading_and_choice_share_breaker_and_budget(endpoint):
    endpoint.behave = reads(lambda _: http(500), GOOD)
    model = model_at(endpoint.url, **{"llm.breaker_failures": 1})
    meant, made = checked_fill(model, "12 dreamy songs")
    assert "overloaded" in meant.notes[0] or "rejected" in meant.notes[0]
    assert "circuit open" in made.degraded
    endpoint.behave = reads(DREAMY, GOOD)
    meant, made = checked_fill(model_at(endpoint.url, **{"llm.budget": 0.001}), "12 dreamy songs")
    assert meant.notes
    assert "budget" in made.degraded


TEXTS = {
    "prose": "Dreamy is a feeling.",
    "empty": "",
    "cut": DREAMY[:-5],
    "deep": '{"findings": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "the other schema": '{"tracks": [1, 2, 3]}',
    "NaN": '{"findings": [NaN]}',
    "duplicate keys": '{"findings": [], "findings": []}',
    "numbers": '{"findings": [1, 2]}',
    "strings": '{"findings": ["dreamy"]}',
    "long": findings(*[finding("dreamy", "clean")] * 2000)[:190_000],
    "system text": SYSTEM,
    "system text in findings": findings(finding(SYSTEM, "tags", SYSTEM), finding("dreamy", "tags", SYSTEM)),
}
FAULTY = {
    **{name: says(text) for name, text in TEXTS.items()},
    **{
        f"status {status}": (lambda _, status=status: http(status, '{"error": "secret words"}'))
        for status in (401, 404, 429, 500)
    },
    "closed": lambda _: b"",
    "no json": lambda _: http(200, "<html>"),
    "refusal": says(None, refusal="no"),
    "huge": says("x" * 50_000_000),
    "redirect": lambda _: http(302, Location="http://169.254.169.254/latest"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_an_unusable_reading_leaves_the_reading_of_the_rules(endpoint, fault):
    endpoint.behave = reads(FAULTY[fault], GOOD)
    meant, made = checked_fill(model_at(endpoint.url), "12 dreamy songs")
    assert is_reading_of_rules(meant, "12 dreamy songs")
    assert made.degraded == ""
    assert not any(part in " ".join(meant.notes) for part in ("secret words", *SYSTEM.splitlines()))


@pytest.mark.parametrize(
    ("answer", "tags"),
    [(f"Sure!\n```json\n{DREAMY}\n```", ("dream pop",)), (f"I read {DREAMY} here.", ("dream pop",))],
)
def test_prose_and_fences_around_an_answer_are_skipped(endpoint, answer, tags):
    endpoint.behave = reads(answer, GOOD)
    assert checked_fill(model_at(endpoint.url), "12 dreamy songs")[0].wanted.prefer.tags == tags


def test_the_reading_of_the_model_never_prevents_a_playlist(endpoint):
    endpoint.behave = reads(
        findings(
            finding("angelic", "clean"),
            finding("dreamy", "tags", "dream pop"),
            finding("1066", "years", low=1066 + 500, high=1566),
        ),
        GOOD,
    )
    meant, made = checked_fill(
        model_at(endpoint.url), "12 songs, dreamy, angelic, 1066"
    )  # here no track has a clean version
    assert meant.wanted == Constraints(tracks=12, prefer=Filter(tags=("dream pop",)))
    assert meant.not_applied == ("angelic", "1066")
    assert meant.notes[-1].endswith("only preferences were taken from its answer")
    assert (meant.dropped, len(made.composition.rows)) == ({"reading: no such playlist": 2}, 12)
