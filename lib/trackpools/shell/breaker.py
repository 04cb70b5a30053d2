"""A circuit breaker: after so many failures in a row nobody is asked for a while."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Breaker:
    """After so many failures in a row nobody is asked for a while; then one may try. Safe among threads."""

    failures: int
    rest_s: float
    clock: Callable[[], float] = time.monotonic
    _count: int = 0
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allows(self) -> bool:
        """Whether to ask now; while it rests it lets one through, when the rest is over."""
        with self._lock:
            if self._count < self.failures:
                return True
            if self.clock() < self._until:
                return False
            self._until = self.clock() + self.rest_s  # one tries, the others go on waiting
            return True

    def told(self, *, well: bool) -> None:
        """How it went."""
        with self._lock:
            self._count = 0 if well else self._count + 1
            if self._count >= self.failures:
                self._until = self.clock() + self.rest_s
