"""Allow one writer at a time on a local root.

The lock is an advisory file lock. The kernel releases it when the process ends, also after a crash.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from trackpools.errors import BusyError


def local_path(root: str | None) -> Path | None:
    """Return the root as a local path, or None for object stores and catalogs."""
    if root is None:
        return None
    plain = root.removeprefix("file:").replace("///", "/", 1) if root.startswith("file:") else root
    scheme, colon, _ = plain.partition(":")
    return None if colon and "/" not in scheme else Path(plain)


@contextlib.contextmanager
def writer_lock(root: str | None) -> Iterator[None]:
    """Hold the writer lock of a local root during a `with` block; do nothing if the root is not local.

    The lock is needed because Delta's own commit protocol does not cover two processes on one local disk. The
    folder is created if it does not exist.

    Raises:
        BusyError: if another process holds the lock.
    """
    folder = local_path(root)
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".trackpools.lock"
    lock = FileLock(path, timeout=0, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        holder = path.read_text(errors="replace").strip() if path.exists() else ""
        raise BusyError(
            f"another run writes to {folder} ({holder[:64] or 'unknown process'}); wait until it ends, and run again"
        ) from error
    try:
        path.write_text(f"process {os.getpid()}\n")
        yield
    finally:
        lock.release()
