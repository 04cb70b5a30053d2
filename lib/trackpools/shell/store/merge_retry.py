"""Try a Delta MERGE again after another writer won the race."""

import time
from collections.abc import Callable

from trackpools.errors import BusyError

MERGE_TRIES = 4
FIRST_WAIT_S = 0.2  # doubled after each try


def merge_with_retry(name: str, merge: Callable[[], object]) -> None:
    """Call `merge` until it commits, at most `MERGE_TRIES` times.

    Args:
        name: name of the table, for the error.
        merge: a function that runs the MERGE once.

    Raises:
        BusyError: if other writers won the race in every try.
    """
    for attempt in range(MERGE_TRIES):
        try:
            merge()
            return
        except Exception as error:
            # Retry only after a lost race; Delta names all errors of this kind Concurrent….
            if "concurrent" not in (type(error).__name__ + str(error)[:2000]).lower():
                raise
            if attempt == MERGE_TRIES - 1:
                raise BusyError(
                    f"other runs wrote to table {name} during all {MERGE_TRIES} tries of this one; run again later"
                ) from error
            time.sleep(FIRST_WAIT_S * 2**attempt)
