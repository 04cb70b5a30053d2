"""A call that is waited for so long and no longer: whatever it does, whoever waits goes on."""

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLong(Exception):  # noqa: N818 - an outcome, not a failure of the call
    """The call has not ended in time; it may still, and nobody will hear of it."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises, in a thread of its own that does not keep the process alive.

    Raises:
        TooLong: where it takes longer.
    """
    made: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.append(call())
        except BaseException as error:  # told on to whoever waits
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if raised:
        raise raised[0]
    if not made:
        raise TooLong
    return made[0]
