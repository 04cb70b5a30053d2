"""Compute the pools of the users of a refresh.

If the conditions of `ahead` hold, the pools are computed from the arrays of the release, which every task
maps into memory. Otherwise they are computed by the stage `pools`, as in a full run.
"""

from collections.abc import Mapping
from concurrent.futures import Executor, Future

from pyspark.sql import DataFrame

from trackpools import stages as s
from trackpools.core.pools import broadcast
from trackpools.core.pools.broadcast import OpenArrays
from trackpools.core.serving.release_layout import SPACES
from trackpools.core.sources import active_sources
from trackpools.shell.arrays.release_arrays import (
    WrittenArrays,
    arrays,
    arrays_folder,
    columns_of,
    write_missing,
)
from trackpools.shell.refresh.refresh_plan import Refresh
from trackpools.shell.refresh.warm_up import submit
from trackpools.shell.spark.context import is_classic
from trackpools.stage import Context, Frames


def ahead(beside: Executor, r: Refresh, read: Mapping[str, DataFrame]) -> Future[OpenArrays] | None:
    """Start to write the arrays of the release in a background thread, if they can be used.

    They can be used if four conditions hold: `track_cards` has at most `refresh.at_hand` rows; no table of
    recordings' vectors has more than `topk.exact_max` rows, above which an index searches it; the session is
    classic (not Spark Connect); and all active sources can propose from arrays.

    Args:
        beside: the executor of the background threads.
        r: the refresh.
        read: table name → frame.

    Returns:
        A future of a function that returns the arrays in a task, or None if they cannot be used.
    """
    config, as_of, rows = r.flow.config, r.flow.moment.as_of, r.base.rows
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

    def write() -> OpenArrays:
        folder, columns = arrays_folder(config.store.root), columns_of(read)
        if folder is None:
            made = arrays(columns, config, as_of)
            return lambda: made
        write_missing(folder, r.names, columns)
        return WrittenArrays(folder, r.names, config, as_of)

    return submit(beside, "write the arrays of the release", write)


def pools(some: Frames, c: Context, held: Future[OpenArrays] | None) -> DataFrame:
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
