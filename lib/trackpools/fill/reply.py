"""What a model's text says, if it says anything: numbers of candidates, each once; the rest is dropped and counted."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_TEXT = 200_000  # characters: what is longer is no answer
MOST_NUMBERS = 5_000
FENCE = re.compile(r"```(?:json)?\s*(\{.*?\})\s*```", re.DOTALL)
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Reply:
    """Places of candidates from 0 in the order of the model, each once; and of what else it said how much: out of range, repeated, no number."""

    places: tuple[int, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def readable(self) -> bool:
        """Whether it was an answer at all."""
        return UNREADABLE not in self.dropped


def read_reply(text: str, count: int) -> Reply:
    """What a text chooses of the candidates 1 to `count`."""
    told = json_object(text)
    numbers = told.get("tracks") if told is not None else None
    if not isinstance(numbers, list):
        return Reply(dropped={UNREADABLE: 1})
    places: dict[int, None] = {}
    dropped: Counter[str] = Counter()
    for number in numbers[:MOST_NUMBERS]:
        if type(number) is not int:  # true is no number, nor are 3.0 and "3"
            dropped["no number"] += 1
        elif not 1 <= number <= count:
            dropped["out of range"] += 1
        elif number - 1 in places:
            dropped["repeated"] += 1
        else:
            places[number - 1] = None
    if len(numbers) > MOST_NUMBERS:
        dropped["too many"] += len(numbers) - MOST_NUMBERS
    return Reply(tuple(places), dict(dropped))


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, holds fenced, or holds between other words; None where none can be read, or the text is longer than MOST_TEXT."""
    if len(text) > MOST_TEXT:
        return None
    fenced = FENCE.search(text)
    start, end = text.find("{"), text.rfind("}")
    tries = [text, fenced[1] if fenced else "", text[start : end + 1] if 0 <= start < end else ""]
    for one in dict.fromkeys(tries):
        try:
            told = json.loads(one, object_pairs_hook=_once, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict):
            return told
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice: which is meant?")
    return made


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
