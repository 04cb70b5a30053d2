"""Approximate top-k for catalogues where the exact one is slow: faiss finds, we score again.

An index keeps the recordings of a stripe in lists around centres, and of each recording four bits a factor of what it is away from its
centre. A search looks into the lists whose centres suit the user most and brings more than k; those are scored exactly as `topk` does.
Filters never starve a user: what he must not get is left out while the index is searched (groups) or fetched beyond the need (his own).
Who still comes back short is searched in all lists, then exactly; so is who heard very much or whose answer the index is too coarse for: that
costs only himself. Built and searched in one thread with fixed seeds, an index and its answers are the same on machines of one kind, whatever
the partitions and whoever shares a block.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools import extras
from trackpools.core.rescoring import rescore
from trackpools.core.topk import (
    Allowed,
    Catalogue,
    Floats,
    Ints,
    Longs,
    Ragged,
    Scored,
    best,
    best_of,
    positions,
)
from trackpools.core.topk import top_k as exact_top_k
from trackpools.errors import ModelError

Mask = NDArray[np.bool_]
SMALLEST = 1024  # recordings; fewer are searched exactly, and no index is built
LISTS = 1024  # at most; nearly the root of the recordings: centres cost what lists save
SAMPLED = 64  # recordings a centre to train on, and
SWEEPS = 8  # of k-means: more of both cost minutes and gain nothing
EXACT_SHARE = 0.25  # groups that may have less of the stripe are searched exactly in what they may have: it costs no more
DETOUR = 10  # what a market may not have lies together, in the lists of who likes it: so much more reach for each one refused beside one allowed
HEARD = 2  # fetched for each one masked: those lie at the top, and below them the index tells neighbours apart less well
MANY = 1000  # masked recordings; who has more is searched exactly, for fetching enough would cost as much
MISSED = 0.05  # share of the k best that the index's error is estimated to hide; above it the user is searched exactly
TOGETHER = 1024  # users a search
PIECE = 65_536  # recordings that the exact search arranges at a time, which bounds its memory


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Attributes:
        reach: recordings that the lists looked into hold for each one fetched.
        fetch: recordings scored again for each one wanted.
    """

    reach: float
    fetch: float


def library() -> Any:
    """Faiss.

    Raises:
        ConfigError: where it is not installed.
    """
    return extras.library(
        "faiss",
        "approximate top-k needs faiss, which does not import here ({error}); pip install 'trackpools[ann]' on the driver and on every "
        "executor, or raise topk.exact_max above the number of recordings",
    )


