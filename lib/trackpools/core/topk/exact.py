"""Exact top-k: the recordings of largest inner product with each user of a block.

Of two recordings with equal scores, the one with the lower idx is better. The search has three steps:

1. A float32 matrix product scores all recordings. Of those that the user may get, somewhat more than k of the
   best are selected.
2. The selected recordings are scored again by a float64 dot product in fixed order.
3. If these scores do not prove that the selection holds a user's true k best, all recordings are scored in
   float64 for that user.

So the result does not depend on partitions, cores or which users are searched together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackpools.core.arrays.array_types import Float32Array, FloatArray, Int32Array, Int64Array, IntArray
from trackpools.errors import ModelError

CHUNK = 256  # users in one matrix product
# Recordings that are selected beyond k, so that rounding to float32 rarely pushes one of the true k best out.
MARGIN = 32


@dataclass(frozen=True)
class Ragged:
    """Lists of ints, one for each user.

    Attributes:
        offsets: int64 [users + 1]; the list of user `u` is `values[offsets[u]:offsets[u + 1]]`.
        values: int32, the lists of all users, one after another.
    """

    offsets: Int64Array
    values: Int32Array

    def of(self, start: int, end: int) -> tuple[Int64Array, Int32Array]:
        """Return the entries of the lists `start:end`: their row numbers minus `start`, and their values."""
        sizes = np.diff(self.offsets[start : end + 1])
        return np.repeat(np.arange(end - start), sizes), self.values[self.offsets[start] : self.offsets[end]]

    def pick(self, rows: Int64Array) -> "Ragged":
        """Return the lists of the users at positions `rows`, in the order of `rows`."""
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return Ragged(offsets, self.values[at])


@dataclass(frozen=True)
class Allowed:
    """The recordings that users may get, by group (for example a market, with or without explicit tracks).

    Attributes:
        group: int32 [users], the user's group, which is a row of `masks`.
        masks: bool [groups, recordings], whether the group may get the recording, ascending by recording idx.
    """

    group: Int32Array
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """The result of a top-k: three arrays with one element for each user × recording that was found.

    They are ordered by row, then score descending, then idx ascending.

    Attributes:
        row: int64, the user's row in the factors that were searched for.
        idx: int32, the recording's idx.
        score: float32, the inner product of their factors.
    """

    row: Int64Array
    idx: Int32Array
    score: Float32Array


def exact_scores(x: Float32Array, y: Float32Array, rows: Int64Array, columns: Int64Array) -> Float32Array:
    """Return the inner products of pairs, computed in float64 and rounded to float32.

    The order in which products are added depends only on the rank and on the width of the CPU's vectors.

    Args:
        x: user factors [users, rank].
        y: recording factors [recordings, rank].
        rows, columns: int64 [pairs], the rows of `x` and of `y` of each pair.
    """
    from trackpools.core.topk.selection_kernels import exact_pairs

    out = np.empty(len(rows), np.float32)
    exact_pairs(x.astype(np.float64), y, rows, columns, out)
    return out


def top_k_of_scores(row: Int64Array, idx: Int32Array, score: Float32Array, k: int) -> Scored:
    """Return, for each row, the k triples (row, idx, score) of greatest score; ties go to the lower idx."""
    kept = top_k_rows(row, score, idx, k)
    return Scored(row[kept], idx[kept], score[kept])


def top_k_rows(row: Int64Array, score: FloatArray, tie: IntArray, k: int) -> Int64Array:
    """Return the positions of the k greatest scores of each row.

    The positions are ordered by row, then score descending, then tie ascending.
    """
    order = np.lexsort((tie, -score, row))
    sorted_ = row[order]
    chosen: Int64Array = order[np.arange(len(order)) - np.searchsorted(sorted_, sorted_, side="left") < k]
    return chosen


def find_positions(idx: Int32Array, values: IntArray) -> tuple[NDArray[np.bool_], Int64Array]:
    """Find values in the ascending array `idx`.

    Returns:
        (bool [values], whether `idx` holds the value; int64, the positions in `idx` of the values that it
        holds, in their order).
    """
    if len(idx) and int(idx[-1]) - int(idx[0]) == len(idx) - 1:  # most arrays of idx have no gaps
        there = (values >= idx[0]) & (values <= idx[-1])
        return there, values[there].astype(np.int64) - int(idx[0])
    where = np.searchsorted(idx, values)
    there = where < len(idx)
    there[there] = idx[where[there]] == values[there]
    return there, where[there]


def top_k(
    x: Float32Array,
    y: Float32Array,
    idx: Int32Array,
    masked: Ragged,
    k: int,
    *,
    allowed: Allowed | None = None,
) -> Scored:
    """Return the result of `top_k_in_catalogue`, for recordings that are searched only once.

    Args:
        x, masked, k, allowed: as in `top_k_in_catalogue`.
        y: recording factors, float32 [recordings, rank].
        idx: int32, the recording idx of the rows of `y`, ascending.
    """
    return top_k_in_catalogue(SortedCatalogue.of(y, idx), x, masked, k, allowed=allowed)


def top_k_in_catalogue(
    catalogue: "SortedCatalogue", x: Float32Array, masked: Ragged, k: int, *, allowed: Allowed | None = None
) -> Scored:
    """Return, for each user, the k allowed and unmasked recordings of largest inner product.

    A user gets fewer than k only if fewer are allowed and unmasked. A user with a long list of masked
    recordings does not slow down the search for the other users.

    Args:
        catalogue: the recordings.
        x: user factors, float32 [users, rank].
        masked: the idx of the recordings that each user must not get; idx outside the catalogue are ignored.
        k: greatest number of recordings to return for each user.
        allowed: the recordings that each user's group may get; None if all users may get all.

    Raises:
        ModelError: if a factor is NaN, infinite or so large that a score overflows.
    """
    from trackpools.core.topk.selection_kernels import unpack

    k, masks, numbers = min(k, len(catalogue.idx)), catalogue.masks(allowed), np.finfo(np.float32)
    lengths = _lengths(x)
    if not float(lengths.max(initial=0)) * catalogue.longest < float(numbers.max) / 2:
        raise ModelError(
            "the factors hold NaN, infinite or enormous numbers; train again with a higher train.reg or a lower train.alpha. "
            "The metric `loss` of the training's run in MLflow shows how the training went"
        )
    error = x.shape[1] * (2 * numbers.eps * catalogue.longest * lengths + numbers.tiny)
    made = Scored(
        np.empty(len(x) * k, np.int64), np.empty(len(x) * k, np.int32), np.empty(len(x) * k, np.float32)
    )
    found = 0
    for start in range(0, len(x), CHUNK):
        part = slice(start, min(start + CHUNK, len(x)))
        rows, values = masked.of(part.start, part.stop)
        there, columns = find_positions(catalogue.ascending_idx, values)
        group = None if allowed is None else allowed.group[part]
        keys = _best_keys(
            x[part],
            catalogue,
            (rows[there], catalogue.place[columns]),
            (group, *masks),
            k=k,
            error=error[part],
        )
        found = unpack(keys, k, start, found, made.row, made.idx, made.score)
    return Scored(made.row[:found], made.idx[:found], made.score[:found])


@dataclass(frozen=True)
class SortedCatalogue:
    """Recordings sorted by the Euclidean length of their factors, longest first.

    In this order the best scores are found early, so few of the later scores must be kept.

    Attributes:
        longest: the greatest length; NaN if a factor is NaN.
        ascending_idx: int32, the recordings' idx, ascending.
        idx: int32, the recordings' idx, in the order of this catalogue.
        order: int64, for each place in this catalogue, the recording's position in `ascending_idx`.
        place: int64, for each position in `ascending_idx`, the recording's place in this catalogue.
        y: factors, float32 [recordings, rank], in the order of this catalogue.
        tiles: the transpose of `y` in parts, float32 [rank, TILE] each; the last part may be narrower.
    """

    longest: float
    ascending_idx: Int32Array
    idx: Int32Array
    order: Int64Array
    place: Int64Array
    y: Float32Array
    tiles: list[Float32Array]

    @staticmethod
    def of(y: Float32Array, idx: Int32Array) -> "SortedCatalogue":
        """Sort recordings by length.

        Args:
            y: recording factors, float32 [recordings, rank].
            idx: int32, the recording idx of the rows of `y`, ascending.
        """
        from trackpools.core.topk.selection_kernels import TILE

        lengths = _lengths(y)
        order = np.argsort(-lengths, kind="stable")
        ordered = y[order]
        tiles = [np.ascontiguousarray(ordered[first : first + TILE].T) for first in range(0, len(y), TILE)]
        return SortedCatalogue(
            float(lengths.max(initial=0)), idx, idx[order], order, np.argsort(order), ordered, tiles
        )

    def masks(self, allowed: Allowed | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the masks of `allowed`, reordered for this catalogue, and whether each allows everything.

        Without `allowed`, there is one mask, which allows everything.
        """
        masks = (
            np.ones((1, len(self.idx)), np.bool_)
            if allowed is None
            else np.ascontiguousarray(allowed.masks[:, self.order])
        )
        return masks, np.asarray(masks.all(axis=1))


