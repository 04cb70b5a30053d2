"""What listeners ask for, and what they are answered: the NumPy part of sources that look up lists; batches of one or of many give the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from trackpools.core.packing import values
from trackpools.core.sources.listeners import Listeners, Offers, Seeds
from trackpools.core.sources.source import Source

Longs = NDArray[np.int64]


@dataclass(frozen=True)
class Shelves:
    """Lists of one source, by ascending key.

    Attributes:
        keys: int64 [lists].
        ends: int64 [lists + 1] into what follows.
        recordings, scores: int32 and float32.
    """

    keys: Longs
    ends: Longs
    recordings: NDArray[np.int32]
    scores: NDArray[np.float32]

    @staticmethod
    def of_table(lists: Any) -> "Shelves":
        """From an Arrow table of rows of `source_lists`, all of one source."""
        rows = lists.sort_by("key").combine_chunks()
        sizes = np.asarray(pc.binary_length(rows["recordings"]).fill_null(0), np.int64) // 4
        recordings, scores = (
            np.array(values(rows[name], kind))
            for name, kind in (("recordings", np.int32), ("scores", np.float32))
        )  # copies: see `answered`
        return Shelves(
            np.asarray(rows["key"], np.int64), np.concatenate([[0], np.cumsum(sizes)]), recordings, scores
        )

    def find(self, keys: Longs) -> Longs:
        """The list of each key; −1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)


@dataclass(frozen=True)
class Proposed:
    """What a source proposes: int64 ends [users + 1], int32 recordings and float32 scores, best first, and int32 how many were kept back [users]."""

    ends: Longs
    recordings: NDArray[np.int32]
    scores: NDArray[np.float32]
    masked: NDArray[np.int32]


def seeds_of(source: Source, listeners: Listeners, settings: Any) -> Seeds:
    """What the source's listeners look up.

    Raises:
        ValueError: where the source is wrong: seeds that are not by user, or weights that are no positive numbers.
    """
    assert source.seeds is not None  # noqa: S101 - lists without seeds are refused by a test of all sources
    seeds = source.seeds(listeners, settings)
    if (np.diff(seeds.user) < 0).any() or not (np.isfinite(seeds.weight) & (seeds.weight > 0)).all():
        raise ValueError(f"source {source.name}: seeds must be by user, with weights above 0")
    return seeds


def barred(listeners: Listeners, *, new: bool) -> tuple[Longs, Longs]:
    """(ends, recordings) of what a source must not propose: what is closed to the listener, and what is no news to a source of new ones."""
    shut = listeners.closed | listeners.heard if new else listeners.closed
    return np.searchsorted(listeners.owner[shut], np.arange(listeners.users + 1)), listeners.recording[shut]


def answered(
    source: Source,
    seeds: tuple[Longs, Longs, Any],
    lists: Shelves,
    past: tuple[Longs, Longs],
    *,
    users: Any,
    k: int,
    today: int,
) -> Proposed:
    """The k best of the lists that are asked for, `seeds` as (ends, key, weight); what has no list counts nothing."""
    from trackpools.core.spreading import spread

    ends, key, weight = seeds
    n = len(users)
    found, told = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    counts, masked = np.empty(n, np.int64), np.empty(n, np.int64)
    # what comes out of Arrow is read only, and numba would compile for that once more; a release that is held for many requests is not copied
    spread(
        (ends, lists.find(key), np.array(weight, np.float64)),
        (lists.ends, _own(lists.recordings), _own(lists.scores)),
        (past[0], _own(past[1])),
        k,
        today if source.lots else -1,
        np.array(users, np.int32),
        (found, told, counts, masked),
    )
    kept = np.arange(k) < counts[:, None]
    return Proposed(
        np.concatenate([[0], np.cumsum(counts)]), found[kept], told[kept], masked.astype(np.int32)
    )


def _own(values: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy that may be written."""
    return np.require(values, requirements="W")


def offered(source: Source, listeners: Listeners, settings: Any) -> Proposed:
    """What a source draws from history alone, its k best; closed ones are kept back."""
    assert source.offers is not None  # noqa: S101 - as above
    offers: Offers = source.offers(listeners, settings)
    place = np.arange(len(offers.user)) - np.searchsorted(offers.user, offers.user, side="left")
    kept = place < settings.k
    ends = np.searchsorted(offers.user[kept], np.arange(listeners.users + 1))
    back = np.bincount(listeners.owner[listeners.closed & listeners.heard], minlength=listeners.users)
    return Proposed(
        ends,
        offers.recording[kept].astype(np.int32),
        offers.score[kept].astype(np.float32),
        back.astype(np.int32),
    )


def by_user(user: Longs, users: int) -> Longs:
    """Ends [users + 1] of rows that are by user."""
    ends: Longs = np.searchsorted(user, np.arange(users + 1))
    return ends


def asked_by(sources: Sequence[Source]) -> tuple[list[Source], list[Source]]:
    """Those that look lists up, and those that go by history alone."""
    return [s for s in sources if s.lists is not None], [s for s in sources if s.offers is not None]
