"""What a language model is to a fill: messages and a schema in, text out, within so many seconds, or a failure with its kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Message = Mapping[str, str]  # role and content, as chat completions have them
Kind = Literal[
    "unreachable", "timeout", "refused", "overloaded", "rejected", "unreadable", "budget", "circuit open"
]


@dataclass(frozen=True)
class Answer:
    """What the model said; its text is as untrusted as a prompt. Tokens are −1 where nobody counted them; `cost` in the currency of its prices."""

    text: str
    tokens_in: int = -1
    tokens_out: int = -1
    cost: float = 0.0


class ModelFailed(Exception):  # noqa: N818 - it is no error of ours: the fill goes on without
    """There is no answer; `kind` is for people and counters, and says nothing of what was sent."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        self.kind = kind
        self.detail = detail[:200]
        super().__init__(f"{kind}: {self.detail}" if detail else kind)


class Model(Protocol):
    """A way to ask a model; another provider is one file that has this."""

    @property
    def name(self) -> str:
        """For people and for the playlist."""

    def answer(self, messages: Sequence[Message], schema: Mapping[str, Any], *, seconds: float) -> Answer:
        """One answer to the messages, as JSON of the schema.

        Raises:
            ModelFailed: where there is none within the seconds.
        """
