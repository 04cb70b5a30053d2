"""Persist a frame during a `with` block, and release it at the end, also after an error."""

import contextlib
from collections.abc import Iterator

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame


@contextlib.contextmanager
def persisted(df: DataFrame) -> Iterator[DataFrame]:
    """Yield the frame, persisted during the block; on serverless, which cannot persist, yield it as is."""
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
