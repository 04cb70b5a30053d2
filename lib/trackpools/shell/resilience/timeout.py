"""Run a call with a time limit. When the time is up, the caller goes on without the result."""

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class CallTimedOut(Exception):  # noqa: N818 - an outcome, not a failure of the call
    """A call has not ended in time. The call goes on in its thread, and its result is discarded."""


def call_with_timeout(seconds: float, call: Callable[[], T]) -> T:
    """Run a call in a thread of its own and return its result; the thread does not keep the process alive.

    Args:
        seconds: longest time to wait for the call.
        call: the call; it sees the context variables of the caller.

    Raises:
        CallTimedOut: if the call takes longer than `seconds`.
        BaseException: any exception that the call raises.
    """
    made: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.append(call())
        except BaseException as error:  # raised again in the waiting thread
            raised.append(error)

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(run,), daemon=True, name="call_with_timeout"
    )
    thread.start()
    thread.join(max(seconds, 0.0))
    if raised:
        raise raised[0]
    if not made:
        raise CallTimedOut
    return made[0]
