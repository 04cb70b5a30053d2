"""Keep a frame's rows while they are used more than once, and let them go however the use ends."""

import contextlib
from collections.abc import Iterator

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame


@contextlib.contextmanager
def kept(df: DataFrame) -> Iterator[DataFrame]:
    """The frame, persisted while inside where the platform can (serverless cannot)."""
    try:
        rows = df.persist()
    except PySparkException as error:
        if "PERSIST" not in str(error).upper():
            raise
        yield df
        return
    try:
        yield rows
    finally:
        rows.unpersist()
