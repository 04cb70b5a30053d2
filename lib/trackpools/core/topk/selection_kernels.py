"""Select each user's best scores while they are in the CPU's cache, in functions that numba compiles.

The selection costs less than the matrix product that computes the scores. A row is a user, and a column is a
recording's place in the catalogue. Scores arrive in tiles: all rows, and TILE successive columns.

Each row has a cut, a score below which no score is kept. At least `width` of the row's scores so far reach
the cut, except for the first cut, which keeps everything. When a row has kept too many scores, its cut is
raised. The scores that are left at the end are computed again in float64; see `exact_dot`.

Counters that are used as an index are unsigned. A signed index could be negative and count from the end, and
to check for that costs more than the loop itself.
"""

import numpy as np

from trackpools.core.arrays.array_types import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    IntArray,
    Integer,
)
from trackpools.core.arrays.kernel_cache import njit

TILE = 512  # columns of a tile: with 256 rows half a megabyte of scores, which stays in a core's cache
# Each row of a tile has this many maxima, each over every 32nd score, so that they compile to vector
# instructions.
LANES = 32
SPARE = 256  # scores that a row may keep beyond `width` before its cut is raised
NEAR = 8  # a cut is raised until at most this many scores beyond `width` are left, or for 24 steps
LOWEST = np.float32(np.finfo(np.float32).min)  # the first cut; every score reaches it, except MASKED
# The cut of a row that gave up: so many equal scores reach its cut that the row may not keep all.
LOST = np.float32(np.inf)
MASKED = np.float32(-np.inf)  # the score of a recording that the user must not get
NOTHING = np.iinfo(np.int64).max  # fills up arrays of keys; it sorts after every key


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def exact_dot(x: Float64Array, y: Float32Array) -> np.float32:
    """Return x·y, computed in float64 and rounded to float32.

    The order of the sum depends on the rank and on the width of the CPU's vectors, and on nothing else. `x`
    is passed as float64, because one `x` is used with many `y`, so it is converted only once.
    """
    total = 0.0
    for q in range(len(x)):
        total += x[q] * np.float64(y[q])
    return np.float32(total)


@njit(nogil=True, cache=True)
def exact_pairs(
    x: Float64Array, y: Float32Array, rows: Int64Array, columns: Int64Array, out: Float32Array
) -> None:
    """Write `exact_dot` of x[rows[i]] and y[columns[i]] to out[i], for each pair i."""
    for f in range(len(rows)):
        out[f] = exact_dot(x[rows[f]], y[columns[f]])


@njit(nogil=True, cache=True)
def exact_keys(
    x: Float64Array, y: Float32Array, names: Int32Array, columns: IntArray, keys: Int64Array
) -> None:
    """Write the sort keys of a user's exact scores with y[columns] to `keys`, then NOTHING.

    Args:
        x: the user's factors, float64 [rank].
        y: recording factors, float32 [recordings, rank].
        names: int32 [recordings], the number to store in a recording's key, such as its idx.
        columns: the rows of `y` to score.
        keys: int64, to fill; at least as long as `columns`.
    """
    for f in range(len(columns)):
        keys[f] = sort_key(exact_dot(x, y[columns[f]]), names[columns[f]])
    keys[len(columns) :] = NOTHING


@njit(nogil=True, cache=True)
def sort_key(score: np.float32, column: Integer) -> Integer:
    """Return an int64 key; keys in ascending order are ordered by score descending, then column ascending.

    `score` must not be NaN. `column` is from 0 to 2³¹ − 1.
    """
    bits = np.int64(np.float32(score + np.float32(0.0)).view(np.int32))  # −0 becomes 0: equal scores must tie
    rising = bits if bits >= 0 else np.int64(-2147483648) - bits
    return -rising * np.int64(4294967296) + column


@njit(nogil=True, cache=True)
def key_score(packed: int) -> np.float32:
    """Return the float32 score that is stored in a key of `sort_key`."""
    rising = -(packed >> 32)
    return np.int32(rising if rising >= 0 else np.int64(-2147483648) - rising).view(np.float32)


