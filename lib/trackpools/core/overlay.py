"""A table with its overlay: who was refreshed is told by the newest row there, everybody else by the base."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def newest(base: DataFrame, hot: DataFrame, key: str) -> DataFrame:
    """The rows of `base`, but of whoever has rows in `hot` the one of the greatest `refresh` instead; columns as `base`.

    Args:
        base: one row a `key`.
        hot: one row a `key` and `refresh`, with the columns of `base`; small against it.
    """
    last = hot.groupBy(key).agg(F.max("refresh").alias("refresh"))
    rows = hot.join(F.broadcast(last), [key, "refresh"], "left_semi").select(*base.columns)
    return base.join(F.broadcast(last), key, "left_anti").select(*base.columns).unionByName(rows)
