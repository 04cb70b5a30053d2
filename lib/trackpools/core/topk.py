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
PAIRS = 1 << 18  # rows of one exact re-scoring: 256 k × rank × 8 bytes × 2


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
class Scored:
    """The result: user row, recording idx and score, by row, then score descending, then idx."""

    row: Longs
    idx: Ints
    score: Floats


def exact_scores(x: Floats, y: Floats, rows: Longs, columns: Longs) -> Floats:
    """x[rows]·y[columns] pair by pair in float64, in an order that depends on the rank alone."""
    out = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), PAIRS):
        part = slice(start, start + PAIRS)
        out[part] = np.add.reduce(x[rows[part]].astype(np.float64) * y[columns[part]], axis=1)
    return out


def best(row: Longs, idx: Ints, score: Floats, k: int) -> Scored:
    """The k best of each row of flat triples; ties by idx."""
    order = np.lexsort((idx, -score, row))
    row, idx, score = row[order], idx[order], score[order]
    first = np.searchsorted(row, row, side="left")
    keep = np.arange(len(row)) - first < k
    return Scored(row[keep], idx[keep], score[keep])


def _positions(idx: Ints, values: Ints) -> tuple[NDArray[np.bool_], Longs]:
    """Which values stand in the sorted `idx`, and where."""
    where = np.searchsorted(idx, values)
    there = where < len(idx)
    there[there] = idx[where[there]] == values[there]
    return there, where[there]


def top_k(x: Floats, y: Floats, idx: Ints, masked: Ragged, k: int) -> Scored:
    """The k recordings of largest inner product for each user, without the masked ones.

    A user with fewer than k left gets fewer; a heavy listener costs only himself.

    Args:
        x: user factors [users, rank].
        y: recording factors [recordings, rank].
        idx: recording idx of the rows of `y`, ascending.
        masked: recordings each user must not get.

    Raises:
        ModelError: where a factor is NaN or infinite.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ModelError("factors hold NaN or infinite numbers; train again and look at the loss curve")
    parts = [_chunk(x[start : start + CHUNK], y, idx, masked, start=start, k=k) for start in range(0, len(x), CHUNK)]
    if not parts:
        return Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(*(np.concatenate(columns) for columns in zip(*((p.row, p.idx, p.score) for p in parts), strict=True)))


def _chunk(x: Floats, y: Floats, idx: Ints, masked: Ragged, *, start: int, k: int) -> Scored:
    users, recordings = len(x), len(y)
    padded = np.zeros((CHUNK, x.shape[1]), np.float32)
    padded[:users] = x
    scores = (padded @ y.T)[:users]
    mask_row, mask_value = masked.of(start, start + users)
    there, mask_column = _positions(idx, mask_value)
    scores[mask_row[there], mask_column] = -np.inf
    width = min(recordings, k + MARGIN)
    if width < recordings:
        columns = np.argpartition(scores, recordings - width, axis=1)[:, recordings - width :]
        cut = np.take_along_axis(scores, columns, axis=1).min(axis=1)
    else:
        columns = np.broadcast_to(np.arange(recordings), (users, recordings))
        cut = np.full(users, -np.inf, np.float32)
    rows = np.repeat(np.arange(users), width)
    columns = columns.ravel()
    allowed = scores[rows, columns] > -np.inf
    rows, columns = rows[allowed], columns[allowed]
    found = best(rows, idx[columns], exact_scores(x, y, rows, columns), k)
    unsure = _unsure(found, x, y, cut, k)
    if len(unsure):
        found = _rescored(found, unsure, scores, x=x, y=y, idx=idx, k=k)
    return Scored(found.row + start, found.idx, found.score)


def _unsure(found: Scored, x: Floats, y: Floats, cut: Floats, k: int) -> Longs:
    """Users whose k-th exact score is so near the float32 cut that one outside may belong inside."""
    longest = np.sqrt((y.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0))
    error = 2 * x.shape[1] * np.finfo(np.float32).eps * np.linalg.norm(x.astype(np.float64), axis=1) * longest
    end = np.searchsorted(found.row, np.arange(len(x)), side="right")
    full = end - np.searchsorted(found.row, np.arange(len(x)), side="left") >= k
    kth = np.where(full, found.score[np.maximum(end - 1, 0)] if len(found.score) else 0.0, -np.inf)
    return np.flatnonzero((cut > -np.inf) & (kth <= cut + error))


def _rescored(found: Scored, unsure: Longs, scores: Floats, *, x: Floats, y: Floats, idx: Ints, k: int) -> Scored:
    """Score every allowed recording of the unsure users exactly; ties and all-zero factors end here."""
    sure = ~np.isin(found.row, unsure)
    parts = [(found.row[sure], found.idx[sure], found.score[sure])]
    for user in unsure:
        columns = np.flatnonzero(scores[user] > -np.inf)
        rows = np.full(len(columns), user)
        one = best(rows, idx[columns], exact_scores(x, y, rows, columns), k)
        parts.append((one.row, one.idx, one.score))
    row, rec, score = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return best(row, rec, score, k)


def top_listed(x: Floats, y: Floats, idx: Ints, listed: Ragged, k: int) -> Scored:
    """The k best of each user's own list (what they heard), scored exactly; listed recordings absent from `idx` are passed over."""
    parts: list[Scored] = list(_listed(x, y, idx, listed, k))
    if not parts:
        return Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(*(np.concatenate(columns) for columns in zip(*((p.row, p.idx, p.score) for p in parts), strict=True)))


def _listed(x: Floats, y: Floats, idx: Ints, listed: Ragged, k: int) -> Iterator[Scored]:
    for start in range(0, len(x), CHUNK):
        end = min(start + CHUNK, len(x))
        rows, values = listed.of(start, end)
        there, columns = _positions(idx, values)
        rows = rows[there] + start
        yield best(rows, idx[columns], exact_scores(x, y, rows, columns), k)
