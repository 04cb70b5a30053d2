"""Work that a refresh starts in background threads while the main thread plans queries.

A refresh has few rows, so planning takes most of its time, and planning uses one thread. The background
threads read the Delta logs of tables and start Python workers before the first query that would wait for
them; this changes no result. A failure in the background is logged at debug level and stops nothing. If it
matters, the main thread gets the same error when it needs the result, and reports it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from pyspark.sql import DataFrame

from trackpools import tables as t

LOG = logging.getLogger(__name__)
R = TypeVar("R")
# The tables whose Delta logs no query has read before the pools are planned: LOGS in the order in which they
# are needed, and WRITTEN, the overlays.
LOGS = (t.RECORDING_FACTORS, t.TRACKS, t.RECORDING_IDS, t.NOT_TASTE)
WRITTEN = tuple(t.OVERLAYS.values())


def submit(beside: Executor, what: str, call: Callable[..., R], *args: object) -> Future[R]:
    """Start a call in a background thread; log its failure, since the result may never be asked for.

    Args:
        beside: the executor of the background threads.
        what: the call in words, for the log.
        call: the function to call.
        args: the arguments of the call.

    Returns:
        A future of the result.
    """
    future = beside.submit(call, *args)
    future.add_done_callback(lambda done: _log_failure(what, done))
    return future


def _log_failure(what: str, done: Future[Any]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        LOG.debug("a background task failed: %s", what, exc_info=error)


def prepare(beside: Executor, read: Mapping[str, DataFrame]) -> None:
    """Start to read the Delta logs of tables, and start Python workers, in background threads.

    Args:
        beside: the executor of the background threads.
        read: table name → frame; logs of other tables are not read.
    """
    for table in (*LOGS, *WRITTEN):
        if table.name in read:
            submit(beside, f"read the log of {table.name}", read[table.name].inputFiles)
    # a query without effect starts the workers; it has one task, so that other queries keep the other cores
    one = read[t.TRACKS.name].sparkSession.range(0, 1, 1, 1)
    submit(beside, "start Python workers", one.mapInArrow(_same, "id long").collect)


def _same(batches: Iterator[Any]) -> Iterator[Any]:
    return batches
