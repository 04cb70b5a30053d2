"""The daemon that forks the Python workers of a session that trackpools built.

It imports the modules that tasks need before it forks, so that workers do not import them again. Spark's
own daemon imports nothing before it forks, because it cannot know whether an import starts threads, which a
fork would lose. The imports here are safe: NumPy's BLAS stops its threads around a fork, and PyArrow starts
its threads only with the first use.
"""

import gc
import importlib

import numpy as np
from pyspark.daemon import manager

# The modules to import: Spark's code for running a task, the modules that define the tasks of stages, and the
# kernels that these tasks import only when they run.
OF_TASKS = (
    "pyspark.worker",
    "pyspark.sql.pandas.serializers",
    "trackpools.core.pools.batch",
    "trackpools.core.als.fold_in_users",
    "trackpools.core.als.kernels",
    "trackpools.core.kernels.list_lookup",
    "trackpools.core.kernels.rank_fusion",
    "trackpools.core.pools.blend_kernel",
    "trackpools.core.pools.shortlist_kernel",
    "trackpools.core.pools.tag_distribution",
    "trackpools.core.topk.selection_kernels",
)


def preload() -> None:
    """Import the modules of `OF_TASKS`, and exclude their objects from garbage collection.

    A worker collects garbage after every task. When these objects were included, each collection took 40 ms.
    """
    for name in OF_TASKS:
        importlib.import_module(name)
    _first_kernel()
    gc.collect()
    gc.freeze()


def _first_kernel() -> None:
    """Run one kernel, so that workers inherit Numba's compiler set-up.

    The first kernel of a process costs half a second, because Numba sets up its compiler.
    """
    from trackpools.core.kernels.rank_fusion import empty_table

    empty_table(np.zeros(1, np.int64))


if __name__ == "__main__":
    preload()
    manager()
