"""The process that forks the Python workers of a session of ours: it imports what tasks need once, where each worker would for itself.

Spark's own imports nothing before it forks, for it does not know whether that starts threads. What is imported here starts none that a fork
could miss: NumPy's BLAS stops its own around a fork, and PyArrow's begin with the first use.
"""

import gc
import importlib

from pyspark.daemon import manager

# Spark's side of a task; those that the tasks of stages are made in, and the kernels that these import when they run
OF_TASKS = (
    "pyspark.worker", "pyspark.sql.pandas.serializers", "trackpools.core.assemble", "trackpools.core.als.foldin",
    *(f"trackpools.core.{name}" for name in ("als.kernels", "blending", "fusing", "lineup", "selection", "spreading", "tastes")),
)


def preload() -> None:
    """Import them, and take them out of the collections that a worker makes after every task: those were 40 ms each."""
    for name in OF_TASKS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    preload()
    manager()
