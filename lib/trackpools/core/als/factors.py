"""Factors as a frame, `idx int, factors array<float>`, and as a matrix."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

FACTORS = "idx int, factors array<float>"


def length() -> Column:
    """Euclidean length of the column `factors`."""
    return F.sqrt(F.aggregate("factors", F.lit(0.0), lambda total, x: total + x * x))


def unit() -> Column:
    """The column `factors` at length 1, float32; zeros stay zeros."""
    # the length as a lambda's variable: written out inside the inner one it would be summed again for each number
    scaled = F.transform(
        F.array(length()),
        lambda n: F.transform("factors", lambda x: (x / F.when(n > 0, n).otherwise(1.0)).cast("float")),
    )
    return scaled[0]


def as_table(idx: NDArray[Any], matrix: NDArray[Any]) -> Any:
    """An Arrow table of `FACTORS` from idx [rows] and factors [rows, rank]."""
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    values = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.ascontiguousarray(matrix, dtype=np.float32).ravel())
    )
    return pa.table({"idx": pa.array(idx.astype(np.int32)), "factors": values})


def matrix(column: Any) -> NDArray[np.float32]:
    """Factors [rows, rank] float32 of an Arrow column of lists of one length."""
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(flat.flatten(), dtype=np.float32).reshape(len(flat), -1)