def _lengths(factors: Float32Array) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
    return np.sqrt(squares)


def _best_keys(
    x: Float32Array,
    catalogue: SortedCatalogue,
    hidden: tuple[Int64Array, Int64Array],
    allowed: tuple[Int32Array | None, NDArray[np.bool_], NDArray[np.bool_]],
    *,
    k: int,
    error: NDArray[np.float64],
) -> Int64Array:
    """Return the sort keys of each user's best recordings, best first.

    Args:
        x: factors of up to CHUNK users, float32 [users, rank].
        catalogue: the recordings.
        hidden: (row numbers, places in the catalogue) of the recordings that the users must not get.
        allowed: the group of each user (None without groups), and the result of `SortedCatalogue.masks`.
        k: the number of recordings wanted.
        error: how far a float32 score may be from the exact one, float64 [users].

    Returns:
        int64 [users, more than k], as `selection_kernels.sort_key` defines. The first k keys of each user are
        the true k best; keys are NOTHING after the user's last recording.
    """
    from trackpools.core.topk import selection_kernels as of

    users, width, count, wide = len(x), k + MARGIN, len(catalogue.idx), x.astype(np.float64)
    group, masks, whole = allowed
    scores = np.empty((users, of.TILE), np.float32)
    cuts, counts = np.full(users, of.LOWEST), np.zeros(users, np.int64)
    size = (users, width + of.SPARE + of.TILE + 1)
    values, columns = np.empty(size, np.float32), np.empty(size, np.int32)
    starts, flat = of.by_tile(*hidden, len(catalogue.tiles))
    for number, tile in enumerate(catalogue.tiles):
        np.matmul(x, tile, out=scores[:, : tile.shape[1]])
        scores[:, tile.shape[1] :] = -np.inf
        if group is not None:
            of.forbid(scores, number * of.TILE, group, masks, whole)
        of.keep_above_cut(
            scores,
            flat[starts[number] : starts[number + 1]],
            number * of.TILE,
            width,
            cuts,
            counts,
            values,
            columns,
        )
    keys = np.empty((users, width + of.SPARE), np.int64)
    most = of.rescore_kept(wide, catalogue.y, catalogue.idx, width, cuts, counts, values, columns, keys)
    keys[:, :most].sort(axis=1)
    for user in of.unproven_rows(keys, k, cuts, error):
        may = np.ones(count, np.bool_) if group is None else masks[group[user]].copy()
        may[hidden[1][hidden[0] == user]] = False
        every = np.empty(count, np.int64)
        of.exact_keys(wide[user], catalogue.y, catalogue.idx, np.flatnonzero(may), every)
        keys[user, :k] = np.sort(every)[:k]
    return keys


