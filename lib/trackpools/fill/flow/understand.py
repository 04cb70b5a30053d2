"""Parse a prompt into constraints: by rules, then by a language model for the remaining words.

Words that neither rules nor model understand are reported to the user as not applied.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from trackpools.config.fills import LlmConfig
from trackpools.fill.contract.chat_model import LanguageModel, ModelAnswer, ModelFailed
from trackpools.fill.contract.constraints import Constraints, merge_constraints
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.contract.normalise import Words, plain
from trackpools.fill.contract.sanitise import quote_as_data, sanitise_text
from trackpools.fill.flow.fill import Clock
from trackpools.fill.llm.parse_assist import apply_assist, parse_answer, question, schema, words_to_ask
from trackpools.fill.parser.entities import Left
from trackpools.fill.parser.parse import read
from trackpools.fill.solver.catalogue import Tracks

# share of the remaining time in which the model may read the prompt; choosing tracks needs the rest
READING_SHARE = 1 / 3
MIN_ASSIST_S = 0.5  # the model is not asked if it would get less time than this, in seconds
TAGS = 60  # number of tags of the catalogue that the model is shown
ALIKE = 4  # number of first letters in which a tag and a word must agree: "dream pop" and "dreamy" do
ASKED = "the model was asked about the words that no rule reads"


@dataclass(frozen=True)
class ParsedPrompt:
    """The constraints of a request: those of the prompt, and those that the request itself sets.

    Attributes:
        wanted: the constraints of the prompt and of the request, merged.
        parsed: the constraints of the prompt alone, read by rules and model.
        not_applied: words of the prompt that neither rules nor model understood.
        notes: notes for the user: on the request's own constraints (see `_given`), and on what the model read
            from which words, or why it read nothing.
        model_text: the text of the model's answer, for `--explain`; it is never logged.
        dropped: reason → number of findings of the model that were dropped for this reason.
        tokens: number of tokens of the messages to the model and of its answer.
        cost: the cost of the answer, in the currency of the configured prices.
    """

    wanted: Constraints
    parsed: Constraints
    not_applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    model_text: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    cost: float = 0.0


def parse_prompt(
    request: FillRequest,
    tracks: Tracks,
    model: LanguageModel | None,
    llm: LlmConfig,
    clock: Clock,
    *,
    year: int,
    may_exist: Callable[[Constraints], bool],
) -> ParsedPrompt:
    """Parse the prompt of a request and merge it with the request's own constraints.

    The model is asked at most once, about the words that no rule read. It adds constraints to those that the
    rules read, and never changes them.

    Args:
        request: the request; its own constraints replace those of the prompt.
        tracks: the catalogue of the user's market, with the names that a prompt may use.
        model: the language model, or None for rules alone.
        llm: the configuration of language models.
        clock: the clock of the fill.
        year: the present year, for prompts such as "the last five years".
        may_exist: returns whether a playlist with given constraints may exist. If it may exist without the
            model's findings but not with them, only the findings that are preferences are kept.
    """
    with clock.step("understand"):
        told = read(request.prompt, tracks.words, year=year)
    notes = tuple(_given(told.constraints, request, tracks.words))
    by_rules = ParsedPrompt(
        merge_constraints(told.constraints, request.constraints), told.constraints, told.not_applied, notes
    )
    about = words_to_ask(told.left)
    seconds = READING_SHARE * (request.deadline_s - clock.seconds)
    if model is None or not llm.parse or not about or seconds < MIN_ASSIST_S:
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
                    f"{ASKED}, but did not answer ({failed})",
                ),
            )
        made = _with(by_rules, answer, about, tracks.words)
        if made.wanted != by_rules.wanted and not may_exist(made.wanted) and may_exist(by_rules.wanted):
            return _with(by_rules, answer, about, tracks.words, holds=False)
        return made


def _given(read: Constraints, request: FillRequest, words: Words) -> Iterator[str]:
    """Yield notes on the request's own constraints.

    The notes report that tracks with explicit words are left out, which constraints replace those of the
    prompt, and which names the catalogue lacks.
    """
    if request.clean:
        yield "tracks with explicit words are left out, as the request asks"
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
        for name in given.every.set_fields
        if name in read.every.set_fields and getattr(given.every, name) != getattr(read.every, name)
    ]
    if own:
        yield f"constraints of the request replace those of the prompt: {', '.join(sorted(own))}"
    filters = (given.every, given.prefer, *(part.of for part in given.parts))
    for kind in ("tags", "artists", "languages"):
        told = {name for of in filters for name in (*getattr(of, kind), *getattr(of, f"no_{kind}"))}
        for name in sorted(name for name in told if plain(name) not in getattr(words, kind)):
            yield f"the catalogue has no {kind[:-1]} {quote_as_data(name)}"


def _with(
    first: ParsedPrompt, answer: ModelAnswer, about: tuple[Left, ...], words: Words, *, holds: bool = True
) -> ParsedPrompt:
    """Add the findings of a model's answer to what the rules understood.

    Args:
        first: what the rules understood.
        answer: the model's answer.
        about: the words that the model was asked about.
        words: the names that the catalogue has.
        holds: whether findings may become constraints; False keeps only preferences, see `parse_answer`.
    """
    paid = replace(
        first,
        model_text=answer.text,
        tokens=max(answer.tokens_in, 0) + max(answer.tokens_out, 0),
        cost=answer.cost,
    )
    told = parse_answer(answer.text, first.wanted, about, words, holds=holds)
    if told is None:
        return replace(
            paid,
            notes=(
                *first.notes,
                f"{ASKED}, but its answer cannot be read",
            ),
            dropped={"reading: unreadable": 1},
        )
    spoken = {one.words for one in about}
    left = tuple(dict.fromkeys((*told.left, *(one for one in first.not_applied if one not in spoken))))
    wanted, both_read = (apply_assist(one, told.more) for one in (first.wanted, first.parsed))
    dropped = {f"reading: {what}": count for what, count in told.dropped.items()}
    notes = (
        (*first.notes, *told.notes)
        if holds
        else (
            *first.notes,
            *told.notes,
            f"{ASKED}, but no playlist would satisfy what it found; only preferences were taken from its answer",
        )
    )
    return replace(paid, wanted=wanted, parsed=both_read, not_applied=left, notes=notes, dropped=dropped)


def tags_for(left: tuple[Left, ...], tracks: Tracks) -> list[str]:
    """Return at most TAGS tags of the catalogue to show the model.

    Tags that match one of the words `left` come first: a word of the tag begins with the same ALIKE letters.
    Otherwise, the tags of most tracks are first.
    """
    names = tracks.names["tags"]
    counts = np.diff(names.ends).tolist()
    stems = {word[:ALIKE] for one in left for word in one.words.split() if len(word) >= ALIKE}

    def worth(name: str) -> tuple[bool, int, str]:
        return not any(word[:ALIKE] in stems for word in name.split()), -counts[names.code[name]], name

    return [sanitise_text(name, 30) for name in sorted(filter(None, names.code), key=worth)[:TAGS]]