@njit(nogil=True, cache=True)
def by_tile(rows: Int64Array, places: Int64Array, tiles: int) -> tuple[Int64Array, Int64Array]:
    """Group pairs of a row and a place in the catalogue by the tile of the place.

    Args:
        rows, places: int64 [pairs].
        tiles: number of tiles.

    Returns:
        (int64 [tiles + 2], `starts`; int64 [pairs], `flat`). The pairs of tile `t` are
        `flat[starts[t]:starts[t + 1]]`, each given as a position in the flattened scores [rows, TILE] of the
        tile.
    """
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
def forbid(scores: Float32Array, first: int, group: Int32Array, masks: BoolArray, whole: BoolArray) -> None:
    """Replace the scores of recordings that a row's group may not get by MASKED.

    Args:
        scores: float32 [rows, TILE], the scores of a tile; changed in place.
        first: the tile's first column.
        group: int32 [rows], the group of each row.
        masks: bool [groups, recordings], whether the group may get the recording.
        whole: bool [groups], whether the group may get all recordings.
    """
    for u in range(len(scores)):
        if not whole[group[u]]:
            mask = masks[group[u], first : first + TILE]
            for j in range(len(mask)):
                scores[u, j] = scores[u, j] if mask[j] else MASKED


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def raise_cut(
    values: Float32Array, columns: Int32Array, count: np.uint64, width: int
) -> tuple[np.float32, np.uint64]:
    """Find a higher cut for one row, and drop the values below it; at least `width` values stay.

    The cut is found by halving the range of values again and again. Each step counts the values that reach
    the middle, which compiles to vector instructions; a selection algorithm would not.

    Args:
        values: float32, the row's kept scores; changed in place, the values that stay come first.
        columns: int32, the columns of `values`; changed in the same way.
        count: number of kept scores, at least `width`.
        width: the number of values that must stay.

    Returns:
        (the new cut, the number of values that stay).
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


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # without these flags, a maximum compiles to a branch
def keep_above_cut(
    scores: Float32Array,
    hidden: Int64Array,
    first: int,
    width: int,
    cuts: Float32Array,
    counts: Int64Array,
    values: Float32Array,
    columns: Int32Array,
) -> None:
    """Select the scores of a tile that reach the cut of their row, and add them to the row's kept scores.

    Args:
        scores: float32 [rows, TILE], MASKED for recordings that the row must not get.
        hidden: int64, positions in the flattened scores that are to be MASKED first.
        first: the tile's first column.
        width: the number of scores that must stay when a cut is raised.
        cuts: float32 [rows], the cut of each row; changed in place.
        counts: int64 [rows], the number of kept scores of each row; changed in place.
        values: float32 [rows, width + SPARE + TILE + 1], the kept scores; changed in place.
        columns: int32 [rows, width + SPARE + TILE + 1], the columns of `values`; changed in place.
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
        # Write every value, but advance the counter only if the value reaches the cut. The CPU could not
        # predict a branch here.
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
            cuts[u], count = raise_cut(own_values, own_columns, count, width)
            if count > np.uint64(width + SPARE):
                cuts[u], count = LOST, np.uint64(0)
        counts[u] = count


@njit(nogil=True, cache=True)
def rescore_kept(
    x: Float64Array,
    y: Float32Array,
    names: Int32Array,
    width: int,
    cuts: Float32Array,
    counts: Int64Array,
    values: Float32Array,
    columns: Int32Array,
    keys: Int64Array,
) -> int:
    """Compute the sort keys of the kept recordings of each row, from exact scores.

    If a row kept more than `width` scores, its cut is raised first.

    Args:
        x: user factors, float64 [rows, rank].
        y, names: as in `exact_keys`.
        width, cuts, counts, values, columns: as in `keep_above_cut`.
        keys: result, int64 [rows, width + SPARE], not sorted; NOTHING after the last key of a row.

    Returns:
        The largest number of keys in a row.
    """
    most = 0
    for u in range(len(x)):
        if counts[u] > width:
            cuts[u], counts[u] = raise_cut(values[u], columns[u], np.uint64(counts[u]), width)
        exact_keys(x[u], y, names, columns[u, : counts[u]], keys[u])
        most = max(most, counts[u])
    return most


@njit(nogil=True, cache=True)
def unproven_rows(keys: Int64Array, k: int, cuts: Float32Array, error: Float64Array) -> Int64Array:
    """Return the rows in which a dropped recording might belong to the true k best.

    Args:
        keys: int64 [rows, more than k], the sorted keys of the recordings that were kept.
        k: the number of recordings wanted.
        cuts: float32 [rows], the last cut of each row.
        error: float64 [rows], how far a float32 score may be from the exact score.
    """
    out = np.zeros(len(keys), np.bool_)
    for u in range(len(keys)):
        out[u] = cuts[u] > LOWEST and (cuts[u] == LOST or key_score(keys[u, k - 1]) <= cuts[u] + error[u])
    return np.flatnonzero(out)


@njit(nogil=True, cache=True)
def pack(row: Int64Array, idx: Int32Array, score: Float32Array, keys: Int64Array) -> None:
    """Write the `sort_key` of each triple (row, idx, score) to its row of `keys`, from the left.

    The triples are ascending by row. The rest of `keys` stays as it was.
    """
    at, last = 0, -1
    for f in range(len(row)):
        at = at + 1 if row[f] == last else 0
        last = row[f]
        keys[last, at] = sort_key(score[f], idx[f])


@njit(nogil=True, cache=True)
def unpack(
    keys: Int64Array, k: int, first: int, at: int, row: Int64Array, idx: Int32Array, score: Float32Array
) -> int:
    """Write the first k keys of each row as triples to the arrays `row`, `idx` and `score`.

    Args:
        keys: int64 [rows, k or more], keys of `sort_key`, sorted; NOTHING after the last key of a row.
        k: the largest number of keys to write of each row.
        first: the row number of the first row of `keys`.
        at: the position at which the first triple is written.
        row, idx, score: int64, int32 and float32, to fill.

    Returns:
        The position after the last triple.
    """
    for u in range(len(keys)):
        for f in range(k):
            if keys[u, f] == NOTHING:
                break
            row[at], idx[at], score[at] = first + u, keys[u, f] & 0x7FFFFFFF, key_score(keys[u, f])
            at += 1
    return at
