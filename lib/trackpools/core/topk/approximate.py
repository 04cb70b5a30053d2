"""Approximate top-k for large catalogues: faiss finds recordings, and these are then scored exactly.

An index covers a stripe, which is a part of the catalogue. The index has centres, each with a list. It puts
each recording into the list of the centre with which the recording's factors have the largest inner product,
and stores the difference between factors and centre with four bits for each factor.
A search reads the lists whose centres have the largest inner products with the user's factors. It fetches
more than k recordings from them, and these are scored as in `topk.exact`.

Filters do not leave a user with too few recordings. While the index is searched, recordings that the user's
group must not get are skipped. The user's own masked recordings are removed afterwards, so more recordings
are fetched to replace them. If the index yields fewer recordings than it was asked for, all its lists are
searched.

Some users are searched exactly instead, which costs time for these users alone: users who still get too few
recordings, users with very many masked recordings, users of a group that may get only a small share of the
stripe, and users for whom the four bits are estimated to hide too many of the true best.

An index is built and searched in one thread with fixed seeds. So the index and its results are equal on
machines of one kind. They depend neither on partitions nor on which users are searched together.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trackpools import optional_packages
from trackpools.core.arrays.array_types import BoolArray, Float32Array, Int32Array, Int64Array
from trackpools.core.topk.exact import (
    Allowed,
    Ragged,
    Scored,
    SortedCatalogue,
    find_positions,
    top_k_in_catalogue,
    top_k_of_scores,
)
from trackpools.core.topk.exact import top_k as exact_top_k
from trackpools.core.topk.rescore_kernel import rescore_found
from trackpools.errors import ModelError

# Fewer recordings than this are searched exactly, and no index is built.
SMALLEST = 1024
# The largest number of lists. An index of n recordings has the largest power of two up to √n as its number of
# lists, but at most this. With more lists, comparing users with centres would cost more than short lists
# save.
MAX_LISTS = 1024
# The centres are computed by k-means, from this many recordings for each centre, in this many iterations.
# More of either costs minutes and gains nothing.
SAMPLED = 64
SWEEPS = 8
# A group that may get a smaller share of the stripe is searched exactly, which costs no more in so few
# recordings.
EXACT_SHARE = 0.25
# The recordings that a market must not get are often together in the same lists, those of the users who like
# them. So more lists are read: the reach (see `SearchEffort`) is multiplied by 1 + DETOUR × refused / allowed
# recordings.
DETOUR = 10
# More recordings to fetch for each masked one. Masked recordings have the best scores, and below them the
# index separates neighbours less well.
FETCH_PER_MASKED = 2
# A user with more masked recordings is searched exactly, because fetching enough would cost as much.
MAX_MASKED = 1000
# If the index's error is estimated to hide more than this share of a user's k best, the user is searched
# exactly.
MAX_MISSED = 0.05
# The largest number of users in one call of faiss.
USERS_PER_SEARCH = 1024
# Recordings that an exact search sorts and transposes at a time; the limit saves memory.
PIECE = 65_536


@dataclass(frozen=True)
class SearchEffort:
    """The effort of an approximate search. More effort takes longer and finds more of the true best.

    Attributes:
        reach: number of recordings in the lists that are read, for each recording that is fetched.
        fetch: number of recordings that are fetched and scored exactly, for each recording that is wanted.
    """

    reach: float
    fetch: float


def import_faiss() -> ModuleType:
    """Import and return the module faiss.

    Raises:
        ConfigError: if faiss is not installed.
    """
    return optional_packages.import_optional(
        "faiss",
        "approximate top-k needs faiss, which cannot be imported here ({error}); run pip install 'trackpools[ann]' on the driver and "
        "on every executor, or raise topk.exact_max above the number of recordings",
    )


def build_index(y: Float32Array) -> bytes:
    """Build the index of recording factors.

    The caller must limit faiss to one thread. The centres have length one, because a long centre would have
    the largest inner product with all users.

    Args:
        y: recording factors, float32 [recordings, rank].

    Returns:
        The index in faiss's own format; empty for fewer than SMALLEST recordings.

    Raises:
        ConfigError: if faiss is needed, but not installed.
    """
    n, lists = len(y), MAX_LISTS
    if n < SMALLEST:
        return b""
    while lists * lists > n:
        lists //= 2
    faiss = import_faiss()
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


def load_index(data: bytes | pa.Buffer) -> Any:
    """Return the faiss index that `build_index` made, or None if the bytes are empty."""
    return import_faiss().deserialize_index(np.frombuffer(data, np.uint8)) if len(data) else None


def exact_in_pieces(
    x: Float32Array,
    y: Float32Array,
    idx: Int32Array,
    masked: Ragged,
    k: int,
    *,
    allowed: Allowed | None = None,
) -> Scored:
    """Return the result of `exact.top_k` for the same arguments, computed in pieces of PIECE recordings."""
    parts = []
    for start in range(0, len(y), PIECE):
        part = slice(start, start + PIECE)
        masks = (
            None if allowed is None else Allowed(allowed.group, np.ascontiguousarray(allowed.masks[:, part]))
        )
        parts.append(exact_top_k(x, y[part], idx[part], masked, k, allowed=masks))
    whole = _joined(parts)
    return top_k_of_scores(whole.row, whole.idx, whole.score, k) if len(parts) > 1 else whole


def top_k(
    x: Float32Array,
    y: Float32Array,
    idx: Int32Array,
    masked: Ragged,
    k: int,
    *,
    index: Any,
    effort: SearchEffort | None,
    allowed: Allowed | None = None,
    whole: SortedCatalogue | None = None,
) -> Scored:
    """Return, for each user, k allowed and unmasked recordings, nearly those of largest inner product.

    A user gets fewer than k recordings only if fewer are allowed and unmasked.

    Args:
        x, y, idx, masked, k, allowed: as in `exact.top_k`.
        index: the result of `load_index` for `y`; if `index` or `effort` is None, the search is exact.
        effort: the effort of the search.
        whole: the `SortedCatalogue` of `y` and `idx`, or None. A caller with many searches passes it, so that
            exact searches need not sort the recordings each time.

    Raises:
        ModelError: if a factor is NaN or infinite, or if an exact search finds one so large that a score
            overflows.

    Example:
        >>> x, y = np.array([[1, 0]], np.float32), np.array([[0.5, 0], [2, 0], [1, 0]], np.float32)
        >>> idx, heard = np.array([10, 11, 12], np.int32), Ragged(np.array([0, 1]), np.array([11], np.int32))
        >>> top_k(x, y, idx, heard, 2, index=None, effort=None).idx
        array([12, 10], dtype=int32)
    """

    def exactly(x: Float32Array, masked: Ragged, allowed: Allowed | None) -> Scored:
        return (
            exact_in_pieces(x, y, idx, masked, k, allowed=allowed)
            if whole is None
            else top_k_in_catalogue(whole, x, masked, k, allowed=allowed)
        )

    if index is None or effort is None:
        return exactly(x, masked, allowed)
    if not (np.isfinite(x).all() and (np.isfinite(y).all() if whole is None else np.isfinite(whole.longest))):
        raise ModelError(
            "the factors hold NaN or infinite numbers; train again with a higher train.reg or a lower train.alpha. "
            "The metric `loss` of the training's run in MLflow shows how the training went"
        )
    search, parts, left = _Search(index, y, idx, k, effort), [], []
    for group in [0] if allowed is None else np.unique(allowed.group):
        rows = np.arange(len(x)) if allowed is None else np.flatnonzero(allowed.group == group)
        may = None if allowed is None or allowed.masks[group].all() else allowed.masks[group]
        if may is not None and may.mean() < EXACT_SHARE:
            alone, own = Allowed(np.zeros(len(rows), np.int32), may[None]), masked.pick(rows)
            # Without `whole`, recordings are sorted for this search alone, so only the allowed ones are
            # passed.
            got, short = (
                exact_in_pieces(x[rows], y[may], idx[may], own, k)
                if whole is None
                else exactly(x[rows], own, alone),
                rows[:0],
            )
        else:
            got, short = search.search(x[rows], masked.pick(rows), may)
        parts.append(Scored(rows[got.row], got.idx, got.score))
        left.append(rows[short])
    rest = np.concatenate(left)  # all in one exact search, because each of them first sorts the recordings
    if len(rest):
        theirs = None if allowed is None else Allowed(allowed.group[rest], allowed.masks)
        got = exactly(x[rest], masked.pick(rest), theirs)
        parts.append(Scored(rest[got.row], got.idx, got.score))
    every = _joined(parts)
    order = np.argsort(every.row, kind="stable")
    return Scored(every.row[order], every.idx[order], every.score[order])


@dataclass(frozen=True)
class _Search:
    """The approximate search of one stripe.

    Attributes:
        index: the faiss index of `y`.
        y: recording factors, float32 [recordings, rank].
        idx: int32, the recording idx of the rows of `y`, ascending.
        k: number of recordings wanted for each user.
        effort: the effort of the search.
    """

    index: Any
    y: Float32Array
    idx: Int32Array
    k: int
    effort: SearchEffort

    def search(self, x: Float32Array, masked: Ragged, may: BoolArray | None) -> tuple[Scored, Int64Array]:
        """Search for the users of one group.

        The number of recordings to fetch depends on the number of a user's masked recordings. It is rounded
        up in steps of a factor of √2, and the users of one step are searched together.

        Args:
            x: user factors, float32 [users, rank].
            masked: idx of the recordings that each user must not get.
            may: bool [recordings], whether the group may get the recording; None if it may get all.

        Returns:
            The result, and the rows in `x` of the users who need an exact search, because they have too many
            masked recordings, got too few or are estimated to miss too many of the true best.
        """
        inside = _inside(self.idx, masked)
        columns, scores = np.full((len(x), self.k), -1, np.int32), np.empty((len(x), self.k), np.float32)
        want, heard = self.effort.fetch * self.k, np.diff(inside.offsets)
        steps = np.where(
            heard <= MAX_MASKED, np.ceil(2 * np.log2((want + FETCH_PER_MASKED * heard) / want)), -1
        )
        for step in np.unique(steps[steps >= 0]):
            same = np.flatnonzero(steps == step)
            for some in np.array_split(same, range(USERS_PER_SEARCH, len(same), USERS_PER_SEARCH)):
                columns[some], scores[some] = self._rescored(
                    x[some], inside.pick(some), int(np.ceil(want * 2 ** (step / 2))), may
                )
        short = np.flatnonzero(columns[:, -1] < 0)
        short = short[(columns[short] >= 0).sum(axis=1) < _left(inside.pick(short), len(self.y), may)]
        columns[short] = -1
        row, place = np.nonzero(columns >= 0)
        return Scored(row, self.idx[columns[row, place]], scores[row, place]), short

    def _rescored(
        self, x: Float32Array, inside: Ragged, width: int, may: BoolArray | None
    ) -> tuple[NDArray[np.int32], Float32Array]:
        """Fetch `width` recordings for each user, and score those that are not masked.

        Args:
            x: user factors, float32 [users, rank].
            inside: the columns (positions in `y`) that each user must not get.
            width: number of recordings to fetch for each user.
            may: as in `search`.

        Returns:
            (int32 [users, k], the columns of the best recordings, best first; float32 [users, k], their
            scores). Columns are −1 after the last recording that was found, and throughout for a user who is
            estimated to miss more than MAX_MISSED of the true best.
        """
        faiss, lists, width = import_faiss(), self.index.nlist, min(width, len(self.y))
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
        rescore_found(
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
        columns[missed > MAX_MISSED] = -1
        return columns, scores


def _left(inside: Ragged, recordings: int, may: BoolArray | None) -> Int64Array:
    """Return, for each user, how many recordings are allowed and not masked, int64 [users]."""
    rows = np.repeat(np.arange(len(inside.offsets) - 1), np.diff(inside.offsets))
    rows = rows if may is None else rows[may[inside.values]]
    return (recordings if may is None else int(may.sum())) - np.bincount(
        rows, minlength=len(inside.offsets) - 1
    )


def _inside(idx: Int32Array, masked: Ragged) -> Ragged:
    """Replace the idx of masked recordings by columns, their positions in the stripe's ascending `idx`.

    Recordings that the stripe lacks are left out.
    """
    there, columns = find_positions(idx, masked.values)
    return Ragged(np.concatenate([[0], np.cumsum(there)])[masked.offsets], columns.astype(np.int32))


def _joined(parts: list[Scored]) -> Scored:
    none = Scored(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return Scored(
        *(
            np.concatenate([getattr(part, name) for part in (none, *parts)])
            for name in ("row", "idx", "score")
        )
    )
