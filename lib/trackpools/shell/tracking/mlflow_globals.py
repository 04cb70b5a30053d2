"""Point MLflow's process-wide settings at our server for one `with` block, and restore them after it.

Some parts of MLflow cannot be given a client. They use the tracking server that is set for the whole process.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping

from trackpools.shell.tracking.mlflow_server import PROCESS_LOCK


@contextlib.contextmanager
def mlflow_target(uri: str, experiment: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Make MLflow use one server and one experiment in the whole process while the block runs.

    Only one thread at a time can be in such a block. Other threads wait until it ends, including those that
    call a tracking server through `mlflow_server.Server`.

    Args:
        uri: tracking URI of the server.
        experiment: id of the experiment.
        environment: environment variables to set while the block runs.
    """
    from mlflow.tracking import fluent as whole
    from mlflow.tracking._tracking_service.utils import (
        _use_tracking_uri,
    )  # private, but no public function can later restore the state "no server was set"

    with PROCESS_LOCK:
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
