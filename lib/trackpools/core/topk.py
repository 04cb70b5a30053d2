"""Exact top-k by inner product: blocks of users × stripes of recordings, masks inside, ties by idx.

Selection is by a fixed-shape float32 GEMM with a margin; what it selects is scored again by a float64 dot in fixed order,
so the answer does not depend on partitions, cores or which users share a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackpools.errors import ModelError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

CHUNK = 128  # users a GEMM; constant, because another shape may round differently
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
    exact_pairs(x, y, rows, columns, out)
    return out


def best(row: Longs, idx: Ints, score: Floats, k: int) -> Scored:
    """The k best of each row of flat triples; ties by idx."""
    order = np.lexsort((idx, -score, row))
    row, idx, score = row[order], idx[order], score[order]
    first = np.searchsorted(row, row, side="left")
    keep = np.arange(len(row)) - first < k
    return Scored(row[keep], idx[keep], score[keep])


def positions(idx: Ints, values: Ints) -> tuple[NDArray[np.bool_], Longs]:
    """Which values stand in the sorted `idx`, and where."""
    where = np.searchsorted(idx, values)
    there = where < len(idx)
    there[there] = idx[where[there]] == values[there]
    return there, where[there]


def top_k(x: Floats, y: Floats, idx: Ints, masked: Ragged, k: int, *, allowed: Allowed | None = None) -> Scored:
    """The k recordings of largest inner product for each user, of those allowed and not masked.

    A user with fewer than k left gets fewer; a heavy listener costs only himself.

    Args:
        x: user factors [users, rank].
        y: recording factors [recordings, rank].
        idx: recording idx of the rows of `y`, ascending.
        masked: recordings each user must not get.
        allowed: what the user's group may get; None is everything.

    Raises:
        ModelError: where a factor is NaN or infinite.
    """
    from trackpools.core.selection import forbid, select

    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ModelError("factors hold NaN or infinite numbers; train again and look at the loss curve")
    longest = np.sqrt((y.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0))
    error = 2 * x.shape[1] * np.finfo(np.float32).eps * np.linalg.norm(x.astype(np.float64), axis=1) * longest
    scores, workspace = np.empty((CHUNK, len(y)), np.float32), np.empty(CHUNK * len(y) + 1, np.int32)
    columns, best_scores = np.empty((len(x), k), np.int32), np.empty((len(x), k), np.float32)
    for start in range(0, len(x), CHUNK):
        part = slice(start, min(start + CHUNK, len(x)))
        _score(x[part], y, scores)
        masked_rows, values = masked.of(part.start, part.stop)
        there, masked_columns = positions(idx, values)
        scores[masked_rows[there], masked_columns] = -np.inf
        rows = part.stop - part.start
        if allowed is not None:
            forbid(scores[:rows], allowed.group[part], allowed.masks, allowed.masks.all(axis=1))
        select(scores[:rows], x[part], y, k, k + MARGIN, error[part], workspace, columns[part], best_scores[part])
    row, place = np.nonzero(columns >= 0)
    return Scored(row, idx[columns[row, place]], best_scores[row, place])


def _score(x: Floats, y: Floats, scores: Floats) -> None:
    """Scores of up to CHUNK users by a GEMM of always the same shape."""
    padded = x
    if len(x) < CHUNK:
        padded = np.zeros((CHUNK, x.shape[1]), np.float32)
        padded[: len(x)] = x
    np.matmul(padded, y.T, out=scores)


def top_listed(x: Floats, y: Floats, idx: Ints, listed: Ragged, k: int, *, allowed: Allowed | None = None) -> Scored:
    """The k best of each user's own list (what they heard) that are allowed, scored exactly; what `idx` does not hold is passed over."""
    parts: list[Scored] = list(_listed(x, y, idx, listed, k, allowed=allowed))
    if not parts:
        return Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(*(np.concatenate(columns) for columns in zip(*((p.row, p.idx, p.score) for p in parts), strict=True)))


def _listed(x: Floats, y: Floats, idx: Ints, listed: Ragged, k: int, *, allowed: Allowed | None) -> Iterator[Scored]:
    for start in range(0, len(x), CHUNK):
        end = min(start + CHUNK, len(x))
        rows, values = listed.of(start, end)
        there, columns = positions(idx, values)
        rows = rows[there] + start
        if allowed is not None:
            may = allowed.masks[allowed.group[rows], columns]
            rows, columns = rows[may], columns[may]
        yield best(rows, idx[columns], exact_scores(x, y, rows, columns), k)
