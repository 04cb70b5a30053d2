"""Selecting the best scores while they are hot in the cache, compiled by numba: cheaper than the GEMM that made them.

Scores come in tiles of recordings. A row keeps what reaches its cut, a score that enough of its own reached so far; when it has kept too
many, the cut rises. What is left at the end is scored again in float64, see `exact`. Counters are unsigned where they index: a signed index
may count from the end, which costs more than the loop.
"""

from typing import Any

import numpy as np

from trackpools.core.compiled import njit

TILE = 512  # recordings a tile: with 256 users half a megabyte of scores, which stays in the cache of a core
LANES = 32  # maxima a tile, each over every 32nd score, so that taking them is vector instructions
SPARE = 256  # kept beyond the width wanted before the cut rises
NEAR = 8  # beyond the width after it rose
LOWEST = np.float32(np.finfo(np.float32).min)  # the first cut: above −inf, which marks what is masked
LOST = np.float32(np.inf)  # the cut of a row where more tie than it may keep
MASKED = np.float32(-np.inf)
NOTHING = np.iinfo(np.int64).max  # a key behind every key


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def exact(x: Any, y: Any) -> Any:
    """x·y in float64, as float32; the order of the sum depends on the rank and on the width of the CPU's vectors, on nothing else.

    `x` is float64, because it is read often, and `y` float32.
    """
    total = 0.0
    for q in range(len(x)):
        total += x[q] * np.float64(y[q])
    return np.float32(total)


@njit(nogil=True, cache=True)
def exact_pairs(x: Any, y: Any, rows: Any, columns: Any, out: Any) -> None:
    """`exact` of x[rows] and y[columns], pair by pair, to `out` float32."""
    for f in range(len(rows)):
        out[f] = exact(x[rows[f]], y[columns[f]])


