"""Ask a language model by the HTTP interface of OpenAI's chat completions, which many servers offer.

Requests are sent by the official SDK, with a deadline, few retries, a budget and a circuit breaker. The circuit
breaker sends no requests for a while after several failures in a row.
"""

import email.utils
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trackpools import optional_packages
from trackpools.config.fills import LlmConfig
from trackpools.errors import ConfigError
from trackpools.fill.contract.chat_model import Kind, Message, ModelAnswer, ModelFailed
from trackpools.shell.resilience.circuit_breaker import CircuitBreaker
from trackpools.shell.resilience.timeout import CallTimedOut, call_with_timeout

RETRIED_STATUSES: frozenset[int] = frozenset(
    {408, 409, 429, 500, 502, 503, 504, 529}
)  # HTTP statuses after which the request is repeated, because the cause may pass within moments
MIN_REQUEST_S = 0.2  # no request is sent if less time is left


@dataclass
class ChatModel:
    """A language model at an endpoint; implements `LanguageModel`.

    Attributes:
        config: the configuration of language models.
        spent: cost of all answers so far, in the currency of the prices.
        breaker: the circuit breaker of the endpoint.
        _in_flight: the number of requests that have not ended, including those that were given up.
    """

    config: LlmConfig
    spent: float = 0.0
    breaker: CircuitBreaker = field(init=False)
    _in_flight: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(self.config.breaker_failures, self.config.breaker_rest_s)

    @property
    def name(self) -> str:
        return self.config.model or ""

    def require_ready(self) -> None:
        """Import the SDK and read the key now, so that they do not take time of the first request's deadline.

        Raises:
            ConfigError: if the package openai or the key is missing.
        """
        _ = self._client

    @cached_property
    def _client(self) -> Any:
        """The client of the SDK; its own retries are switched off, because they ignore the deadline.

        Raises:
            ConfigError: if the package openai or the key is missing.
        """
        openai = optional_packages.import_optional(
            "openai",
            "the package openai, which asks the model, is missing; install it: pip install 'trackpools[llm]'",
        )
        from trackpools.shell.llm.safe_http import guarded_client

        key = os.environ.get(self.config.key_env or "", "") if self.config.key_env else "none"
        if not key:
            raise ConfigError(
                f"the environment variable {self.config.key_env} is not set; llm.key_env names it as the place of the key"
            )
        return openai.OpenAI(
            api_key=key,
            base_url=self.config.base_url,
            http_client=guarded_client(private=self.config.private),
            max_retries=0,
        )

    def answer(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, seconds: float
    ) -> ModelAnswer:
        """Ask the model, with retries; see `fill.contract.chat_model.LanguageModel`.

        Raises:
            ModelFailed: if there is no usable answer within `seconds`, if the budget is spent, or if the
                circuit breaker allows no request.
        """
        until = time.monotonic() + seconds
        client = self._client
        for attempt in range(self.config.retries + 1):
            self._require_budget()
            if not self.breaker.allows():
                raise ModelFailed("circuit open", f"{self.config.breaker_failures} failures in a row")
            try:
                answer = self._once(client, messages, schema, until)
            except _Failed as failed:
                self.breaker.record(ok=False)
                wait = failed.wait if failed.wait is not None else random.uniform(0, 0.5 * 2**attempt)  # noqa: S311 - jitter, no secret
                if (
                    not failed.again
                    or attempt == self.config.retries
                    or time.monotonic() + wait + MIN_REQUEST_S > until
                ):
                    raise ModelFailed(failed.kind, failed.detail) from None
                time.sleep(wait)
                continue
            self.breaker.record(ok=True)
            return answer
        raise AssertionError("the last attempt returns or raises")

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no request is in flight, not even one that was given up.

        Returns:
            False if a request is still in flight after `seconds`.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._in_flight == 0, seconds)

    def _require_budget(self) -> None:
        if self.config.budget is not None and self.spent >= self.config.budget:
            raise ModelFailed("budget", f"{self.spent:.4f} of {self.config.budget:g} spent")

    def _once(
        self, client: Any, messages: Sequence[Message], schema: Mapping[str, Any], until: float
    ) -> ModelAnswer:
        """Send one request in a thread, and give the thread up at the time `until`.

        Raises:
            _Failed: if there is no usable answer; `again` of the error says whether to repeat the request.
        """
        left = until - time.monotonic()
        if left < MIN_REQUEST_S:
            raise _Failed("timeout", "no time left")
        asked = {
            "model": self.config.model,
            "messages": list(messages),
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            "timeout": left,  # also limits the whole body, see `safe_http.Guarded`
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "playlist", "strict": True, "schema": dict(schema)},
            },
        }
        try:
            return self._read(call_with_timeout(left, lambda: self._create(client, asked)))
        except CallTimedOut:
            raise _Failed("timeout", "no answer in time") from None
        except _Failed:
            raise
        except Exception as error:  # whatever the SDK raises, the fill goes on
            raise _as_failed(error) from None

    def _create(self, client: Any, asked: Mapping[str, Any]) -> Any:
        """Send one request and count it as in flight while it lasts."""
        self._count(1)
        try:
            return client.chat.completions.create(**asked)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._changed:
            self._in_flight += more
            self._changed.notify_all()

    def _read(self, said: Any) -> ModelAnswer:
        """Read text, tokens and cost of an answer; the cost counts as spent even if the answer is useless."""
        usage = getattr(said, "usage", None)
        tokens_in, tokens_out = (
            _number(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")
        )
        cost = (max(tokens_in, 0) * self.config.price_in + max(tokens_out, 0) * self.config.price_out) / 1e6
        with self._changed:
            self.spent += cost
        choices = getattr(said, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if getattr(message, "refusal", None):
            raise _Failed("refused", "the model declined")
        text = getattr(message, "content", None)
        if not isinstance(text, str):
            raise _Failed("unreadable", "no text in the answer")
        return ModelAnswer(text, tokens_in, tokens_out, cost)


class _Failed(Exception):  # noqa: N818 - see ModelFailed
    def __init__(self, kind: Kind, detail: str, *, again: bool = False, wait: float | None = None) -> None:
        self.kind, self.detail, self.again, self.wait = kind, detail, again, wait
        super().__init__(detail)


def _as_failed(error: Exception) -> _Failed:
    """Translate an exception of the SDK; its message is not used, because servers can write into it."""
    import httpcore2
    import openai

    from trackpools.shell.llm.safe_http import BlockedRequest

    causes = [error]
    while causes[-1].__cause__ is not None and len(causes) < 5:
        causes.append(causes[-1].__cause__)  # type: ignore[arg-type]
    blocked = next((one for one in causes if isinstance(one, BlockedRequest)), None)
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
            again=status in RETRIED_STATUSES,
            wait=retry_after(error.response.headers.get("retry-after")),
        )
    if isinstance(error, openai.APIConnectionError) or any(
        isinstance(one, (httpcore2.NetworkError, httpcore2.ProtocolError)) for one in causes
    ):
        return _Failed("unreachable", type(causes[-1]).__name__, again=True)
    return _Failed("unreadable", type(error).__name__)


def retry_after(told: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds to wait that a Retry-After header asks for; the header holds seconds or a date.

    Returns:
        None if the header is missing or unreadable; 0 if its date has passed.
    """
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
