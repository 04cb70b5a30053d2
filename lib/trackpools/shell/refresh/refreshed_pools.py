"""Compute the pools of the users of a refresh.

If the conditions of `ahead` hold, the pools are computed from arrays of all recordings, which every task
holds. Otherwise they are computed by the stage `pools`, as in a full run.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame

from trackpools import stages as s
from trackpools.config import Config
from trackpools.core.pools import broadcast
from trackpools.core.pools.online import ReleaseArrays
from trackpools.core.sources import active_sources
from trackpools.shell.refresh.warm_up import submit
from trackpools.shell.serving.release_arrays import SPACES, arrays
from trackpools.shell.spark.context import is_classic
from trackpools.stage import Context, Frames


def ahead(
    beside: Executor,
    read: Mapping[str, DataFrame],
    config: Config,
    as_of: datetime,
    rows: Callable[[str], int],
) -> Future[ReleaseArrays] | None:
    """Start to read the arrays of recordings in a background thread, if they can be used.

    They can be used if four conditions hold: `track_cards` has at most `refresh.at_hand` rows; no table of
    recordings' vectors has more than `topk.exact_max` rows, above which an index searches it; the session is
    classic (not Spark Connect); and all active sources can propose from arrays.

    Args:
        beside: the executor of the background threads.
        read: table name → frame.
        config: the merged configuration.
        as_of: the moment that the pools are computed for.
        rows: returns the number of rows of a table, by its name.

    Returns:
        A future of the arrays, or None if they cannot be used.
    """
    # with arrays, the index would be built a second time
    indexed = any(rows(name) > config.topk.exact_max for _, name in SPACES.values())
    # Spark Connect sends the arrays with the plan, in one message of bounded size
    classic = is_classic(read["track_cards"].sparkSession)
    if (
        rows("track_cards") > config.refresh.at_hand
        or indexed
        or not classic
        or not broadcast.can(config, SPACES)
    ):
        return None

    def columns(name: str, wanted: Sequence[str]) -> Any:
        frame = read[name]
        return frame.select(*(column for column in wanted if column in frame.columns)).toArrow()

    return submit(beside, "read the arrays of recordings", arrays, columns, config, as_of)


def pools(some: Frames, c: Context, held: Future[ReleaseArrays] | None) -> DataFrame:
    """Compute the pools that the stage `pools` would compute, from the arrays if there are any.

    Args:
        some: table name → frame. `users`, `user_ids`, `interactions`, `user_factors` and `user_features` hold
            only the refreshed users.
        c: the context of the refresh.
        held: the result of `ahead`.

    Returns:
        The new rows of `pools`, one for each user.
    """
    if held is None:
        return s.compute_pools(some, c)["pools"]
    ranking: dict[str, list[int]] = {}  # table of users' vectors → bits of the sources that rank by it
    for source in active_sources(c.config):
        if source.bit in SPACES:
            ranking.setdefault(SPACES[source.bit][0], []).append(source.bit)
    users = {tuple(bits): some[name] for name, bits in ranking.items()}
    return broadcast.pools(s.source_inputs(some, c), held.result(), users, c.model_version)