@njit(nogil=True, cache=True)
def exact_keys(x: Any, y: Any, names: Any, columns: Any, keys: Any) -> None:
    """`key` of the exact score of one x with each of y[columns], called as `names` calls the column; NOTHING behind them."""
    for f in range(len(columns)):
        keys[f] = key(exact(x, y[columns[f]]), names[columns[f]])
    keys[len(columns) :] = NOTHING


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
def by_tile(rows: Any, places: Any, tiles: int) -> Any:
    """Pairs as positions in the scores of their tile, tile by tile, and where each tile starts."""
    starts = np.zeros(tiles + 2, np.int64)
    for f in range(len(rows)):
        starts[places[f] // TILE + 2] += 1
    for t in range(2, tiles + 2):
        starts[t] += starts[t - 1]
    flat = np.empty(len(rows), np.int64)
    for f in range(len(rows)):
        tile = places[f] // TILE
        flat[starts[tile + 1]] = rows[f] * TILE + places[f] % TILE
        starts[tile + 1] += 1
    return starts, flat


@njit(nogil=True, cache=True)
def forbid(scores: Any, first: int, group: Any, masks: Any, whole: Any) -> None:
    """−inf to what the mask of a row's group does not allow.

    Args:
        scores: float32 [rows, TILE].
        first: where the tile starts.
        group: int32 [rows].
        masks: bool [groups, recordings]; true is allowed.
        whole: bool [groups]; masks that allow everything.
    """
    for u in range(len(scores)):
        if not whole[group[u]]:
            mask = masks[group[u], first : first + TILE]
            for j in range(len(mask)):
                scores[u, j] = scores[u, j] if mask[j] else MASKED


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def tighten(values: Any, columns: Any, count: Any, width: int) -> Any:
    """Drop the lowest of `count` values, as long as `width` stay; returns the cut and how many stayed.

    The cut is found by halving the range, for counting what reaches a value is vector instructions, and selecting is not.
    """
    low, high = values[0], values[0]
    for f in range(count):
        low = values[f] if values[f] < low else low
        high = values[f] if values[f] > high else high
    for _ in range(24):
        middle = np.float32(0.5) * low + np.float32(0.5) * high
        reach = 0
        for f in range(count):
            reach += values[f] >= middle
        if reach < width:
            high = middle
        else:
            low = middle
        if width <= reach <= width + NEAR:
            break
    kept = np.uint64(0)
    for f in range(count):
        value, column = values[f], columns[f]
        values[kept] = value
        columns[kept] = column
        kept += np.uint64(value >= low)
    return low, kept


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # else a maximum is a branch
def keep(
    scores: Any, hidden: Any, first: int, width: int, cuts: Any, counts: Any, values: Any, columns: Any
) -> None:
    """Add the scores of a tile that reach the cut of their row to what the row kept.

    Args:
        scores: float32 [rows, TILE]; −inf marks what is masked.
        hidden: positions in the scores to mask first, int64.
        first: column of the first score of the tile.
        width: how many must reach a cut.
        cuts, counts: float32 and int64 [rows], of what the rows kept.
        values, columns: float32 and int32 [rows, width + SPARE + TILE + 1], what they kept.
    """
    flat = scores.reshape(-1)
    for f in range(len(hidden)):
        flat[hidden[f]] = MASKED
    maxima, reaching = np.empty(LANES, np.float32), np.empty(LANES + 1, np.uint64)
    for u in range(len(scores)):
        row, cut, count, own_values, own_columns = (
            scores[u],
            cuts[u],
            np.uint64(counts[u]),
            values[u],
            columns[u],
        )
        for c in range(LANES):
            best = row[c]
            for i in range(1, TILE // LANES):
                value = row[c + i * LANES]
                best = value if value > best else best
            maxima[c] = best
        # written always and counted where it reaches: what a branch predictor cannot learn
        many = np.uint64(0)
        for c in range(LANES):
            reaching[many] = np.uint64(c)
            many += np.uint64(maxima[c] >= cut)
        for r in range(many):
            j = reaching[r]
            for _ in range(TILE // LANES):
                own_values[count] = row[j]
                own_columns[count] = first + np.int64(j)
                count += np.uint64(row[j] >= cut)
                j += np.uint64(LANES)
        if count > np.uint64(width + SPARE):
            cuts[u], count = tighten(own_values, own_columns, count, width)
            if count > np.uint64(width + SPARE):
                cuts[u], count = LOST, np.uint64(0)
        counts[u] = count


@njit(nogil=True, cache=True)
def rescore(
    x: Any, y: Any, names: Any, width: int, cuts: Any, counts: Any, values: Any, columns: Any, keys: Any
) -> int:
    """`exact_keys` of what each row kept, once more tightened, to `keys` int64 [rows, width + SPARE]; returns the most a row has."""
    most = 0
    for u in range(len(x)):
        if counts[u] > width:
            cuts[u], counts[u] = tighten(values[u], columns[u], np.uint64(counts[u]), width)
        exact_keys(x[u], y, names, columns[u, : counts[u]], keys[u])
        most = max(most, counts[u])
    return most


@njit(nogil=True, cache=True)
def doubtful(keys: Any, k: int, cuts: Any, error: Any) -> Any:
    """Rows of which something dropped might belong to the k best; `error` is how far a float32 score may be from the exact one."""
    out = np.zeros(len(keys), np.bool_)
    for u in range(len(keys)):
        out[u] = cuts[u] > LOWEST and (cuts[u] == LOST or score_of(keys[u, k - 1]) <= cuts[u] + error[u])
    return np.flatnonzero(out)


@njit(nogil=True, cache=True)
def pack(row: Any, idx: Any, score: Any, keys: Any) -> None:
    """The `key` of each of flat triples, ascending by row, to the row of `keys`."""
    at, last = 0, -1
    for f in range(len(row)):
        at = at + 1 if row[f] == last else 0
        last = row[f]
        keys[last, at] = key(score[f], idx[f])


@njit(nogil=True, cache=True)
def unpack(keys: Any, k: int, first: int, at: int, row: Any, idx: Any, score: Any) -> int:
    """Write the k first of each row from position `at` of `row`, `idx` and `score`; returns the position behind them."""
    for u in range(len(keys)):
        for f in range(k):
            if keys[u, f] == NOTHING:
                break
            row[at], idx[at], score[at] = first + u, keys[u, f] & 0x7FFFFFFF, score_of(keys[u, f])
            at += 1
    return at
