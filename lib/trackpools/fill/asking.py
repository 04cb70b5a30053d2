"""Asking a model for its choice: once, and once more where the first answer was of little use; then code goes on alone."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.model import Message, Model, ModelFailed
from trackpools.fill.pack import Pack, schema_of
from trackpools.fill.reply import Reply, read_reply

ENOUGH = 0.5  # of the tracks wanted: with fewer the model is asked once more
LEAST_S = 0.5  # with less time left nobody is asked again


@dataclass(frozen=True)
class Asked:
    """What came of it.

    Attributes:
        rows: of the catalogue, in the model's order; `places` where they were shown, from 0, of `shown`.
        said: the texts, for who wants to see them; never logged.
        dropped: what was said and is no candidate, by what was wrong.
        trouble: why there is no answer, or no more of it; empty where all went well.
    """

    rows: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    shown: int = 0
    said: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    tokens: int = 0
    cost: float = 0.0


def ask(model: Model, pack: Pack, wanted: int, *, seconds: float) -> Asked:
    """The rows that a model chooses of a pack.

    Args:
        wanted: tracks that the playlist will have, about.
        seconds: for all of it.
    """
    until = time.monotonic() + seconds
    said: list[str] = []
    dropped: Counter[str] = Counter()
    tokens, cost, best, trouble = 0, 0.0, Reply(), ""
    messages: tuple[Message, ...] = pack.messages
    schema = schema_of(len(pack.rows), wanted)
    for _ in range(2):
        try:
            answer = model.answer(messages, schema, seconds=until - time.monotonic())
        except ModelFailed as failed:
            trouble = trouble or f"the model did not answer ({failed})"
            break
        reply = read_reply(answer.text, len(pack.rows))
        said.append(answer.text)
        dropped.update(reply.dropped)
        tokens, cost = tokens + max(answer.tokens_in, 0) + max(answer.tokens_out, 0), cost + answer.cost
        best = max(best, reply, key=lambda one: len(one.places))
        if len(best.places) >= min(ENOUGH * wanted, len(pack.rows)):
            trouble = ""
            break
        trouble = (
            f"the model chose {len(best.places)} of {wanted} tracks"
            if best.places
            else "the model's answer could not be read"
        )
        if until - time.monotonic() < LEAST_S:
            break
        messages = (*pack.messages, {"role": "user", "content": _again(reply, len(pack.rows), wanted)})
    return Asked(
        _rows(pack, best), best.places, len(pack.rows), tuple(said), dict(dropped), trouble, tokens, cost
    )


def _rows(pack: Pack, reply: Reply) -> tuple[int, ...]:
    rows: list[Any] = pack.rows[list(reply.places)].tolist() if reply.places else []
    return tuple(rows)


def _again(reply: Reply, count: int, wanted: int) -> str:
    """What to do otherwise, of numbers alone: nothing that the model or anybody else wrote is said again."""
    wrong = ", ".join(f"{number} {what}" for what, number in sorted(reply.dropped.items())) or "too few"
    due = f"about {min(wanted, count)} different whole numbers from 1 to {count}"
    return (
        f'Your last answer was of no use: {wrong}. Answer with {{"tracks": [...]}} and nothing else: {due}.'
    )
