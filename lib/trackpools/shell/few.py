"""Pools of the listeners of a refresh: with recordings' arrays at hand where those are not too many, else as those of everybody."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame

from trackpools import stages as s
from trackpools.config import Config
from trackpools.core import at_hand
from trackpools.core.on_demand import Release
from trackpools.core.sources import enabled
from trackpools.shell.arrays import SPACES, arrays
from trackpools.shell.cluster import is_classic
from trackpools.stage import Context, Frames


def ahead(
    beside: Executor,
    read: Mapping[str, DataFrame],
    config: Config,
    as_of: datetime,
    rows: Callable[[str], int],
) -> Future[Release] | None:
    """Begin to read the arrays in another thread; None where that cannot be, or they are more than `refresh.at_hand`.

    Args:
        rows: how many a table has.
    """
    indexed = any(
        rows(name) > config.topk.exact_max for _, name in SPACES.values()
    )  # and would be once more, here
    # Connect sends what a task has with the plan, in one message of bounded size
    classic = is_classic(read["track_cards"].sparkSession)
    if (
        rows("track_cards") > config.refresh.at_hand
        or indexed
        or not classic
        or not at_hand.can(config, SPACES)
    ):
        return None

    def columns(name: str, wanted: Sequence[str]) -> Any:
        frame = read[name]
        return frame.select(*(column for column in wanted if column in frame.columns)).toArrow()

    return beside.submit(arrays, columns, config, as_of)


def pools(some: Frames, c: Context, held: Future[Release] | None) -> DataFrame:
    """As the stage `pools` makes them.

    Args:
        some: what it reads, of these listeners.
        held: of `ahead`.
    """
    if held is None:
        return s.fill_pools(some, c)["pools"]
    ranking: dict[str, list[int]] = {}  # table of users' vectors → sources that rank by it
    for source in enabled(c.config):
        if source.bit in SPACES:
            ranking.setdefault(SPACES[source.bit][0], []).append(source.bit)
    users = {tuple(bits): some[name] for name, bits in ranking.items()}
    return at_hand.pools(s.source_inputs(some, c), held.result(), users, c.model_version)
