"""Identify the data files of a table version.

A release pins this identity beside the version, so that a later change of the Delta log is noticed.
"""

import hashlib
from collections.abc import Iterable

from trackpools.errors import ContractError

WAY_OUT = (
    "Run `trackpools rollback SEQ` to put an older release in force (`trackpools releases` lists them). "
    "Then repair or rebuild the table, and run again"
)


def identity(paths: Iterable[str]) -> str:
    """Return the number of data files and the SHA-256 of their sorted names, as `count:hex`.

    Writers put a random UUID into the name of every file, so different content has different names. The same
    files always mean the same content, because our tables have no deletion vectors (`store.PUBLISHED`).
    The files of a version stay the same when the commits of the log are compacted into a checkpoint. Folders
    are left out, because Spark and delta-rs spell them differently (`s3a://`, `s3://`).

    Args:
        paths: paths of all files that a reader of the version reads, in any order; the spelling of their
            folders does not matter.
    """
    names = sorted(path.rsplit("/", 1)[-1] for path in paths)
    return f"{len(names)}:{hashlib.sha256(chr(10).join(names).encode()).hexdigest()}"


def require_same(name: str, version: int, seq: int, want: str, got: str) -> None:
    """Refuse a table whose data files are not those that a release pins.

    Args:
        name: name of the table.
        version: version of the table that the release pins.
        seq: number of the release.
        want: `identity` of the files that the release pins.
        got: `identity` of the files of that version now.

    Raises:
        ContractError: if the two differ; the message gives both and says what to do.
    """
    if got != want:
        raise ContractError(
            f"table {name} at version {version} is not what release {seq} published: expected {_described(want)}, found {_described(got)}. "
            f"A commit of its Delta log was emptied or replaced. {WAY_OUT}"
        )


def _described(identity: str) -> str:
    count, digest = identity.split(":")
    return f"{count} data files (SHA-256 of their names {digest[:16]}…)"
