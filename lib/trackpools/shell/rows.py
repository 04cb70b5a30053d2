"""Rows of the driver as a frame: through JSON, since Spark's own way with a list starts Python workers to hand it back."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructType


def frame_of(spark: SparkSession, rows: Sequence[Mapping[str, Any]], schema: StructType) -> DataFrame:
    """A few rows, on any session.

    Args:
        rows: name → value: text, numbers, truth values, aware datetimes, and lists and mappings of such.
        schema: of the frame; what a row does not name is null.
    """
    text = json.dumps(rows, default=_told, allow_nan=False)
    told = F.from_json(F.lit(text), ArrayType(schema), {"mode": "FAILFAST"})
    return spark.range(0, 1, 1, 1).select(F.inline(told))


def _told(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    raise TypeError(f"not a value of a row: {value!r:.80}")
