"""Exact top-k by inner product: blocks of users × stripes of recordings, masks inside, ties by idx.

Selection is by a float32 GEMM, with a margin; what it selects is scored again by a float64 dot in fixed order, and a user of whom the margin
does not prove the selection is scored whole. So the answer does not depend on partitions, cores or which users share a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.errors import ModelError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

CHUNK = 256  # users a GEMM
MARGIN = 32  # selected beyond k, so that float32 rounding cannot push a true member out


@dataclass(frozen=True)
class Ragged:
    """Lists of ints, one a user: `values[offsets[u]:offsets[u + 1]]`."""

    offsets: Longs
    values: Ints

    def of(self, start: int, end: int) -> tuple[Longs, Ints]:
        """Row numbers (from `start`) and values of rows start…end."""
        sizes = np.diff(self.offsets[start : end + 1])
        return np.repeat(np.arange(end - start), sizes), self.values[self.offsets[start] : self.offsets[end]]

    def pick(self, rows: Longs) -> "Ragged":
        """The lists of these rows, in their order."""
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return Ragged(offsets, self.values[at])


@dataclass(frozen=True)
class Allowed:
    """What users may get at all, by the group they are of (a market, with or without explicit tracks).

    Attributes:
        group: int32 [users].
        masks: bool [groups, recordings], in the order of `idx`.
    """

    group: Ints
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """The result: user row, recording idx and score, by row, then score descending, then idx."""

    row: Longs
    idx: Ints
    score: Floats


def exact_scores(x: Floats, y: Floats, rows: Longs, columns: Longs) -> Floats:
    """x[rows]·y[columns] pair by pair in float64, in an order that depends on the rank and on the width of the CPU's vectors."""
    from trackpools.core.selection import exact_pairs

    out = np.empty(len(rows), np.float32)
    exact_pairs(x.astype(np.float64), y, rows, columns, out)
    return out


def best(row: Longs, idx: Ints, score: Floats, k: int) -> Scored:
    """The k best of each row of flat triples; ties by idx."""
    kept = leading(row, score, idx, k)
    return Scored(row[kept], idx[kept], score[kept])


def leading(row: Longs, score: NDArray[Any], tie: NDArray[Any], k: int) -> Longs:
    """Places of the k greatest scores of each row, by row, then score descending, then tie ascending."""
    order = np.lexsort((tie, -score, row))
    sorted_ = row[order]
    chosen: Longs = order[np.arange(len(order)) - np.searchsorted(sorted_, sorted_, side="left") < k]
    return chosen


def positions(idx: Ints, values: Ints) -> tuple[NDArray[np.bool_], Longs]:
    """Which values stand in the sorted `idx`, and where."""
    if len(idx) and int(idx[-1]) - int(idx[0]) == len(idx) - 1:  # without gaps, as most are
        there = (values >= idx[0]) & (values <= idx[-1])
        return there, values[there].astype(np.int64) - int(idx[0])
    where = np.searchsorted(idx, values)
    there = where < len(idx)
    there[there] = idx[where[there]] == values[there]
    return there, where[there]


def top_k(
    x: Floats, y: Floats, idx: Ints, masked: Ragged, k: int, *, allowed: Allowed | None = None
) -> Scored:
    """`best_of` a catalogue that is asked once: recording factors `y` [recordings, rank], and the recording idx of its rows, ascending."""
    return best_of(Catalogue.of(y, idx), x, masked, k, allowed=allowed)


