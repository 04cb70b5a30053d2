"""The process that forks the Python workers of a session of ours: it imports what tasks need once, where each worker would for itself.

Spark's own imports nothing before it forks, for it does not know whether that starts threads. What is imported here starts none that a fork
could miss: NumPy's BLAS stops its own around a fork, and PyArrow's begin with the first use.
"""

import gc
import importlib

import numpy as np
from pyspark.daemon import manager

# Spark's side of a task; those that the tasks of stages are made in, and the kernels that these import when they run
OF_TASKS = (
    "pyspark.worker",
    "pyspark.sql.pandas.serializers",
    "trackpools.core.assemble",
    "trackpools.core.als.foldin",
    *(
        f"trackpools.core.{name}"
        for name in ("als.kernels", "blending", "fusing", "lineup", "selection", "spreading", "tastes")
    ),
)


def preload() -> None:
    """Import them, and take them out of the collections that a worker makes after every task: those were 40 ms each."""
    for name in OF_TASKS:
        importlib.import_module(name)
    _first_kernel()
    gc.collect()
    gc.freeze()


def _first_kernel() -> None:
    """The first kernel of a process is half a second of Numba's: it sets its compiler up, and workers inherit that."""
    from trackpools.core.fusing import empty_table

    empty_table(np.zeros(1, np.int64))


if __name__ == "__main__":
    preload()
    manager()
