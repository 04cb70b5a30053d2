"""A flow ready to run: the place is named, the root locked, what an earlier command could not track replayed."""

import contextlib
from collections.abc import Iterator

from trackpools.config import Config
from trackpools.shell.command import Options, flow_id, telling
from trackpools.shell.flow import Flow
from trackpools.shell.lock import writer_lock
from trackpools.shell.session import spark_session
from trackpools.shell.store import require_place
from trackpools.shell.tracking import Tracker, replay_pending


@contextlib.contextmanager
def opened(
    config: Config,
    options: Options,
    name: str,
    steps: int,
    *,
    as_of: str | None = None,
    known_as_of: str | None = None,
) -> Iterator[Flow]:
    """A tracked flow of so many steps on a locked root."""
    require_place(config.store)
    with telling(options, steps) as tell, writer_lock(config.store.root):
        spark = spark_session(config.session)
        replay_pending(config.mlflow, config.store.root)
        with Tracker(config.mlflow, config.store.root, flow_id(name), name) as tracker:
            yield Flow(config, spark, tracker, as_of, known_as_of, tell)
