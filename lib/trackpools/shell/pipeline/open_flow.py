"""Open a `Flow` that is ready to run.

A local root is locked, and the records that an earlier command could not send to MLflow are sent first.
"""

import contextlib
from collections.abc import Iterator

from trackpools.config import Config
from trackpools.shell.command import Options, flow_id
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.root_lock import writer_lock
from trackpools.shell.store.store import require_place
from trackpools.shell.tracking.tracker import Tracker, replay_pending


@contextlib.contextmanager
def open_flow(
    config: Config,
    options: Options,
    name: str,
    steps: int,
    *,
    as_of: str | None = None,
    known_as_of: str | None = None,
) -> Iterator[Flow]:
    """Yield a tracked flow; while it is in use, no other writer can lock the same local root.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        name: Name of the flow in MLflow.
        steps: Number of steps that the progress display expects.
        as_of: Only plays before this moment count; None uses the default of `time_travel.resolve`.
        known_as_of: Only plays received before this moment count; None uses the default likewise.
    """
    require_place(config.store)
    with options.progress(steps) as progress, writer_lock(config.store.root):
        spark = spark_session(config.session)
        replay_pending(config.mlflow, config.store.root)
        with Tracker(config.mlflow, config.store.root, flow_id(name), name) as tracker:
            yield Flow(config, spark, tracker, as_of, known_as_of, progress)
