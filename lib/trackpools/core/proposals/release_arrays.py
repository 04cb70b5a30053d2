"""The arrays of a release: everything about recordings that pools are made from.

No array holds data of users.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.arrays.array_types import BoolArray, Float32Array, Int32Array, Int64Array, Uint8Array
from trackpools.core.arrays.recording_table import RecordingTable
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up
from trackpools.core.sources.lookup_arrays import SourceLists
from trackpools.core.topk import approximate
from trackpools.core.topk.exact import SortedCatalogue


class Stripe(NamedTuple):
    """A range of recording numbers with the vectors of these recordings; it is searched by itself.

    Attributes:
        whole: the recordings sorted by the length of their vectors, for exact search.
        y: float32 [recordings, length], the vectors in the order of `idx`, to which the index refers.
        idx: int32, the `recording_idx` of each vector, ascending.
        index: the index of faiss for approximate search; None if all searches are exact.
    """

    whole: SortedCatalogue
    y: Float32Array
    idx: Int32Array
    index: Any

    @staticmethod
    def exact(y: Float32Array, idx: Int32Array) -> "tuple[Stripe, ...]":
        """Return all recordings as a single stripe, whose searches are exact."""
        return (Stripe(SortedCatalogue.of(y, idx), y, idx, None),)

    @staticmethod
    def indexed(
        y: Float32Array, idx: Int32Array, starts: Int64Array, indexes: "tuple[Uint8Array, ...]"
    ) -> "tuple[Stripe, ...]":
        """Return one stripe for each index.

        Args:
            y: float32 [recordings, length], the vectors.
            idx: int32, the `recording_idx` of each vector, ascending.
            starts: int64 [stripes + 1]; stripe i holds the recordings at `starts[i]:starts[i + 1]`.
            indexes: the bytes of each stripe's index; empty for a stripe that is too small for one.
        """
        stripes = []
        for (a, b), data in zip(itertools.pairwise(starts.tolist()), indexes, strict=True):
            whole = SortedCatalogue.of(y[a:b], idx[a:b])
            stripes.append(Stripe(whole, y[a:b], idx[a:b], approximate.load_index(data)))
        return tuple(stripes)


def build_indexes(y: Float32Array, idx: Int32Array, size: int) -> tuple[Int64Array, tuple[Uint8Array, ...]]:
    """Split vectors into stripes, and build the index of each stripe in one thread.

    Args:
        y: float32 [recordings, length], the vectors.
        idx: int32, the `recording_idx` of each vector, ascending.
        size: how many recording numbers a stripe covers; a range without any vector gets no stripe.

    Returns:
        The arguments `starts` and `indexes` of `Stripe.indexed`.

    Raises:
        ConfigError: if faiss is not installed.
    """
    approximate.import_faiss().omp_set_num_threads(1)
    starts = np.unique(np.searchsorted(idx // size, np.arange(idx[-1] // size + 2)))
    with threadpool_limits(1):
        built = [approximate.build_index(y[a:b]) for a, b in itertools.pairwise(starts.tolist())]
    return starts.astype(np.int64), tuple(np.frombuffer(data, np.uint8) for data in built)


@dataclass(frozen=True)
class MarketMask:
    """The recordings that are barred in a market; see `market_masks`.

    Attributes:
        bars: uint8 by `recording_idx`, bitmap of the `eligibility.MARKET_RULES` that bar the recording.
        withheld: int64 by rule, how many recordings each rule is the first to bar.
    """

    bars: Uint8Array
    withheld: Int64Array


NO_CARDS = MarketMask(np.empty(0, np.uint8), np.zeros(len(eligibility.RULES), np.int64))


@dataclass(frozen=True)
class ReleaseArrays:
    """The arrays of a release that pools are made from.

    Attributes:
        config: the configuration to make pools with.
        as_of: the moment that pools are made for.
        recording_table: facts of all recordings.
        markets: market group → the recordings that are barred there.
        lists: bit of a source → the lists that the source looks up.
        spaces: bit of a source that ranks by vectors → the vectors of recordings. The stripes must live as
            long as this object, because the keys of `masks` contain the `id` of their arrays.
        masks: the cache of `allowed_mask`.
    """

    config: Config
    as_of: datetime
    recording_table: RecordingTable
    markets: Mapping[str, MarketMask]
    lists: Mapping[int, SourceLists]
    spaces: Mapping[int, tuple[Stripe, ...]]
    masks: dict[tuple[str, bool, int], BoolArray] = field(default_factory=dict)

    def market(self, name: str) -> MarketMask:
        """Return the mask of a market group; a group without cards bars every recording."""
        return self.markets.get(name, NO_CARDS)

    def allowed_mask(self, market: str, clean: bool, idx: Int32Array) -> BoolArray:
        """Return which recordings of `idx` a market and an explicit policy allow, bool [len(idx)].

        The result is cached, because computing it for a million recordings takes milliseconds.
        """
        key = (market, clean, id(idx))
        if key not in self.masks:
            bars = look_up(self.market(market).bars, idx.astype(np.int64))
            self.masks[key] = (
                bars & (eligibility.NO_CARD if clean else eligibility.NO_CARD & ~eligibility.BIT["explicit"])
            ) == 0
        return self.masks[key]


# Opens the arrays of a release in a task, to make pools with a configuration and for a moment.
OpenArrays = Callable[[Config, datetime], ReleaseArrays]
