"""Build the messages that ask a language model to choose: instructions, candidates and the request.

The model names candidates only by number. The same request and seed give the same bytes.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trackpools.core.arrays.array_types import Int64Array
from trackpools.fill.contract.chat_model import Message
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.contract.describe import describe_filter
from trackpools.fill.contract.instructions import SYSTEM
from trackpools.fill.contract.sanitise import quote_as_data, sanitise_text
from trackpools.fill.solver.catalogue import Listener, Tracks
from trackpools.fill.solver.selection import SelectionProblem
from trackpools.fill.solver.verify import clock

CHARACTERS = 3  # characters for each token; prose of most languages has more, so estimates are too high
PROMPT_CHARS = 1_000  # greatest number of characters of the user's prompt that a model is shown
CANDIDATES = 'Candidates, one a line: number "title" "artist" year length tempo energy tags heard; ? is unknown.\n{candidates}'
WANTED = "Understood: {understood}\nThe listener's words: {words}\nChoose."


@dataclass(frozen=True)
class Pack:
    """The messages for a model, and the candidates in them.

    Attributes:
        messages: the system message and the user message.
        rows: int64 [n], rows of the catalogue; the candidate with number k is `rows[k − 1]`.
    """

    messages: tuple[Message, ...]
    rows: Int64Array

    @property
    def tokens(self) -> int:
        """The estimated number of tokens of all messages."""
        return tokens_of("".join(one["content"] for one in self.messages))


def schema_of(shown: int, wanted: int) -> Mapping[str, Any]:
    """Return the JSON Schema of an answer: a list `tracks` of numbers of candidates.

    The schema has the form of strict structured output: every property is required, and no other is allowed.

    Args:
        shown: the number of candidates; their numbers are 1 to `shown`.
        wanted: greatest number of chosen candidates in an answer.
    """
    number = {"type": "integer", "minimum": 1, "maximum": shown}
    tracks = {"type": "array", "items": number, "minItems": 1, "maxItems": max(min(wanted, shown), 1)}
    return {
        "type": "object",
        "properties": {"tracks": tracks},
        "required": ["tracks"],
        "additionalProperties": False,
    }


def tokens_of(text: str) -> int:
    """Estimate the number of tokens of a text; the estimate is rather too high than too low.

    It is a third of the number of characters, plus one for each character that is not ASCII, plus one.
    """
    return len(text) // CHARACTERS + sum(not one.isascii() for one in text) + 1


def packed(
    tracks: Tracks,
    asked: tuple[SelectionProblem, Int64Array],
    wanted: Constraints,
    listener: Listener,
    prompt: str,
    *,
    seed: int,
    most: int,
    tokens: int,
    system: str = SYSTEM,
) -> Pack:
    """Build the messages with the best candidates that fit, in a random order drawn by the seed.

    Candidates are picked by value, from all parts of the request in turn, and then shuffled. They are shuffled
    because models favour what is written first and last (Liu et al. 2024, "Lost in the Middle").

    Args:
        tracks: the catalogue of the user's market.
        asked: the result of `compose.build_problem`: the candidates that pass the hard constraints.
        wanted: the constraints.
        listener: what filters know of the user.
        prompt: the user's prompt.
        seed: the seed of the order.
        most: greatest number of candidates to show.
        tokens: greatest number of tokens of all messages, as `tokens_of` estimates them.
        system: the instructions of the model.
    """
    ask, rows = asked
    want = _wanted(wanted, prompt)
    head = tokens_of(system) + tokens_of(want)
    chosen: list[int] = []
    lines: list[str] = []
    for at in _by_turns(ask):
        line = _line(tracks, int(rows[at]), listener)
        head += tokens_of(line) + 2  # two tokens for the candidate's number and the line end
        if len(chosen) == most or head > tokens:
            break
        chosen.append(int(at))
        lines.append(line)
    order = list(range(len(chosen)))
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret: the same request has the same order
    shown = "\n".join(f"{number} {lines[at]}" for number, at in enumerate(order, 1))
    user = f"{CANDIDATES.format(candidates=shown)}\n\n{want}"
    return Pack(
        ({"role": "system", "content": system}, {"role": "user", "content": user}),
        rows[np.array(chosen, np.int64)[order]] if chosen else rows[:0],
    )


def _by_turns(ask: SelectionProblem) -> list[int]:
    """Order all candidates: first those that must be in the playlist, then in turns.

    In each turn, every part adds its best remaining candidate, and then the best of all others is added.
    """
    best = np.lexsort((np.arange(len(ask)), -ask.value))
    queues = [best[of[best]] for of, _ in ask.parts] + [best]
    taken: dict[int, None] = dict.fromkeys(np.flatnonzero(ask.musts).tolist())
    heads = [0] * len(queues)
    while len(taken) < len(ask):
        for place, queue in enumerate(queues):
            while heads[place] < len(queue) and int(queue[heads[place]]) in taken:
                heads[place] += 1
            if heads[place] < len(queue):
                taken[int(queue[heads[place]])] = None
    return list(taken)


def _line(tracks: Tracks, row: int, listener: Listener) -> str:
    card = {name: tracks.cards[name][row].as_py() for name in ("title", "artist_names", "tags")}

    def number(name: str, shape: str) -> str:
        value = tracks.number[name][row]
        return "?" if np.isnan(value) else clock(value) if name == "seconds" else format(value, shape)

    at = np.searchsorted(listener.recording, tracks.recording[row])
    met = (
        at < len(listener.recording)
        and listener.recording[at] == tracks.recording[row]
        and bool(listener.heard[at])
    )
    heard = f"heard {int(listener.plays[at])}x" if met else "new"
    facts = [number("years", ".0f"), number("seconds", ""), number("tempo", ".0f"), number("energy", ".2f")]
    tags = ",".join(sanitise_text(tag, 30) for tag in (card["tags"] or ())[:4]) or "?"
    return " ".join(
        [
            quote_as_data(card["title"]),
            quote_as_data(", ".join((card["artist_names"] or ())[:3])),
            *facts,
            quote_as_data(tags),
            heard,
        ]
    )


def _wanted(wanted: Constraints, prompt: str) -> str:
    """Format the request: the understood constraints and the user's own words, both quoted as data."""
    told = []
    if wanted.tracks is not None:
        told.append(f"{wanted.tracks} tracks")
    if wanted.seconds is not None:
        told.append(f"{clock(wanted.seconds)} in all")
    told += [describe_filter(wanted.every)] if wanted.every.set_fields else []
    told += [f"at least {part.share:.0%} {describe_filter(part.of)}" for part in wanted.parts]
    told += [f"energy {wanted.arc}"] if wanted.arc else []
    return WANTED.format(
        understood=quote_as_data("; ".join(told) or "nothing in particular", 600),
        words=quote_as_data(prompt, PROMPT_CHARS),
    )
