"""A prompt understood: by rules first, and what they leave by a model where there is one; what neither understands is told back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from trackpools.config_llm import LlmConfig
from trackpools.fill.constraints import Constraints, both
from trackpools.fill.contract import FillRequest
from trackpools.fill.filled import Clock
from trackpools.fill.model import Answer, Model, ModelFailed
from trackpools.fill.names import Left
from trackpools.fill.prompt import read
from trackpools.fill.quoting import clean, quoted
from trackpools.fill.second import added, asked_about, found, question, schema
from trackpools.fill.tracks import Tracks
from trackpools.fill.words import Words, plain

SHARE = 1 / 3  # of the time that is left, for reading: choosing needs the rest
LEAST_S = 0.5  # with less nobody is asked
TAGS = 60  # of the catalogue that a model is shown
ALIKE = 4  # letters that a word and a tag begin with alike: "dreamy" and "dream pop"
ASKED = "the model was asked what is not applied, and"


@dataclass(frozen=True)
class Understood:
    """What a prompt and its request come to.

    Attributes:
        wanted: of the prompt and of the request; `read` of the prompt alone, by rules and model.
        not_applied: words that neither understood.
        notes: what the model read from which words, or why it read nothing.
        said: the model's text, for who wants to see it; never logged.
        dropped: findings of the model that do not count, by what was wrong.
    """

    wanted: Constraints
    read: Constraints
    not_applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    said: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    cost: float = 0.0


def understood(
    request: FillRequest,
    tracks: Tracks,
    model: Model | None,
    llm: LlmConfig,
    clock: Clock,
    *,
    year: int,
    may_exist: Callable[[Constraints], bool],
) -> Understood:
    """What is wanted. A model is asked once, about words that no rule read, and adds to what the rules read; whatever it does, that stays.

    Args:
        year: this one.
        may_exist: whether there may be such a playlist. What the model read must not be why there is none.
    """
    with clock.step("understand"):
        told = read(request.prompt, tracks.words, year=year)
    notes = tuple(_given(told.constraints, request, tracks.words))
    by_rules = Understood(
        both(told.constraints, request.constraints), told.constraints, told.not_applied, notes
    )
    about = asked_about(told.left)
    seconds = SHARE * (request.deadline_s - clock.seconds)
    if model is None or not llm.parse or not about or seconds < LEAST_S:
        return by_rules
    with clock.step("read by model"):
        try:
            answer = model.answer(
                question(request.prompt, about, tags_for(about, tracks)), schema(), seconds=seconds
            )
        except ModelFailed as failed:
            return replace(
                by_rules,
                notes=(
                    *notes,
                    f"{ASKED} did not answer ({failed})",
                ),
            )
        made = _with(by_rules, answer, about, tracks.words)
        if made.wanted != by_rules.wanted and not may_exist(made.wanted) and may_exist(by_rules.wanted):
            return _with(by_rules, answer, about, tracks.words, holds=False)
        return made


def _given(read: Constraints, request: FillRequest, words: Words) -> Iterator[str]:
    """What is to be said of what the request itself sets."""
    if request.clean:
        yield "without explicit words, as the request asks"
    given = request.constraints
    if given is None:
        return
    own = [
        name
        for name in given.model_fields_set & read.model_fields_set - {"every"}
        if getattr(given, name) != getattr(read, name)
    ]
    own += [
        name
        for name in given.every.asked
        if name in read.every.asked and getattr(given.every, name) != getattr(read.every, name)
    ]
    if own:
        yield f"the request's constraints go before the prompt's: {', '.join(sorted(own))}"
    filters = (given.every, given.prefer, *(part.of for part in given.parts))
    for kind in ("tags", "artists", "languages"):
        told = {name for of in filters for name in (*getattr(of, kind), *getattr(of, f"no_{kind}"))}
        for name in sorted(name for name in told if plain(name) not in getattr(words, kind)):
            yield f"the catalogue has nothing of {kind[:-1]} {quoted(name)}"


def _with(
    first: Understood, answer: Answer, about: tuple[Left, ...], words: Words, *, holds: bool = True
) -> Understood:
    """What was understood, and what an answer adds to it."""
    paid = replace(
        first, said=answer.text, tokens=max(answer.tokens_in, 0) + max(answer.tokens_out, 0), cost=answer.cost
    )
    told = found(answer.text, first.wanted, about, words, holds=holds)
    if told is None:
        return replace(
            paid,
            notes=(
                *first.notes,
                f"{ASKED} gave no answer that can be read",
            ),
            dropped={"reading: unreadable": 1},
        )
    spoken = {one.words for one in about}
    left = tuple(dict.fromkeys((*told.left, *(one for one in first.not_applied if one not in spoken))))
    wanted, both_read = (added(one, told.more) for one in (first.wanted, first.read))
    dropped = {f"reading: {what}": count for what, count in told.dropped.items()}
    notes = (
        (*first.notes, *told.notes)
        if holds
        else (*first.notes, *told.notes, f"{ASKED} read of it what leaves no such playlist")
    )
    return replace(paid, wanted=wanted, read=both_read, not_applied=left, notes=notes, dropped=dropped)


def tags_for(left: tuple[Left, ...], tracks: Tracks) -> list[str]:
    """The tags that a model is shown: those that begin like a word that is left, then those of most tracks."""
    names = tracks.names["tags"]
    counts = np.diff(names.ends).tolist()
    stems = {word[:ALIKE] for one in left for word in one.words.split() if len(word) >= ALIKE}

    def worth(name: str) -> tuple[bool, int, str]:
        return not any(word[:ALIKE] in stems for word in name.split()), -counts[names.code[name]], name

    return [clean(name, 30) for name in sorted(filter(None, names.code), key=worth)[:TAGS]]
