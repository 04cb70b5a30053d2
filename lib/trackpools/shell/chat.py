"""A model behind OpenAI's chat completions, whoever serves it: asked by the official SDK, with a deadline, few retries, a budget and a breaker."""

import email.utils
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trackpools import extras
from trackpools.config_llm import LlmConfig
from trackpools.errors import ConfigError
from trackpools.fill.model import Answer, Kind, Message, ModelFailed
from trackpools.shell.breaker import Breaker
from trackpools.shell.hurry import TooLong, within

AGAIN: frozenset[int] = frozenset(
    {408, 409, 429, 500, 502, 503, 504, 529}
)  # what may be otherwise a moment later
LEAST_S = 0.2  # with less left nobody is asked


@dataclass
class ChatModel:
    """A model at an endpoint.

    Attributes:
        spent: in the currency of the prices, by this object.
    """

    config: LlmConfig
    spent: float = 0.0
    breaker: Breaker = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.config.breaker_failures, self.config.breaker_rest_s)

    @property
    def name(self) -> str:
        return self.config.model or ""

    def require_ready(self) -> None:
        """Import the SDK and read the key now, and not within a request's deadline.

        Raises:
            ConfigError: where the extra or the key is missing.
        """
        _ = self._client

    @cached_property
    def _client(self) -> Any:
        """The SDK's client, without its own retries: these know of no deadline.

        Raises:
            ConfigError: where the extra or the key is missing.
        """
        openai = extras.library(
            "openai", "a model is asked by the package openai; install it: pip install 'trackpools[llm]'"
        )
        from trackpools.shell.guarded import guarded_client

        key = os.environ.get(self.config.key_env or "", "") if self.config.key_env else "none"
        if not key:
            raise ConfigError(
                f"the environment has no {self.config.key_env}, which llm.key_env names as the key's place"
            )
        return openai.OpenAI(
            api_key=key,
            base_url=self.config.base_url,
            http_client=guarded_client(private=self.config.private),
            max_retries=0,
        )

    def answer(self, messages: Sequence[Message], schema: Mapping[str, Any], *, seconds: float) -> Answer:
        """See `fill.model.Model`."""
        until = time.monotonic() + seconds
        client = self._client
        for attempt in range(self.config.retries + 1):
            self._require_budget()
            if not self.breaker.allows():
                raise ModelFailed("circuit open", f"{self.config.breaker_failures} failures in a row")
            try:
                answer = self._once(client, messages, schema, until)
            except _Failed as failed:
                self.breaker.told(well=False)
                wait = failed.wait if failed.wait is not None else random.uniform(0, 0.5 * 2**attempt)  # noqa: S311 - jitter, no secret
                if (
                    not failed.again
                    or attempt == self.config.retries
                    or time.monotonic() + wait + LEAST_S > until
                ):
                    raise ModelFailed(failed.kind, failed.detail) from None
                time.sleep(wait)
                continue
            self.breaker.told(well=True)
            return answer
        raise AssertionError("the last attempt returns or raises")

    def _require_budget(self) -> None:
        if self.config.budget is not None and self.spent >= self.config.budget:
            raise ModelFailed("budget", f"{self.spent:.4f} of {self.config.budget:g} spent")

    def _once(
        self, client: Any, messages: Sequence[Message], schema: Mapping[str, Any], until: float
    ) -> Answer:
        """One request, in a thread that is left behind where it is late.

        Raises:
            _Failed: saying whether another try makes sense.
        """
        from trackpools.shell.guarded import UNTIL

        left = until - time.monotonic()
        if left < LEAST_S:
            raise _Failed("timeout", "no time left")
        asked = {
            "model": self.config.model,
            "messages": list(messages),
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            "timeout": left,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "playlist", "strict": True, "schema": dict(schema)},
            },
        }
        UNTIL.set(until)
        try:
            return self._read(within(left, lambda: client.chat.completions.create(**asked)))
        except TooLong:
            raise _Failed("timeout", "no answer in time") from None
        except _Failed:
            raise
        except Exception as error:  # whatever a server makes the SDK raise, a playlist is made
            raise _told(error) from None

    def _read(self, said: Any) -> Answer:
        """The text of an answer; what it cost is spent whether or not it is of use."""
        usage = getattr(said, "usage", None)
        tokens_in, tokens_out = (
            _number(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")
        )
        cost = (max(tokens_in, 0) * self.config.price_in + max(tokens_out, 0) * self.config.price_out) / 1e6
        with self._lock:
            self.spent += cost
        choices = getattr(said, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if getattr(message, "refusal", None):
            raise _Failed("refused", "the model declined")
        text = getattr(message, "content", None)
        if not isinstance(text, str):
            raise _Failed("unreadable", "no text in the answer")
        return Answer(text, tokens_in, tokens_out, cost)


class _Failed(Exception):  # noqa: N818 - see ModelFailed
    def __init__(self, kind: Kind, detail: str, *, again: bool = False, wait: float | None = None) -> None:
        self.kind, self.detail, self.again, self.wait = kind, detail, again, wait
        super().__init__(detail)


def _told(error: Exception) -> _Failed:
    """What an exception of the SDK means; its text is not told on, for servers write into it."""
    import httpcore2
    import openai

    from trackpools.shell.guarded import Blocked

    causes = [error]
    while causes[-1].__cause__ is not None and len(causes) < 5:
        causes.append(causes[-1].__cause__)  # type: ignore[arg-type]
    blocked = next((one for one in causes if isinstance(one, Blocked)), None)
    if blocked is not None:
        return _Failed("rejected", str(blocked))
    if isinstance(error, openai.APITimeoutError) or any(
        isinstance(one, httpcore2.TimeoutException) for one in causes
    ):
        return _Failed("timeout", "no answer in time")
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        kind: Kind = "overloaded" if status in {429, 503, 529} else "rejected"
        return _Failed(
            kind,
            f"HTTP {status}",
            again=status in AGAIN,
            wait=retry_after(error.response.headers.get("retry-after")),
        )
    if isinstance(error, openai.APIConnectionError) or any(
        isinstance(one, (httpcore2.NetworkError, httpcore2.ProtocolError)) for one in causes
    ):
        return _Failed("unreachable", type(causes[-1]).__name__, again=True)
    return _Failed("unreadable", type(error).__name__)


def retry_after(told: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait by a Retry-After header, of seconds or a date; None where it says nothing, 0 where the moment has passed."""
    if told is None:
        return None
    try:
        return (
            max(float(told), 0.0) if told.strip().lower() not in {"nan", "inf", "-inf", "infinity"} else None
        )
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(told).timestamp() - now(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(told: Any) -> int:
    return told if isinstance(told, int) and 0 <= told < 10**9 else -1
