"""A generated world to measure on: a root of its own, gone afterwards, and nothing is tracked."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trackpools.config import Config


@contextmanager
def generated(config: Config, **synthetic: Any) -> Iterator[Config]:
    """The configuration with such a root.

    Args:
        synthetic: keys of the section, of the world that `import synthetic` makes there.
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
