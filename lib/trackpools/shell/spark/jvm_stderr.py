"""Keep one notice of the JVM off the terminal: that it uses incubator modules.

Spark starts every JVM with the module `jdk.incubator.vector`, and the JVM has no option that hides the notice.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

NOTICE = b"WARNING: Using incubator modules: jdk.incubator.vector\n"
STDERR_FD = 2
LAST_WORDS_S = 2  # how long a JVM that failed to start may take for its explanation


@contextlib.contextmanager
def without_incubator_notice() -> Iterator[None]:
    """Leave the notice out of the standard error of every process that starts inside.

    A thread copies all other lines to the standard error of this process, as long as both run. If the block
    raises, the lines that the process has written are copied before the error goes on.
    """
    if sys.stderr is None:  # the process was started without a standard error
        yield
        return
    sys.stderr.flush()
    reading, writing = os.pipe()
    before = os.dup(STDERR_FD)
    copier = threading.Thread(target=_copy, args=(reading, os.dup(before)), name="jvm-stderr", daemon=True)
    copier.start()
    os.dup2(writing, STDERR_FD)
    os.close(writing)
    failed = True
    try:
        yield
        failed = False
    finally:
        sys.stderr.flush()
        os.dup2(before, STDERR_FD)
        os.close(before)
        if failed:
            copier.join(LAST_WORDS_S)


def _copy(reading: int, shown: int) -> None:
    with os.fdopen(reading, "rb") as source, os.fdopen(shown, "wb", buffering=0) as target:
        for line in source:
            if line != NOTICE:
                with contextlib.suppress(OSError):  # nobody reads any more; the writer must not block
                    target.write(line)
