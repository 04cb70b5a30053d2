"""Parts of MLflow know no client, only what the whole process tracks to: ours for one call, and then as it was."""

import contextlib
import os
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def fluent(uri: str, experiment: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Inside, the process tracks to a server and an experiment of it, with these environment variables. For one thread at a time.

    Args:
        experiment: its id.
    """
    from mlflow.tracking import fluent as whole
    from mlflow.tracking._tracking_service.utils import (
        _use_tracking_uri,
    )  # it tells a server that was set from one of the environment

    before, active = dict(os.environ), whole._active_experiment_id
    try:
        with _use_tracking_uri(uri):
            os.environ.update({**environment, "MLFLOW_EXPERIMENT_ID": experiment})
            os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
            whole._active_experiment_id = None
            yield
    finally:
        whole._active_experiment_id = active
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
