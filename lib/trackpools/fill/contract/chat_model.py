"""The interface of a language model, which gets messages and a JSON Schema and returns a text.

An implementation must answer within a given number of seconds, or raise `ModelFailed` with a kind of failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Message = Mapping[str, str]  # keys `role` and `content`, as in the API of chat completions
# refused: the model declined. rejected: the server, or our own check of the address, did. circuit open: nothing
# was sent, because several requests in a row had failed. budget: nothing was sent, because the budget is spent.
Kind = Literal[
    "unreachable", "timeout", "refused", "overloaded", "rejected", "unreadable", "budget", "circuit open"
]


@dataclass(frozen=True)
class ModelAnswer:
    """The answer of a model.

    Attributes:
        text: the answer; do not trust it more than the text of a user.
        tokens_in: tokens of the messages; −1 if they were not counted.
        tokens_out: tokens of the answer; −1 if they were not counted.
        cost: the cost of the call, in the currency of the configured prices.
    """

    text: str
    tokens_in: int = -1
    tokens_out: int = -1
    cost: float = 0.0


class ModelFailed(Exception):  # noqa: N818 - it is no error: the fill continues without the model
    """Raised if the model gives no usable answer.

    Args:
        kind: the kind of failure.
        detail: a further explanation, which is cut at 200 characters. It must contain nothing of what was sent,
            because notes of the playlist show it.
    """

    def __init__(self, kind: Kind, detail: str = "") -> None:
        self.kind = kind
        self.detail = detail[:200]
        super().__init__(f"{kind}: {self.detail}" if detail else kind)


class LanguageModel(Protocol):
    """A language model; implement this protocol to use another provider."""

    @property
    def name(self) -> str:
        """The name of the model, as the playlist shows it."""

    def answer(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, seconds: float
    ) -> ModelAnswer:
        """Return one answer to the messages.

        Args:
            messages: the messages of the chat, in order.
            schema: the JSON Schema that the answer should follow.
            seconds: the time limit.

        Raises:
            ModelFailed: if there is no usable answer within the time limit, or if no request may be sent.
        """
