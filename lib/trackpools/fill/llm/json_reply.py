"""Read the numbers of candidates in a language model's text; everything else is dropped and counted."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_REPLY_CHARS = 200_000  # a longer text counts as unreadable
MAX_NUMBERS = 5_000
FENCE = re.compile(r"```(?:json)?\s*(\{.*?\})\s*```", re.DOTALL)
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Reply:
    """The candidates that a model's text names.

    Attributes:
        places: the named candidates, counted from 0 (number − 1), each once, in the model's order.
        dropped: reason (out of range, repeated, no number, too many, unreadable) → number of dropped entries.
    """

    places: tuple[int, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def readable(self) -> bool:
        """Whether the text had a list `tracks` at all."""
        return UNREADABLE not in self.dropped


def read_reply(text: str, count: int) -> Reply:
    """Read which of the candidates 1 to `count` a text names; never raises, also for an unreadable text."""
    told = json_object(text)
    numbers = told.get("tracks") if told is not None else None
    if not isinstance(numbers, list):
        return Reply(dropped={UNREADABLE: 1})
    places: dict[int, None] = {}
    dropped: Counter[str] = Counter()
    for number in numbers[:MAX_NUMBERS]:
        if type(number) is not int:  # neither true nor 3.0 nor "3" counts as a number
            dropped["no number"] += 1
        elif not 1 <= number <= count:
            dropped["out of range"] += 1
        elif number - 1 in places:
            dropped["repeated"] += 1
        else:
            places[number - 1] = None
    if len(numbers) > MAX_NUMBERS:
        dropped["too many"] += len(numbers) - MAX_NUMBERS
    return Reply(tuple(places), dict(dropped))


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, or None if there is none.

    The object may be the whole text, be fenced as Markdown code, or be surrounded by other words. A text
    longer than MAX_REPLY_CHARS is not read. An object with a repeated key is not accepted.
    """
    if len(text) > MAX_REPLY_CHARS:
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
        raise ValueError("a key occurs more than once")
    return made


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")