def build(y: Floats) -> bytes:
    """The index of recording factors [recordings, rank], in faiss's own format; nothing for few recordings. Call it with one thread.

    Centres are of length one: by inner product a long one would draw everybody.
    """
    n, lists = len(y), LISTS
    if n < SMALLEST:
        return b""
    while lists * lists > n:
        lists //= 2
    faiss = library()
    index = faiss.index_factory(y.shape[1], f"IVF{lists},PQ{y.shape[1]}x4fsr", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = (
        1,
        SWEEPS,
        SAMPLED,
        1,
    )
    index.train(y[np.random.default_rng(1).choice(n, min(n, SAMPLED * lists), replace=False)])
    index.add(y)
    return bytes(faiss.serialize_index(index))


def load(data: Any) -> Any:
    """The index of `build`; None where there is none."""
    return library().deserialize_index(np.frombuffer(data, np.uint8)) if len(data) else None


def exact(
    x: Floats, y: Floats, idx: Ints, masked: Ragged, k: int, *, allowed: Allowed | None = None
) -> Scored:
    """`topk.top_k` of a stripe of any size, in pieces of one size."""
    parts = []
    for start in range(0, len(y), PIECE):
        part = slice(start, start + PIECE)
        masks = (
            None if allowed is None else Allowed(allowed.group, np.ascontiguousarray(allowed.masks[:, part]))
        )
        parts.append(exact_top_k(x, y[part], idx[part], masked, k, allowed=masks))
    whole = _joined(parts)
    return best(whole.row, whole.idx, whole.score, k) if len(parts) > 1 else whole


def top_k(
    x: Floats,
    y: Floats,
    idx: Ints,
    masked: Ragged,
    k: int,
    *,
    index: Any,
    effort: Effort | None,
    allowed: Allowed | None = None,
    whole: Catalogue | None = None,
) -> Scored:
    """Nearly the k recordings of largest inner product for each user, of those allowed and not masked; exactly k where there are as many.

    Args:
        x, y, idx, masked, k, allowed: as `topk.top_k` takes them.
        index: of `load`, for `y`; without it or `effort` the search is exact.
        whole: of `y` and `idx`, where it is kept for many searches: whoever is searched exactly then does not wait until it is arranged.

    Raises:
        ModelError: where a factor is NaN or infinite.
    """

    def exactly(x: Floats, masked: Ragged, allowed: Allowed | None) -> Scored:
        return (
            exact(x, y, idx, masked, k, allowed=allowed)
            if whole is None
            else best_of(whole, x, masked, k, allowed=allowed)
        )

    if index is None or effort is None:
        return exactly(x, masked, allowed)
    if not (np.isfinite(x).all() and (np.isfinite(y).all() if whole is None else np.isfinite(whole.longest))):
        raise ModelError("factors hold NaN or infinite numbers; train again and look at the loss curve")
    search, parts, left = _Search(index, y, idx, k, effort), [], []
    for group in [0] if allowed is None else np.unique(allowed.group):
        rows = np.arange(len(x)) if allowed is None else np.flatnonzero(allowed.group == group)
        may = None if allowed is None or allowed.masks[group].all() else allowed.masks[group]
        if may is not None and may.mean() < EXACT_SHARE:
            alone, own = Allowed(np.zeros(len(rows), np.int32), may[None]), masked.pick(rows)
            # what is arranged for this one search had better be small
            got, short = (
                exact(x[rows], y[may], idx[may], own, k) if whole is None else exactly(x[rows], own, alone),
                rows[:0],
            )
        else:
            got, short = search.found(x[rows], masked.pick(rows), may)
        parts.append(Scored(rows[got.row], got.idx, got.score))
        left.append(rows[short])
    rest = np.concatenate(left)  # all of them together, for an exact search arranges the recordings first
    if len(rest):
        theirs = None if allowed is None else Allowed(allowed.group[rest], allowed.masks)
        got = exactly(x[rest], masked.pick(rest), theirs)
        parts.append(Scored(rest[got.row], got.idx, got.score))
    every = _joined(parts)
    order = np.argsort(every.row, kind="stable")
    return Scored(every.row[order], every.idx[order], every.score[order])


@dataclass(frozen=True)
class _Search:
    """A stripe, its index, and how many are wanted."""

    index: Any
    y: Floats
    idx: Ints
    k: int
    effort: Effort

    def found(self, x: Floats, masked: Ragged, may: Mask | None) -> tuple[Scored, Longs]:
        """For users of one group, who may have `may` (bool [recordings]; None is everything); and who is left to be searched exactly.

        Who heard more is searched with others who did, for as much more; left are those who heard too much or come back short.
        """
        inside = _inside(self.idx, masked)
        columns, scores = np.full((len(x), self.k), -1, np.int32), np.empty((len(x), self.k), np.float32)
        want, heard = self.effort.fetch * self.k, np.diff(inside.offsets)
        steps = np.where(heard <= MANY, np.ceil(2 * np.log2((want + HEARD * heard) / want)), -1)
        for step in np.unique(steps[steps >= 0]):
            same = np.flatnonzero(steps == step)
            for some in np.array_split(same, range(TOGETHER, len(same), TOGETHER)):
                columns[some], scores[some] = self._rescored(
                    x[some], inside.pick(some), int(np.ceil(want * 2 ** (step / 2))), may
                )
        short = np.flatnonzero(columns[:, -1] < 0)
        short = short[(columns[short] >= 0).sum(axis=1) < _left(inside.pick(short), len(self.y), may)]
        columns[short] = -1
        row, place = np.nonzero(columns >= 0)
        return Scored(row, self.idx[columns[row, place]], scores[row, place]), short

    def _rescored(
        self, x: Floats, inside: Ragged, width: int, may: Mask | None
    ) -> tuple[NDArray[np.int32], Floats]:
        """Columns and scores [users, k] of the best of `width` fetched that are not masked; −1 beyond what was found."""
        faiss, lists, width = library(), self.index.nlist, min(width, len(self.y))
        chosen = {} if may is None else {"sel": faiss.IDSelectorBitmap(np.packbits(may, bitorder="little"))}
        share = 1.0 if may is None else float(may.mean())
        reach = self.effort.reach * width * (1 + DETOUR * (1 - share) / share)
        probes = int(np.ceil(lists * min(1.0, reach / len(self.y))))
        seen, found = self.index.search(x, width, params=faiss.SearchParametersIVF(nprobe=probes, **chosen))
        short = found[:, -1] < 0
        if probes < lists and short.any():
            seen[short], found[short] = self.index.search(
                x[short], width, params=faiss.SearchParametersIVF(nprobe=lists, **chosen)
            )
        columns, scores = np.empty((len(x), self.k), np.int32), np.empty((len(x), self.k), np.float32)
        met = np.full(len(self.y), -1, np.int32)
        missed = np.empty(len(x))
        rescore(
            x.astype(np.float64),
            self.y,
            found,
            inside.offsets,
            inside.values,
            met,
            seen,
            columns,
            scores,
            missed,
        )
        columns[missed > MISSED] = -1
        return columns, scores


def _left(inside: Ragged, recordings: int, may: Mask | None) -> Longs:
    """How many recordings each user may have that are not masked."""
    rows = np.repeat(np.arange(len(inside.offsets) - 1), np.diff(inside.offsets))
    rows = rows if may is None else rows[may[inside.values]]
    return (recordings if may is None else int(may.sum())) - np.bincount(
        rows, minlength=len(inside.offsets) - 1
    )


def _inside(idx: Ints, masked: Ragged) -> Ragged:
    """Masked recordings as columns of the stripe; those it does not hold are left out."""
    there, columns = positions(idx, masked.values)
    return Ragged(np.concatenate([[0], np.cumsum(there)])[masked.offsets], columns.astype(np.int32))


def _joined(parts: list[Scored]) -> Scored:
    none = Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(
        *(
            np.concatenate([getattr(part, name) for part in (none, *parts)])
            for name in ("row", "idx", "score")
        )
    )
