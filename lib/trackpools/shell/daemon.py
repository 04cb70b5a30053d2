"""The process that forks the Python workers of a session of ours: it imports what tasks need once, where each worker would for itself.

Spark's own imports nothing before it forks, for it does not know whether that starts threads. What is imported here starts none that a fork
could miss: NumPy's BLAS stops its own around a fork, and PyArrow's begin with the first use.
"""

import gc

from pyspark.daemon import manager


def preload() -> None:
    """Import it, and take it out of the collections that a worker makes after every task: those were 40 ms each."""
    import pyspark.sql.pandas.serializers
    import pyspark.worker

    from trackpools.core import assemble, blending, fusing, lineup, on_demand, selection, spreading, tastes
    from trackpools.core.als import foldin, kernels

    _ = pyspark.worker, pyspark.sql.pandas.serializers
    _ = assemble, blending, fusing, lineup, on_demand, selection, spreading, tastes, foldin, kernels
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    preload()
    manager()