def best_of(
    catalogue: "Catalogue", x: Floats, masked: Ragged, k: int, *, allowed: Allowed | None = None
) -> Scored:
    """The k recordings of largest inner product for each user, of those allowed and not masked.

    A user with fewer than k left gets fewer; a heavy listener costs only himself.

    Args:
        catalogue: the recordings.
        x: user factors [users, rank].
        masked: recordings each user must not get.
        allowed: what the user's group may get; None is everything.

    Raises:
        ModelError: where a factor is NaN, infinite or so large that a score overflows.
    """
    from trackpools.core.selection import unpack

    k, masks, numbers = min(k, len(catalogue.idx)), catalogue.masks(allowed), np.finfo(np.float32)
    lengths = _lengths(x)
    if not float(lengths.max(initial=0)) * catalogue.longest < float(numbers.max) / 2:
        raise ModelError(
            "factors hold NaN, infinite or enormous numbers; train again and look at the loss curve"
        )
    error = x.shape[1] * (2 * numbers.eps * catalogue.longest * lengths + numbers.tiny)
    made = Scored(
        np.empty(len(x) * k, np.int64), np.empty(len(x) * k, np.int32), np.empty(len(x) * k, np.float32)
    )
    found = 0
    for start in range(0, len(x), CHUNK):
        part = slice(start, min(start + CHUNK, len(x)))
        rows, values = masked.of(part.start, part.stop)
        there, columns = positions(catalogue.known, values)
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
class Catalogue:
    """Recordings by falling length: those of the best scores come early, and few of the others reach the cut.

    Attributes:
        longest: the largest length; NaN where a factor is.
        known: idx as given, ascending.
        idx: by place.
        order, place: which row as given stands at a place, and the place of each row.
        y: factors by place.
        tiles: the same, transposed, TILE recordings each.
    """

    longest: float
    known: Ints
    idx: Ints
    order: Longs
    place: Longs
    y: Floats
    tiles: list[Floats]

    @staticmethod
    def of(y: Floats, idx: Ints) -> "Catalogue":
        """Of recording factors [recordings, rank] and the recording idx of the rows, ascending."""
        from trackpools.core.selection import TILE

        lengths = _lengths(y)
        order = np.argsort(-lengths, kind="stable")
        ordered = y[order]
        tiles = [np.ascontiguousarray(ordered[first : first + TILE].T) for first in range(0, len(y), TILE)]
        return Catalogue(
            float(lengths.max(initial=0)), idx, idx[order], order, np.argsort(order), ordered, tiles
        )

    def masks(self, allowed: Allowed | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """What groups may get, by place, and of each group whether that is everything."""
        masks = (
            np.ones((1, len(self.idx)), np.bool_)
            if allowed is None
            else np.ascontiguousarray(allowed.masks[:, self.order])
        )
        return masks, np.asarray(masks.all(axis=1))


def _lengths(factors: Floats) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
    return np.sqrt(squares)


def _best_keys(
    x: Floats,
    catalogue: Catalogue,
    hidden: tuple[Longs, Longs],
    allowed: tuple[Ints | None, Any, Any],
    *,
    k: int,
    error: Any,
) -> Longs:
    """Keys of each user's best, k at least where he has as many, best first.

    Args:
        x: factors of up to CHUNK users.
        catalogue: the recordings.
        hidden: row numbers and places of what the users must not get.
        allowed: group of each user where there are groups, and of `Catalogue.masks` what they may get.
        k: how many are wanted.
        error: how far a float32 score may be from the exact one, float64 [users].
    """
    from trackpools.core import selection as of

    users, width, count, wide = len(x), k + MARGIN, len(catalogue.idx), x.astype(np.float64)
    group, masks, whole = allowed
    scores = np.empty((users, of.TILE), np.float32)
    cuts, counts = np.full(users, of.LOWEST), np.zeros(users, np.int64)
    values, columns = (
        np.empty((users, width + of.SPARE + of.TILE + 1), kind) for kind in (np.float32, np.int32)
    )
    starts, flat = of.by_tile(*hidden, len(catalogue.tiles))
    for number, tile in enumerate(catalogue.tiles):
        np.matmul(x, tile, out=scores[:, : tile.shape[1]])
        scores[:, tile.shape[1] :] = -np.inf
        if group is not None:
            of.forbid(scores, number * of.TILE, group, masks, whole)
        of.keep(
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
    most = of.rescore(wide, catalogue.y, catalogue.idx, width, cuts, counts, values, columns, keys)
    keys[:, :most].sort(axis=1)
    for user in of.doubtful(keys, k, cuts, error):
        may = np.ones(count, np.bool_) if group is None else masks[group[user]].copy()
        may[hidden[1][hidden[0] == user]] = False
        every = np.empty(count, np.int64)
        of.exact_keys(wide[user], catalogue.y, catalogue.idx, np.flatnonzero(may), every)
        keys[user, :k] = np.sort(every)[:k]
    return keys


def top_listed(
    x: Floats, y: Floats, idx: Ints, listed: Ragged, k: int, *, allowed: Allowed | None = None
) -> Scored:
    """The k best of each user's own list (what they heard) that are allowed, scored exactly; what `idx` does not hold is passed over."""
    parts: list[Scored] = list(_listed(x, y, idx, listed, k, allowed=allowed))
    if not parts:
        return Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(
        *(np.concatenate(columns) for columns in zip(*((p.row, p.idx, p.score) for p in parts), strict=True))
    )


def _listed(
    x: Floats, y: Floats, idx: Ints, listed: Ragged, k: int, *, allowed: Allowed | None
) -> Iterator[Scored]:
    for start in range(0, len(x), CHUNK):
        end = min(start + CHUNK, len(x))
        rows, values = listed.of(start, end)
        there, columns = positions(idx, values)
        rows = rows[there] + start
        if allowed is not None:
            may = allowed.masks[allowed.group[rows], columns]
            rows, columns = rows[may], columns[may]
        yield best(rows, idx[columns], exact_scores(x[start:end], y, rows - start, columns), k)
