"""Answers of models that read a prompt, and checks that hold for any second reading of a prompt."""

import json
import re

import numpy as np

from stub_model import completion, http
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.contract.sanitise import sanitise_text
from trackpools.fill.solver.catalogue import rows_passing

REFUSED = ("no_tags", "no_artists", "no_languages")
HOLDS = {
    *REFUSED,
    "clean",
    "heard",
    "quiet_days",
    "years",
    "tempo",
}  # fields that a model may require of every track; all other findings only sort


def finding(words, field, name=None, low=None, high=None):
    return {"words": words, "field": field, "name": name, "low": low, "high": high}


def findings(*made):
    return json.dumps({"findings": list(made)})


def is_reading(asked):
    """Return whether a question is about words, and not about candidates."""
    return "findings" in asked["response_format"]["json_schema"]["schema"]["properties"]


def reads(text, chooses):
    """Return a behaviour that reads with this text, and chooses as `chooses` says; either may be callable."""

    def behave(asked):
        if is_reading(asked):
            return text(asked) if callable(text) else http(200, completion(text))
        return chooses(asked)

    return behave


def noted(notes):
    """Return the words from which findings were read."""
    told = [re.fullmatch(r'read by the model: "([^"]*)" as .+', note) for note in notes]
    return [one[1] for one in told if one]


def require_only_adds(known, made, world, who):
    """Check that a second reading keeps what was known, passes no further track, and invents no name."""
    assert Constraints.model_validate_json(made.model_dump_json()) == made
    for name in known.every.set_fields:
        before, after = getattr(known.every, name), getattr(made.every, name)
        assert after[: len(before)] == before if name in REFUSED else after == before, name
    assert set(made.every.set_fields) - set(known.every.set_fields) <= HOLDS
    for name in ("parts", "closed", "seeds", "artist_cap", "album_cap", "apart", "tolerance"):
        assert getattr(made, name) == getattr(known, name)
    if known.tracks is not None or known.seconds is not None:
        assert (made.tracks, made.seconds) == (known.tracks, known.seconds)
    assert known.arc is None or made.arc == known.arc
    assert all(getattr(made.prefer, name) == getattr(known.prefer, name) for name in known.prefer.set_fields)
    assert not np.any(rows_passing(world, made.every, who) & ~rows_passing(world, known.every, who))
    for of in (made.every, made.prefer):
        for kind in ("artists", "tags", "languages"):
            assert {*getattr(of, kind), *getattr(of, f"no_{kind}")} <= getattr(world.words, kind) | {
                *getattr(known.every, kind),
                *getattr(known.every, f"no_{kind}"),
            }


def require_words_accounted(left, notes, not_applied):
    """Check that every word left is either reported as not applied, or belongs to a finding.

    No other words are reported.
    """
    words = _shown(one.words for one in left)
    behind = _shown(noted(notes))
    if not any(one.endswith("…") for one in noted(notes)):  # the note was not cut
        assert behind <= words
        assert _shown(not_applied) | behind == words


def _shown(texts):
    """Return the words of the texts as a note shows them."""
    return {word for text in texts for word in sanitise_text(text, 10_000).split()}
