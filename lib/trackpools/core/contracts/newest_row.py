"""Read a released table together with its overlay.

The overlay is the table of the rows that later refreshes wrote. If it has rows of a key, the newest of them
stands in place of the released row.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def newest(base: DataFrame, hot: DataFrame, key: str) -> DataFrame:
    """Return the table with the newest overlay row of each key in place of the released row.

    A key that only the overlay has is added.

    Args:
        base: the released table, one row for each `key`.
        hot: the overlay, one row for each `key` and `refresh`, with the columns of `base`; its keys are
            broadcast, so they must fit into the memory of every executor.
        key: name of the key column.

    Returns:
        One row for each `key`, with the columns of `base`: the row of `hot` with the greatest `refresh`, or
        the row of `base` if `hot` has none.
    """
    last = hot.groupBy(key).agg(F.max("refresh").alias("refresh"))
    rows = hot.join(F.broadcast(last), [key, "refresh"], "left_semi").select(*base.columns)
    return base.join(F.broadcast(last), key, "left_anti").select(*base.columns).unionByName(rows)
