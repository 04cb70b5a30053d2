"""The spool: a file of JSON lines in which records wait on disk until the tracking server has them.

So no record is lost if the tracking server is out of reach or the process is killed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackpools.errors import ConfigError
from trackpools.paths import user_cache
from trackpools.shell.store.root_lock import local_path

FLOW_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
Record = dict[str, Any]


def spool_folder(root: str | None) -> Path:
    """Return the folder that holds all spools of a root.

    It is `<root>/spool`. If the root is not on the local disk, it is a folder in the user's cache whose name
    is a hash of the root.
    """
    folder = local_path(root)
    if folder is not None:
        return folder / "spool"
    return user_cache() / "spool" / hashlib.sha256((root or "catalog").encode()).hexdigest()[:16]


class Spool:
    """The spool file of one flow, open and locked.

    The file is locked while the flow runs, so that no other process sends its records meanwhile (see
    `tracker.replay_pending`). The lock is on the spool file itself, because a separate lock file would be
    left behind when the process is killed.

    Args:
        folder: folder of the spools, see `spool_folder`; it is created if it does not exist.
        flow_id: identifier of the flow.

    Attributes:
        flow_id: identifier of the flow.
        path: the file of JSON lines, one record in each line.
        files: folder with copies of the artifact files that are to be sent.

    Raises:
        ConfigError: if the flow id cannot be a file name.
        BlockingIOError: if another process, or this one, has the spool open.
        OSError: if the spool cannot be written.
    """

    def __init__(self, folder: Path, flow_id: str) -> None:
        if not FLOW_ID.fullmatch(flow_id):
            raise ConfigError(
                f"a flow id must be 1 to 128 letters, digits, '.', '_' and '-'; got {flow_id!r:.80}"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.flow_id = flow_id
        self.path = folder / f"{flow_id}.jsonl"
        self.files = folder / f"{flow_id}.files"
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise
        size = os.fstat(self._handle).st_size
        if size and os.pread(self._handle, 1, size - 1) != b"\n":
            os.write(self._handle, b"\n")  # ends a line that was cut off when a process was killed

    def append(self, record: Record) -> None:
        """Append a record as one line, in one write.

        If the process is killed meanwhile, the line is complete or cut off, but never mixed with the next
        record.
        """
        os.write(self._handle, json.dumps(record, default=str).encode() + b"\n")

    def records(self) -> list[Record]:
        """Return all complete records in the order in which they were appended, without cut-off lines."""
        found = []
        size = os.fstat(self._handle).st_size
        for line in os.pread(self._handle, size, 0).decode(errors="replace").split("\n"):
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if isinstance(record, dict) and "op" in record:
                    found.append(record)
        return found

    def keep(self, path: Path) -> Path:
        """Copy a file into `files` and return the copy, because the original may be gone when it is sent.

        A file of the same name that was copied before is overwritten.
        """
        self.files.mkdir(exist_ok=True, mode=0o700)
        kept = self.files / path.name
        shutil.copyfile(path, kept)
        return kept

    def remove(self) -> None:
        """Delete the spool and the copied files, and unlock the spool."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.files, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Close and unlock the spool, and leave its records on disk for `tracker.replay_pending`."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def waiting(root: str | None) -> Iterator[Spool]:
    """Yield the spools of flows that no longer run, ordered by flow id.

    Each spool is open and locked; the caller must `remove` or `close` it.
    """
    folder = spool_folder(root)
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(BlockingIOError, ConfigError):
            yield Spool(folder, path.stem)
