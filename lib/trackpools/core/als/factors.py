"""Convert factors between Arrow tables and NumPy matrices, and scale them in Spark.

Tables and frames of factors have the columns FACTORS.
"""

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.core.arrays.array_types import Float32Array, FloatArray, IntArray

FACTORS = "idx int, factors array<float>"


def factor_norm() -> Column:
    """Return a double column: the Euclidean length of the vector in the column `factors`."""
    return F.sqrt(F.aggregate("factors", F.lit(0.0), lambda total, x: total + x * x))


def unit_factors() -> Column:
    """Return an array<float> column: `factors` scaled to Euclidean length 1; zero vectors stay zero."""
    # The outer lambda computes the length once. Inside the inner lambda it would be computed for each number.
    scaled = F.transform(
        F.array(factor_norm()),
        lambda n: F.transform("factors", lambda x: (x / F.when(n > 0, n).otherwise(1.0)).cast("float")),
    )
    return scaled[0]


def as_table(idx: IntArray, matrix: FloatArray) -> pa.Table:
    """Return an Arrow table with the columns FACTORS.

    Args:
        idx: ints [rows], the column `idx`.
        matrix: floats [rows, rank]; each row becomes one list of the column `factors`.
    """
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    values = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.ascontiguousarray(matrix, dtype=np.float32).ravel())
    )
    return pa.table({"idx": pa.array(idx.astype(np.int32)), "factors": values})


def factor_matrix(column: pa.Array | pa.ChunkedArray) -> Float32Array:
    """Return float32 [rows, rank] from an Arrow column of at least one list, all of the same length."""
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(flat.flatten(), dtype=np.float32).reshape(len(flat), -1)
