"""One writer at a time on a local root: an advisory lock that the kernel releases however the process ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from trackpools.errors import BusyError


def local_path(root: str | None) -> Path | None:
    """The root as a local path, or None for object stores and catalogs."""
    if root is None:
        return None
    plain = root.removeprefix("file:").replace("///", "/", 1) if root.startswith("file:") else root
    scheme, colon, _ = plain.partition(":")
    return None if colon and "/" not in scheme else Path(plain)


@contextlib.contextmanager
def writer_lock(root: str | None) -> Iterator[None]:
    """Hold the root's lock; Delta's own commit protocol does not cover two processes on one local disk.

    Raises:
        BusyError: another process holds it.
    """
    folder = local_path(root)
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".trackpools.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 64, 0).decode(errors="replace").strip()
            raise BusyError(
                f"another run writes to {folder} ({holder or 'unknown process'}); wait for it to end and run again"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
