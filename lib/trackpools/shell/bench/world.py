"""A temporary store for the synthetic world of a benchmark."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trackpools.config import Config


@contextmanager
def generated(config: Config, **synthetic: Any) -> Iterator[Config]:
    """Yield the configuration with a new, empty store root, and delete the root afterwards.

    Tracking in MLflow is off. The caller generates the log, with the importer `synthetic`.

    Args:
        config: The merged configuration.
        synthetic: Keys of the section `synthetic` to change, such as `users` or `days`.
    """
    folder = tempfile.mkdtemp(prefix="trackpools-bench-")
    try:
        yield config.model_copy(
            update={
                "synthetic": config.synthetic.model_copy(update=synthetic),
                "store": config.store.model_copy(update={"root": f"{folder}/root"}),
                "mlflow": config.mlflow.model_copy(update={"enabled": False}),
            }
        )
    finally:
        shutil.rmtree(folder)
