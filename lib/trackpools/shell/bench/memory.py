"""The most memory that this process and all its children held at once."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

EVERY_S = 0.5
PROC = Path("/proc")


class Peak:
    """The highest sum seen, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0


@contextlib.contextmanager
def peak() -> Iterator[Peak]:
    """Look twice a second while inside; Linux only. What processes share is counted once, by their proportional set sizes."""
    seen, over = Peak(), threading.Event()

    def look() -> None:
        while not over.wait(EVERY_S):
            seen.bytes = max(seen.bytes, sum(_proportional(process) for process in _family()))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _family() -> set[int]:
    """This process and all below it."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # gone since
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, before = {os.getpid()}, 0
    while len(found) > before:
        before = len(found)
        found |= {process for process, parent in parents.items() if parent in found}
    return found


def _proportional(process: int) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0
