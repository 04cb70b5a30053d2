"""Write a file so that readers see either the whole new file or none of it, also after a crash."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a draft path to write to; at the end the draft replaces `target` in one step.

    After an error the draft is deleted and `target` stays as it was. A process that is killed may leave a
    hidden file `.NAME.HEX.tmp` in the folder of `target`.

    Args:
        target: the file to write; its folder exists.
        durable: whether to flush the draft to the disk before the replacement, so that the file is complete
            also after a power failure.

    Yields:
        The path of the draft, in the folder of `target`.
    """
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield draft
        if durable:
            with draft.open("rb") as written:
                os.fsync(written.fileno())
        os.replace(draft, target)  # noqa: PTH105 - the same
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
