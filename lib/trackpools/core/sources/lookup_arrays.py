"""Turn seeds, ranked lists and histories of a batch of users into proposals, with NumPy.

A user's proposals do not depend on the other users of the batch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trackpools.config.sources import SourceConfig
from trackpools.core.arrays.array_types import FloatArray, Int64Array, IntArray
from trackpools.core.arrays.packing import unpack_values
from trackpools.core.sources.source import Source
from trackpools.core.sources.user_block import Offers, Seeds, UserBlock

NOT_ASKED = -1  # value of `Proposals.masked` for a user about whom the source knows nothing


@dataclass(frozen=True)
class SourceLists:
    """The ranked lists of one source, in the order of their keys.

    Attributes:
        keys: int64 [lists], ascending.
        ends: int64 [lists + 1]; list `i` is at `ends[i]:ends[i + 1]` of `recordings` and `scores`.
        recordings, scores: int32 and float32, all lists one after another.
    """

    keys: Int64Array
    ends: Int64Array
    recordings: NDArray[np.int32]
    scores: NDArray[np.float32]

    @staticmethod
    def from_arrow(lists: pa.Table) -> "SourceLists":
        """Read an Arrow table of rows of `source_lists` that all belong to one source."""
        rows = lists.sort_by("key").combine_chunks()
        sizes = np.asarray(pc.binary_length(rows["recordings"]).fill_null(0), np.int64) // 4
        recordings, scores = (
            np.array(unpack_values(rows[name], kind))
            for name, kind in (("recordings", np.int32), ("scores", np.float32))
        )  # copied, because arrays from Arrow are read-only; see `look_up_lists`
        return SourceLists(
            np.asarray(rows["key"], np.int64), np.concatenate([[0], np.cumsum(sizes)]), recordings, scores
        )

    def find(self, keys: Int64Array) -> Int64Array:
        """Return the position of each key's list, int64; −1 if the key has no list."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)


@dataclass(frozen=True)
class Proposals:
    """The recordings that a source proposes to a batch of users: one user after another, best first.

    Attributes:
        ends: int64 [users + 1]; the items of user `u` are at `ends[u]:ends[u + 1]`.
        recordings, scores: int32 and float32, the items.
        masked: int32 [users], the number of recordings that were kept back because of the user's history;
            NOT_ASKED for a user about whom the source knows nothing.
        lot_size: int32 [users], the number of recordings from which the items were drawn at random; 0 if the
            items were ranked.
    """

    ends: Int64Array
    recordings: NDArray[np.int32]
    scores: NDArray[np.float32]
    masked: NDArray[np.int32]
    lot_size: NDArray[np.int32]


def seeds_of(source: Source, listeners: UserBlock, settings: SourceConfig) -> Seeds:
    """Return the list keys that the source looks up for the users of a block, with their weights.

    Raises:
        ValueError: if the source has a defect: its seeds are not ordered by user, or a weight is not a finite
            number above 0.
    """
    assert source.seeds is not None  # noqa: S101 - a test checks that each source with lists has seeds
    seeds = source.seeds(listeners, settings)
    if (np.diff(seeds.user) < 0).any() or not (np.isfinite(seeds.weight) & (seeds.weight > 0)).all():
        raise ValueError(
            f"source {source.name} has a defect: seeds must be ordered by user, and their weights must be finite and above 0"
        )
    return seeds


def excluded_recordings(listeners: UserBlock, *, new: bool) -> tuple[Int64Array, Int64Array]:
    """Return the recordings of each user's history that a source must not propose.

    Args:
        listeners: the users and their histories.
        new: whether the source proposes new recordings only. If so, all heard recordings are excluded.
            Blocked recordings, and those that the heard policy refuses, are excluded in any case.

    Returns:
        (int64 ends [users + 1], int64 recordings).
    """
    shut = listeners.excluded | listeners.heard if new else listeners.excluded
    return np.searchsorted(listeners.owner[shut], np.arange(listeners.users + 1)), listeners.recording[shut]


def look_up_lists(
    source: Source,
    seeds: tuple[Int64Array, Int64Array, FloatArray],
    lists: SourceLists,
    past: tuple[Int64Array, Int64Array],
    *,
    users: IntArray,
    k: int,
    today: int,
) -> Proposals:
    """Return for each user k recordings of the lists that the seeds select: the best, or random ones.

    Args:
        source: the source. If `source.lots` is true, the recordings are drawn at random; else they are ranked
            by Σ weight · score over the selected lists.
        seeds: (int64 ends [users + 1], int64 key, weight); a key that has no list is ignored.
        lists: the lists of the source.
        past: (int64 ends [users + 1], int64 recordings), the recordings that each user must not get.
        users: int [users], the `user_idx`.
        k: the greatest number of recordings for a user.
        today: as_of, in days since 1970; random draws change with it.
    """
    from trackpools.core.kernels.list_lookup import add_up_lists

    ends, key, weight = seeds
    n = len(users)
    found, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    counts, masked, eligible = np.empty((3, n), np.int64)
    # Arrays from Arrow are read-only, and numba would compile a second version of the kernel for them, so
    # they are copied. A release that is kept for many requests has writable arrays, which are used as they
    # are.
    add_up_lists(
        (ends, lists.find(key), np.array(weight, np.float64)),
        (lists.ends, _own(lists.recordings), _own(lists.scores)),
        (past[0], _own(past[1])),
        k,
        today if source.lots else -1,
        np.array(users, np.int32),
        (found, scores, counts, masked, eligible),
    )
    kept = np.arange(k) < counts[:, None]
    lot_size = eligible if source.lots else np.zeros_like(eligible)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return Proposals(ends, found[kept], scores[kept], masked.astype(np.int32), lot_size.astype(np.int32))


def _own(values: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself if it is writable, else a writable copy."""
    return np.require(values, requirements="W")


def propose_from_history(source: Source, listeners: UserBlock, settings: SourceConfig) -> Proposals:
    """Return the `settings.k` best recordings that a source proposes from each user's history alone.

    `masked` of the result counts the user's heard recordings that are blocked or refused.
    """
    assert source.offers is not None  # noqa: S101 - callers pass only sources that have `offers`
    offers: Offers = source.offers(listeners, settings)
    place = np.arange(len(offers.user)) - np.searchsorted(offers.user, offers.user, side="left")
    kept = place < settings.k
    ends = np.searchsorted(offers.user[kept], np.arange(listeners.users + 1))
    back = np.bincount(listeners.owner[listeners.excluded & listeners.heard], minlength=listeners.users)
    recordings, scores = offers.recording[kept].astype(np.int32), offers.score[kept].astype(np.float32)
    return Proposals(ends, recordings, scores, back.astype(np.int32), np.zeros(listeners.users, np.int32))


def user_ends(user: Int64Array, users: int) -> Int64Array:
    """Return where the rows of each user end, int64 [users + 1] with 0 at the start.

    Args:
        user: int64, for each row the position of its user, ascending.
        users: number of users.
    """
    ends: Int64Array = np.searchsorted(user, np.arange(users + 1))
    return ends
