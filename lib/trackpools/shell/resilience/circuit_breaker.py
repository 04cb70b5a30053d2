"""A circuit breaker, which stops calls to a service for a while after several failures in a row."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class CircuitBreaker:
    """A switch for the calls to one service: it forbids them for a while after several failures in a row.

    This time is called the rest. After it, one call is allowed as a trial. Threads may share the object.

    Attributes:
        failures: number of failures in a row after which the rest begins.
        rest_s: length of the rest in seconds.
        clock: a function that returns the present time in seconds.
    """

    failures: int
    rest_s: float
    clock: Callable[[], float] = time.monotonic
    _count: int = 0
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allows(self) -> bool:
        """Return whether a call may be made now.

        When the rest is over, one caller gets True as a trial, and the rest begins again for all others.
        """
        with self._lock:
            if self._count < self.failures:
                return True
            if self.clock() < self._until:
                return False
            self._until = self.clock() + self.rest_s  # this caller tries; for all others the rest goes on
            return True

    def record(self, *, ok: bool) -> None:
        """Record whether a call succeeded; a success resets the count of failures."""
        with self._lock:
            self._count = 0 if ok else self._count + 1
            if self._count >= self.failures:
                self._until = self.clock() + self.rest_s
