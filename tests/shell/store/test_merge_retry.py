"""Tests of the retry of a MERGE that lost a race."""

import pytest

from trackpools.errors import BusyError
from trackpools.shell.store import merge_retry
from trackpools.shell.store.merge_retry import MERGE_TRIES, merge_with_retry


class ConcurrentAppendError(Exception):
    pass


@pytest.fixture
def waits(monkeypatch):
    """Return the list of waits between tries, in seconds, and wait for none of them."""
    found = []
    monkeypatch.setattr(merge_retry.time, "sleep", found.append)
    return found


def fails(times, error):
    """Return a merge that raises this error so many times, and the list of its calls."""
    calls = []

    def merge():
        calls.append(len(calls))
        if len(calls) <= times:
            raise error

    return merge, calls


def test_a_lost_race_is_tried_again_after_growing_waits(waits):
    merge, calls = fails(2, ConcurrentAppendError("files were added"))
    merge_with_retry("tracks", merge)
    assert (len(calls), waits) == (3, [0.2, 0.4])


def test_after_the_last_try_the_table_is_named(waits):
    merge, calls = fails(MERGE_TRIES, ConcurrentAppendError("files were added"))
    with pytest.raises(BusyError, match="table tracks"):
        merge_with_retry("tracks", merge)
    assert (len(calls), len(waits)) == (MERGE_TRIES, MERGE_TRIES - 1)


def test_any_other_error_is_raised_at_once(waits):
    merge, calls = fails(1, ValueError("a column is missing"))
    with pytest.raises(ValueError, match="a column is missing"):
        merge_with_retry("tracks", merge)
    assert (len(calls), waits) == (1, [])
