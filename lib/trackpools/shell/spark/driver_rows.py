"""Build a frame from a few rows in the driver.

The rows are passed as JSON text. Spark's own way, a frame from a Python list, would start Python workers to
read the rows.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructType


def frame_of(spark: SparkSession, rows: Sequence[Mapping[str, Any]], schema: StructType) -> DataFrame:
    """Build a frame from a few rows; this works on any kind of session.

    Args:
        spark: the session.
        rows: each row maps a column's name to its value: text, numbers, booleans, aware datetimes, and lists
            and mappings of these.
        schema: schema of the frame; a column that a row does not name is null.

    Raises:
        TypeError: if a value is of another type.
    """
    text = json.dumps(rows, default=_json_value, allow_nan=False)
    told = F.from_json(F.lit(text), ArrayType(schema), {"mode": "FAILFAST"})
    return spark.range(0, 1, 1, 1).select(F.inline(told))


def _json_value(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    raise TypeError(f"not a value of a row: {value!r:.80}")
