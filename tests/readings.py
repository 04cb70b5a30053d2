"""What must hold of any second reading of a prompt, and answers of models to the question."""

import json
import re

import numpy as np

from stub_model import completion, http
from trackpools.fill.constraints import Constraints
from trackpools.fill.quoting import clean
from trackpools.fill.tracks import passing

REFUSED = ("no_tags", "no_artists", "no_languages")
HOLDS = {
    *REFUSED,
    "clean",
    "heard",
    "quiet_days",
    "years",
    "tempo",
}  # what a model may make hold for every track; all else it finds sorts


def finding(words, field, name=None, low=None, high=None):
    return {"words": words, "field": field, "name": name, "low": low, "high": high}


def findings(*made):
    return json.dumps({"findings": list(made)})


def is_reading(asked):
    """Whether a question is about words, not about candidates."""
    return "findings" in asked["response_format"]["json_schema"]["schema"]["properties"]


def reads(text, chooses):
    """An endpoint that reads with this text, and chooses as told; either may be a behaviour."""

    def behave(asked):
        if is_reading(asked):
            return text(asked) if callable(text) else http(200, completion(text))
        return chooses(asked)

    return behave


def noted(notes):
    """The words that findings were read from."""
    told = [re.fullmatch(r'read by the model: "([^"]*)" as .+', note) for note in notes]
    return [one[1] for one in told if one]


def require_only_adds(known, made, world, who):
    """What was known stays as it was, no track passes that did not, and every name is one of the catalogue."""
    assert Constraints.model_validate_json(made.model_dump_json()) == made
    for name in known.every.asked:
        before, after = getattr(known.every, name), getattr(made.every, name)
        assert after[: len(before)] == before if name in REFUSED else after == before, name
    assert set(made.every.asked) - set(known.every.asked) <= HOLDS
    for name in ("parts", "closed", "seeds", "artist_cap", "album_cap", "apart", "tolerance"):
        assert getattr(made, name) == getattr(known, name)
    if known.tracks is not None or known.seconds is not None:
        assert (made.tracks, made.seconds) == (known.tracks, known.seconds)
    assert known.arc is None or made.arc == known.arc
    assert all(getattr(made.prefer, name) == getattr(known.prefer, name) for name in known.prefer.asked)
    assert not np.any(passing(world, made.every, who) & ~passing(world, known.every, who))
    for of in (made.every, made.prefer):
        for kind in ("artists", "tags", "languages"):
            assert {*getattr(of, kind), *getattr(of, f"no_{kind}")} <= getattr(world.words, kind) | {
                *getattr(known.every, kind),
                *getattr(known.every, f"no_{kind}"),
            }


def require_words_accounted(left, notes, not_applied):
    """Every word that was left is still said not to be applied, or stands behind a finding; nothing else does."""
    words = _shown(one.words for one in left)
    behind = _shown(noted(notes))
    if not any(one.endswith("…") for one in noted(notes)):  # cut
        assert behind <= words
        assert _shown(not_applied) | behind == words


def _shown(texts):
    """Their words as a note shows them."""
    return {word for text in texts for word in clean(text, 10_000).split()}
