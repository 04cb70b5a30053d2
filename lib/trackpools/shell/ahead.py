"""What a refresh does in threads beside while the first one plans: of so few rows planning is the most of it, and one thread's work.

Nothing here changes what is asked: tables' logs are read and workers started before the first query that would wait for them.
What fails here is not looked at: it fails once more, and is told, where it is needed.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

from pyspark.sql import DataFrame

from trackpools import tables as t

# whose logs nobody has read when pools are planned: tables of recordings in the order in which they are asked for, what is joined, what is written
LOGS = (t.RECORDING_FACTORS, t.TRACKS, t.RECORDING_IDS, t.NOT_TASTE)
JOINED = (t.TRACK_CARDS, t.RECORDING_FACTS, t.FRESH_FACTORS, t.SOURCE_LISTS)
WRITTEN = tuple(t.OVERLAYS.values())


def prepare(beside: Executor, read: Mapping[str, DataFrame], *, joins: bool) -> None:
    """Read logs, as far as the tables are among the frames read, and start Python workers.

    Args:
        joins: whether pools are joined, see `few`; else what they look up is being read.
    """
    for table in (*LOGS, *(JOINED if joins else ()), *WRITTEN):
        if table.name in read:
            beside.submit(read[table.name].inputFiles)
    # by a query of no consequence, which takes one core, so that others go on
    one = read[t.TRACKS.name].sparkSession.range(0, 1, 1, 1)
    beside.submit(one.mapInArrow(_same, "id long").collect)


def _same(batches: Iterator[Any]) -> Iterator[Any]:
    return batches
