"""Rows of the driver as a frame, by way of Arrow.

Spark's own way from Python rows sends them through Python workers of a kind that nothing else uses: where a session has none yet, two seconds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType


def frame_of(spark: SparkSession, rows: Sequence[Mapping[str, Any]], schema: StructType) -> DataFrame:
    """A few rows by column name; a null where a row lacks a column, times with their zone."""
    return spark.createDataFrame(pa.Table.from_pylist(list(rows), to_arrow_schema(schema, timezone="UTC")), schema)
