"""What is to be tracked, as JSON lines on local disk first: nothing is lost when the tracking server is away or the process is killed."""

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
from trackpools.places import user_cache
from trackpools.shell.lock import local_path

FLOW_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
Record = dict[str, Any]


def spool_folder(root: str | None) -> Path:
    """`<root>/spool`, or a folder of the user's cache that belongs to this root where the root is not on local disk."""
    folder = local_path(root)
    if folder is not None:
        return folder / "spool"
    return user_cache() / "spool" / hashlib.sha256((root or "catalog").encode()).hexdigest()[:16]


class Spool:
    """One flow's file. Held locked while the flow lives, so that a replay by another process leaves it alone.

    Raises:
        ConfigError: for a flow id that is no file name.
        BlockingIOError: where another process holds it.
    """

    def __init__(self, folder: Path, flow_id: str) -> None:
        if not FLOW_ID.fullmatch(flow_id):
            raise ConfigError(f"a flow id is 1 to 128 letters, digits, '.', '_' and '-'; got {flow_id!r:.80}")
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
            os.write(self._handle, b"\n")  # a line torn by kill -9 must not swallow the next one

    def append(self, record: Record) -> None:
        """Add one record in one write; a kill leaves it whole or torn, never mixed with the next."""
        os.write(self._handle, json.dumps(record, default=str).encode() + b"\n")

    def records(self) -> list[Record]:
        """Every whole record in order; torn lines are left out."""
        found = []
        size = os.fstat(self._handle).st_size
        for line in os.pread(self._handle, size, 0).decode(errors="replace").split("\n"):
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if isinstance(record, dict) and "op" in record:
                    found.append(record)
        return found

    def keep(self, path: Path) -> Path:
        """A copy of a file beside the spool: the original may be gone when it is sent."""
        self.files.mkdir(exist_ok=True, mode=0o700)
        kept = self.files / path.name
        shutil.copyfile(path, kept)
        return kept

    def remove(self) -> None:
        """Everything was sent."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.files, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let go of the file and leave it for a later replay."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def waiting(root: str | None) -> Iterator[Spool]:
    """The spools of dead flows, by flow id; those of living ones are passed over."""
    folder = spool_folder(root)
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(BlockingIOError, ConfigError):
            yield Spool(folder, path.stem)
