"""Selecting the best of a row of scores, compiled by numba: cheaper than the GEMM that made the row.

Maxima of short chunks bound the k-th score from below in one vectorised pass; only chunks that reach the bound are looked into. What is
found is scored again in float64, see `exact`.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

CHUNK = 16  # scores in a cache line
TOGETHER = 8  # rows bounded, then looked into, while they are still in the cache
LOWEST = np.float32(np.finfo(np.float32).min)  # above −inf, which marks what is masked
LOOSE = 2  # chunks for each member wanted, at least: with fewer the bound admits too many


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def exact(x: Any, y: Any) -> Any:
    """x·y in float64, as float32; the order of the sum depends on the rank and on the width of the CPU's vectors, on nothing else."""
    total = 0.0
    for q in range(len(x)):
        total += np.float64(x[q]) * np.float64(y[q])
    return np.float32(total)


@njit(nogil=True, cache=True)
def exact_pairs(x: Any, y: Any, rows: Any, columns: Any, out: Any) -> None:
    """`exact` of x[rows] and y[columns], pair by pair, to `out` float32."""
    for f in range(len(rows)):
        out[f] = exact(x[rows[f]], y[columns[f]])


@njit(nogil=True, cache=True)
def key(score: Any, column: Any) -> Any:
    """One integer that sorts as (score descending, column ascending); `score` is float32 and not NaN."""
    bits = np.int64(np.float32(score + np.float32(0.0)).view(np.int32))  # −0 becomes 0: equal scores must tie
    rising = bits if bits >= 0 else np.int64(-2147483648) - bits
    return -rising * np.int64(4294967296) + column


@njit(nogil=True, cache=True)
def score_of(packed: Any) -> Any:
    """The score that `key` packed."""
    rising = -(packed >> 32)
    return np.int32(rising if rising >= 0 else np.int64(-2147483648) - rising).view(np.float32)


@njit(nogil=True, cache=True)
def forbid(scores: Any, group: Any, masks: Any, whole: Any) -> None:
    """−inf to what the mask of a row's group does not allow.

    Args:
        scores: float32 [rows, recordings].
        group: int32 [rows].
        masks: bool [groups, recordings]; true is allowed.
        whole: bool [groups]; masks that allow everything.
    """
    for u in range(len(scores)):
        if not whole[group[u]]:
            mask = masks[group[u]]
            for j in range(len(mask)):
                scores[u, j] = scores[u, j] if mask[j] else -np.inf


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # else a maximum is a branch and no vector instruction
def fill_maxima(scores: Any, maxima: Any) -> None:
    """Maxima of the whole chunks of each row, and of the rest as one more."""
    half = np.empty(8, np.float32)
    whole = scores.shape[1] // CHUNK
    for u in range(len(scores)):
        for c in range(whole):
            part = scores[u, c * CHUNK : (c + 1) * CHUNK]
            for i in range(8):
                half[i] = part[i] if part[i] > part[i + 8] else part[i + 8]
            for i in range(4):
                half[i] = half[i] if half[i] > half[i + 4] else half[i + 4]
            a = half[0] if half[0] > half[1] else half[1]
            b = half[2] if half[2] > half[3] else half[3]
            maxima[u, c] = a if a > b else b
        if maxima.shape[1] > whole:
            maxima[u, whole] = scores[u, whole * CHUNK :].max()


