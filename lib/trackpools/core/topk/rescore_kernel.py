"""Score the recordings that an index found, in functions that numba compiles.

Masked recordings are removed, the other recordings are scored exactly, and the best of each user are kept.
"""

from math import erfc

import numpy as np

from trackpools.core.arrays.array_types import Float32Array, Float64Array, Int32Array, Int64Array
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.topk.selection_kernels import exact_dot, key_score, sort_key


@njit(nogil=True, cache=True)
def expected_excess(z: float) -> float:
    """Return the mean of max(Z − z, 0) over the standard normal distribution of Z.

    Suppose that values are spread evenly below 0, one in each unit, and that a standard normal error is added
    to each. Then this is the expected number of values above z.
    """
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi) - z * erfc(z / np.sqrt(2)) / 2


@njit(nogil=True, cache=True)
def rescore_found(
    x: Float64Array,
    y: Float32Array,
    found: Int64Array,
    offsets: Int64Array,
    masked: Int32Array,
    met: Int32Array,
    seen: Float32Array,
    columns: Int32Array,
    best: Float32Array,
    missed: Float64Array,
) -> None:
    """Select, for each row, the k best of the found columns that are not masked, by exact score.

    A row is a user, and a column is a recording's row in `y`. If scores are equal, the lower column is
    better.

    Args:
        x: user factors, float64 [rows, rank] with float32 values.
        y: recording factors, float32 [recordings, rank].
        found: int64 [rows, width], the columns that the index found, best first by its own scores; then −1.
        offsets: int64 [rows + 1]; row `u` must not get the columns `masked[offsets[u]:offsets[u + 1]]`.
        masked: int32, the masked columns of all rows, one row after another.
        met: int32 [recordings], a buffer filled with −1; it is changed.
        seen: float32 [rows, width], the index's own scores of `found`.
        columns: result, int32 [rows, k], the selected columns, best first; −1 after the last one.
        best: result, float32 [rows, k], the exact scores of `columns`; undefined after the last one.
        missed: result, float64 [rows], the estimated share of the true k best that the index did not find
            because its own scores are inexact; 0 if it found fewer than `width` or fewer than k are selected.
    """
    k, keys = columns.shape[1], np.empty(found.shape[1], np.int64)
    for u in range(len(found)):
        for m in range(offsets[u], offsets[u + 1]):
            met[masked[m]] = u
        many, total, squares = 0, 0.0, 0.0
        for f in range(found.shape[1]):
            column = found[u, f]
            if column >= 0 and met[column] != u:
                score = exact_dot(x[u], y[column])
                keys[many] = sort_key(score, column)
                many += 1
                total += score - seen[u, f]
                squares += (score - seen[u, f]) ** 2
        chosen = np.sort(keys[:many])
        got = min(k, many)
        for f in range(got):
            columns[u, f] = chosen[f] & 0x7FFFFFFF
            best[u, f] = key_score(chosen[f])
        columns[u, got:] = -1
        missed[u] = 0.0
        if got == k and found[u, -1] >= 0:
            mean = total / many
            error = np.sqrt(max(squares / many - mean * mean, 0.0)) + 1e-30
            # Assume that scores are as dense just below the last found score as just above it.
            near = np.sum(seen[u] <= seen[u, -1] + error)
            missed[u] = near * expected_excess((best[u, k - 1] - seen[u, -1] - mean) / error) / k