def top_k_of_lists(
    x: Float32Array,
    y: Float32Array,
    idx: Int32Array,
    listed: Ragged,
    k: int,
    *,
    allowed: Allowed | None = None,
) -> Scored:
    """Return the k best allowed recordings from each user's own list, such as the heard recordings.

    The scores are exact, as in `top_k`.

    Args:
        x: user factors, float32 [users, rank].
        y: recording factors, float32 [recordings, rank].
        idx: int32, the recording idx of the rows of `y`, ascending.
        listed: the idx of the recordings in each user's list; those that `idx` lacks are ignored.
        k: greatest number of recordings to return for each user.
        allowed: the recordings that each user's group may get; None if all users may get all.
    """
    parts: list[Scored] = list(_listed(x, y, idx, listed, k, allowed=allowed))
    if not parts:
        return Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(
        *(np.concatenate(columns) for columns in zip(*((p.row, p.idx, p.score) for p in parts), strict=True))
    )


def _listed(
    x: Float32Array, y: Float32Array, idx: Int32Array, listed: Ragged, k: int, *, allowed: Allowed | None
) -> Iterator[Scored]:
    for start in range(0, len(x), CHUNK):
        end = min(start + CHUNK, len(x))
        rows, values = listed.of(start, end)
        there, columns = find_positions(idx, values)
        rows = rows[there] + start
        if allowed is not None:
            may = allowed.masks[allowed.group[rows], columns]
            rows, columns = rows[may], columns[may]
        yield top_k_of_scores(rows, idx[columns], exact_scores(x[start:end], y, rows - start, columns), k)
