"""Ask a language model to choose tracks: once, and once more if the first answer is of little use.

The rest of the fill is done by rules, whatever the answers are.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.contract.chat_model import LanguageModel, Message, ModelFailed
from trackpools.fill.llm.choice_prompt import Pack, schema_of
from trackpools.fill.llm.json_reply import Reply, read_reply

ENOUGH = 0.5  # if the model chooses less than this share of the wanted tracks, it is asked once more
MIN_RETRY_S = 0.5  # the model is not asked again if less time is left


@dataclass(frozen=True)
class ModelChoice:
    """The tracks that a model chose, and how the request went.

    Attributes:
        rows: rows of the catalogue, in the model's order.
        places: the place of each row in the list that the model was shown, from 0.
        shown: the number of candidates that the model was shown.
        texts: the model's texts, for `--explain`; never logged.
        dropped: reason → number of entries of the answers that were dropped.
        trouble: why there is no answer, or too few tracks in it; empty if the answer is sufficient.
        tokens: tokens of all messages and answers.
        cost: cost of all messages and answers, in the currency of the configured prices.
    """

    rows: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    shown: int = 0
    texts: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    tokens: int = 0
    cost: float = 0.0


def ask_for_choice(model: LanguageModel, pack: Pack, wanted: int, *, seconds: float) -> ModelChoice:
    """Ask the model to choose from a pack of candidates, and keep the better of at most two answers.

    A model that fails raises nothing here; `trouble` of the result says why.

    Args:
        model: the language model.
        pack: the messages and the candidates in them.
        wanted: the approximate number of tracks of the playlist.
        seconds: the time limit for both answers together.
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
        if until - time.monotonic() < MIN_RETRY_S:
            break
        messages = (*pack.messages, {"role": "user", "content": _again(reply, len(pack.rows), wanted)})
    return ModelChoice(
        _rows(pack, best), best.places, len(pack.rows), tuple(said), dict(dropped), trouble, tokens, cost
    )


def _rows(pack: Pack, reply: Reply) -> tuple[int, ...]:
    rows: list[Any] = pack.rows[list(reply.places)].tolist() if reply.places else []
    return tuple(rows)


def _again(reply: Reply, count: int, wanted: int) -> str:
    """Return the message that asks again; it has only counts and fixed words, and no untrusted text."""
    wrong = ", ".join(f"{number} {what}" for what, number in sorted(reply.dropped.items())) or "too few"
    due = f"about {min(wanted, count)} different whole numbers from 1 to {count}"
    return (
        f'Your last answer was of no use: {wrong}. Answer with {{"tracks": [...]}} and nothing else: {due}.'
    )
