"""Measure the peak memory of this process and all its descendants together."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

EVERY_S = 0.5  # seconds between two measurements
PROC = Path("/proc")


class Peak:
    """The peak memory so far.

    Attributes:
        bytes: The greatest sum of memory that was measured, in bytes.
    """

    def __init__(self) -> None:
        self.bytes = 0


@contextlib.contextmanager
def peak() -> Iterator[Peak]:
    """Measure this process and its descendants every EVERY_S seconds until the block ends; Linux only.

    Proportional set sizes are added up, so memory that these processes share is counted once.
    """
    seen, over = Peak(), threading.Event()

    def look() -> None:
        ended = False
        while not ended:  # so the last look is after the end of the block
            ended = over.wait(EVERY_S)
            seen.bytes = max(seen.bytes, sum(_proportional(process) for process in _family()))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _family() -> set[int]:
    """Return the ids of this process and all its descendants."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # the process has ended
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    found, before = {os.getpid()}, 0
    while len(found) > before:
        before = len(found)
        found |= {process for process, parent in parents.items() if parent in found}
    return found


def _proportional(process: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended or may not be read."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0
