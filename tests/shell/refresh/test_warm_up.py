"""Tests of the background work of a refresh: nothing waits for it, and its failures are logged."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from trackpools.shell.refresh import warm_up


class Frame:
    """Stand in for a DataFrame, with the methods that `prepare` uses."""

    def __init__(self, fails):
        self.fails, self.sparkSession = fails, self

    def inputFiles(self):
        if self.fails:
            raise OSError("the log of the table is gone")
        return []

    def range(self, *_):
        return self

    def mapInArrow(self, *_):
        return self

    def collect(self):
        return []


def run(caplog, **fails):
    caplog.set_level(logging.DEBUG, logger="trackpools.shell.refresh.warm_up")
    with ThreadPoolExecutor(2) as beside:
        warm_up.prepare(beside, {name: Frame(failing) for name, failing in fails.items()})
    return [record for record in caplog.records if record.name == "trackpools.shell.refresh.warm_up"]


def test_a_failure_in_the_background_is_logged_with_what_failed_and_why(caplog):
    (record,) = run(caplog, tracks=False, not_taste=True)
    assert record.levelno == logging.DEBUG
    assert "not_taste" in record.getMessage()
    assert isinstance(record.exc_info[1], OSError)


def test_nothing_is_logged_where_nothing_fails(caplog):
    assert run(caplog, tracks=False, not_taste=False) == []


def test_a_cancelled_task_has_not_failed(caplog):
    caplog.set_level(logging.DEBUG, logger="trackpools.shell.refresh.warm_up")
    go = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        first = warm_up.submit(beside, "a wait", go.wait, 30)
        second = warm_up.submit(beside, "never begun", int, "no number")
        assert second.cancel()
        go.set()
        assert first.result()
    assert caplog.records == []
