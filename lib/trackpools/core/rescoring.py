"""Scoring again what an index found, compiled by numba: masks out, exact scores, the best of each user."""

from math import erfc
from typing import Any

import numpy as np

from trackpools.core.compiled import njit
from trackpools.core.selection import exact, key, score_of


@njit(nogil=True, cache=True)
def beyond(z: Any) -> Any:
    """E[max(Z − z, 0)] of a standard normal Z: of values spread evenly below 0, one a unit, how many a normal error lifts above z."""
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi) - z * erfc(z / np.sqrt(2)) / 2


@njit(nogil=True, cache=True)
def rescore(
    x: Any,
    y: Any,
    found: Any,
    offsets: Any,
    masked: Any,
    met: Any,
    seen: Any,
    columns: Any,
    best: Any,
    missed: Any,
) -> None:
    """The best of the columns found for each row that are not masked, by exact score, ties to the lower column.

    Args:
        x: float64 [rows, rank], which holds float32.
        y: float32 [recordings, rank].
        found: int64 [rows, width], best first as the index sees it; −1 beyond what it found.
        offsets, masked: int64 [rows + 1] and [masked]; columns that each row must not get.
        met: int32 [recordings] to write in, all −1.
        seen: float32 [rows, width]; the index's own scores of what it found.
        missed: result float64 [rows]; estimated share of the true best that was not found, for the index's error.
        columns, best: results int32 and float32 [rows, k]; column −1 beyond what a row has.
    """
    k, keys = columns.shape[1], np.empty(found.shape[1], np.int64)
    for u in range(len(found)):
        for m in range(offsets[u], offsets[u + 1]):
            met[masked[m]] = u
        many, total, squares = 0, 0.0, 0.0
        for f in range(found.shape[1]):
            column = found[u, f]
            if column >= 0 and met[column] != u:
                score = exact(x[u], y[column])
                keys[many] = key(score, column)
                many += 1
                total += score - seen[u, f]
                squares += (score - seen[u, f]) ** 2
        chosen = np.sort(keys[:many])
        got = min(k, many)
        for f in range(got):
            columns[u, f] = chosen[f] & 0x7FFFFFFF
            best[u, f] = score_of(chosen[f])
        columns[u, got:] = -1
        missed[u] = 0.0
        if got == k and found[u, -1] >= 0:
            mean = total / many
            error = np.sqrt(max(squares / many - mean * mean, 0.0)) + 1e-30
            near = np.sum(
                seen[u] <= seen[u, -1] + error
            )  # what was not found lies at least as densely below the last as these above it
            missed[u] = near * beyond((best[u, k - 1] - seen[u, -1] - mean) / error) / k