def bounds(scores: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A score that at least `width` of each row reach, −inf where a row has no more; and the maxima of its chunks."""
    rows, n = scores.shape
    maxima = np.empty((rows, (n + CHUNK - 1) // CHUNK), np.float32)
    fill_maxima(scores, maxima)
    if n <= width:
        return np.full(rows, -np.inf, np.float32), maxima
    of = maxima if maxima.shape[1] >= LOOSE * width else scores
    at = of.shape[1] - width
    return np.ascontiguousarray(np.partition(of, at, axis=1)[:, at]), maxima


@njit(nogil=True, cache=True)
def candidates(scores: Any, maxima: Any, cuts: Any, start: Any, columns: Any) -> None:
    """Allowed columns that reach the bound of their row.

    Args:
        scores: float32 [rows, recordings]; −inf marks what is masked.
        maxima, cuts: of `bounds`.
        start: result int64 [rows + 1] into `columns`; the first is given.
        columns: result int32, filled from there as far as needed, with room for one more.
    """
    n, chunks = scores.shape[1], maxima.shape[1]
    reaching = np.empty(chunks + 1, np.int64)
    found = start[0]
    for u in range(len(scores)):
        cut = max(cuts[u], LOWEST)
        # written always and counted where it reaches: one candidate in a dozen is what a branch predictor cannot learn
        many = 0
        for c in range(chunks):
            reaching[many] = c
            many += maxima[u, c] >= cut
        for r in range(many):
            first = reaching[r] * CHUNK
            for j in range(first, min(n, first + CHUNK)):
                columns[found] = j
                found += scores[u, j] >= cut
        start[u + 1] = found


@njit(nogil=True, cache=True)
def score_pairs(x: Any, y: Any, start: Any, columns: Any, keys: Any) -> None:
    """Exact `key` of every candidate; visited by recording, so that each row of `y` is fetched once and not at random."""
    found = start[-1]
    ends = np.zeros(len(y) + 1, np.int64)
    for f in range(found):
        ends[columns[f] + 1] += 1
    ends = np.cumsum(ends)
    pair, row = np.empty(found, np.int64), np.empty(found, np.int32)
    for u in range(len(x)):
        for f in range(start[u], start[u + 1]):
            to = ends[columns[f]]
            ends[columns[f]] = to + 1
            pair[to], row[to] = f, u
    for at in range(found):
        column = columns[pair[at]]
        keys[pair[at]] = key(exact(x[row[at]], y[column]), column)


@njit(nogil=True, cache=True)
def keep_best(scores: Any, x: Any, y: Any, k: int, cuts: Any, error: Any, start: Any, keys: Any, columns: Any, best: Any) -> int:
    """Sort the keys of each row and keep k; a row that is not sure of its last is scored whole. Returns how many were."""
    whole = 0
    for u in range(len(scores)):
        chosen = np.sort(keys[start[u] : start[u + 1]])
        if cuts[u] > -np.inf and score_of(chosen[k - 1]) <= cuts[u] + error[u]:
            whole += 1
            allowed = np.flatnonzero(scores[u] > -np.inf)
            chosen = np.empty(len(allowed), np.int64)
            for f in range(len(allowed)):
                chosen[f] = key(exact(x[u], y[allowed[f]]), allowed[f])
            chosen.sort()
        got = min(k, len(chosen))
        for f in range(got):
            columns[u, f] = chosen[f] & 0x7FFFFFFF
            best[u, f] = score_of(chosen[f])
        columns[u, got:] = -1
    return whole


def select(scores: Any, x: Any, y: Any, k: int, width: int, error: Any, workspace: Any, columns: Any, best: Any) -> int:
    """The k best columns of each row by exact score, ties to the lower column; −inf marks what is masked.

    Args:
        scores: float32 [rows, recordings], the GEMM of `x` and `y`.
        width: candidates to score again at least, above k.
        error: how far a float32 score may be from the exact one, float64 [rows].
        workspace: int32 [rows · recordings + 1] to write in.
        columns, best: results int32 and float32 [rows, k]; column −1 beyond what a row has.

    Returns:
        how many rows had to be scored whole, because one outside the candidates might have belonged inside.
    """
    start, cuts = np.zeros(len(scores) + 1, np.int64), np.empty(len(scores), np.float32)
    for first in range(0, len(scores), TOGETHER):
        some = slice(first, first + TOGETHER)
        cuts[some], maxima = bounds(scores[some], width)
        candidates(scores[some], maxima, cuts[some], start[first : first + TOGETHER + 1], workspace)
    keys = np.empty(start[-1], np.int64)
    score_pairs(x, y, start, workspace, keys)
    return int(keep_best(scores, x, y, k, cuts, error, start, keys, columns, best))
