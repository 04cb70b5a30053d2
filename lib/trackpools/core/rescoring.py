"""Scoring again what an index found, compiled by numba: masks out, exact scores, the best of each user."""

from typing import Any

import numpy as np
from numba import njit

from trackpools.core.selection import exact, key, score_of


@njit(nogil=True, cache=True)
def rescore(x: Any, y: Any, found: Any, offsets: Any, masked: Any, met: Any, columns: Any, best: Any) -> None:
    """The best of the columns found for each row that are not masked, by exact score, ties to the lower column.

    Args:
        x: float32 [rows, rank].
        y: float32 [recordings, rank].
        found: int64 [rows, width], best first as the index sees it; −1 beyond what it found.
        offsets, masked: int64 [rows + 1] and [masked]; columns that each row must not get.
        met: int32 [recordings] to write in, all −1.
        columns, best: results int32 and float32 [rows, k]; column −1 beyond what a row has.
    """
    k, keys = columns.shape[1], np.empty(found.shape[1], np.int64)
    for u in range(len(found)):
        for m in range(offsets[u], offsets[u + 1]):
            met[masked[m]] = u
        many = 0
        for f in range(found.shape[1]):
            column = found[u, f]
            if column >= 0 and met[column] != u:
                keys[many] = key(exact(x[u], y[column]), column)
                many += 1
        chosen = np.sort(keys[:many])
        got = min(k, many)
        for f in range(got):
            columns[u, f] = chosen[f] & 0x7FFFFFFF
            best[u, f] = score_of(chosen[f])
        columns[u, got:] = -1
