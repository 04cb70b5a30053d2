"""Compute the pool of one user on demand, without Spark.

The functions of this module work on the arrays of a release. They call the same functions as the tasks of the
batch, so a pool on demand equals the pool of the batch.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.arrays.array_types import BoolArray, Float32Array, Int32Array, Int64Array, Uint8Array
from trackpools.core.arrays.recording_table import RecordingTable, code_of_tag
from trackpools.core.pools.batch import GIVEN, offered_to, policy
from trackpools.core.pools.build import build_pool
from trackpools.core.pools.user_history import UserHistory
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up
from trackpools.core.sources import active_sources, als
from trackpools.core.sources.chart_keys import code_of_market
from trackpools.core.sources.lookup_arrays import (
    Proposals,
    SourceLists,
    excluded_recordings,
    look_up_lists,
    propose_from_history,
    seeds_of,
    user_ends,
)
from trackpools.core.sources.source import Source
from trackpools.core.sources.stripe_merge import keys_of
from trackpools.core.sources.user_block import UserBlock, day_number, taste_weights
from trackpools.core.topk import approximate
from trackpools.core.topk.exact import Allowed, Ragged, Scored, SortedCatalogue, exact_scores, top_k_of_scores
from trackpools.errors import ConfigError

NO_LISTS = SourceLists(
    np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
)


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
    def all_of(y: Float32Array, idx: Int32Array, size: int | None) -> "tuple[Stripe, ...]":
        """Split vectors into stripes.

        Args:
            y: float32 [recordings, length], the vectors.
            idx: int32, the `recording_idx` of each vector, ascending.
            size: how many recording numbers a stripe covers. Each stripe then gets an index, which is built
                here and equals the index of the batch; stripes without a vector are left out. None returns a
                single stripe without an index.
        """
        if size is None:
            return (Stripe(SortedCatalogue.of(y, idx), y, idx, None),)
        approximate.import_faiss().omp_set_num_threads(
            1
        )  # one thread, as in the tasks of the batch; the setting stays, because a request has one core too
        with threadpool_limits(1):
            ends = np.searchsorted(idx // size, np.arange(idx[-1] // size + 2))
            parts = [(y[a:b], idx[a:b]) for a, b in itertools.pairwise(ends) if b > a]
            return tuple(
                Stripe(
                    SortedCatalogue.of(*part), *part, approximate.load_index(approximate.build_index(part[0]))
                )
                for part in parts
            )


@dataclass(frozen=True)
class MarketMask:
    """The recordings that are barred in a market; see `market_masks`.

    Attributes:
        bars: uint8 by `recording_idx`, bitmap of the `eligibility.MARKET_RULES` that bar the recording.
        withheld: int64 by rule, how many recordings each rule is the first to bar.
    """

    bars: Uint8Array
    withheld: Int64Array


@dataclass(frozen=True)
class ReleaseArrays:
    """The arrays of a release that pools on demand are computed from.

    Attributes:
        config: the configuration of the release.
        as_of: the moment of the release.
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

    def allowed_mask(self, market: str, clean: bool, idx: Int32Array) -> BoolArray:
        """Return which recordings of `idx` a market and an explicit policy allow, bool [len(idx)].

        The result is cached, because computing it for a million recordings takes milliseconds.
        """
        key = (market, clean, id(idx))
        if key not in self.masks:
            bars = look_up(self.markets[market].bars, idx.astype(np.int64))
            self.masks[key] = (
                bars & (eligibility.NO_CARD if clean else eligibility.NO_CARD & ~eligibility.BIT["explicit"])
            ) == 0
        return self.masks[key]


@dataclass(frozen=True)
class OnlineUser:
    """The user that a pool is computed for.

    Attributes:
        idx: the `user_idx`.
        market: the market group.
        clean: whether the user gets clean tracks only.
        declared: the tags that the user declared at sign-up.
        history: the history of the user.
        vectors: bit of a source that ranks by vectors → the user's float32 vector; without the sources for
            which the user has no vector.
    """

    idx: int
    market: str
    clean: bool
    declared: tuple[str, ...]
    history: UserHistory
    vectors: Mapping[int, Float32Array]


def user_as_block(user: OnlineUser, facts: RecordingTable, as_of: datetime) -> UserBlock:
    """Return the user as a block of one user.

    Args:
        user: the user.
        facts: the facts of the recordings of the history, in the same order.
        as_of: the moment of the release.
    """
    past = user.history
    declared = np.array([code_of_tag(tag) for tag in user.declared], np.int64)
    return UserBlock(
        idx=np.array([user.idx], np.int32),
        market=np.array([code_of_market(user.market)]),
        clean=np.array([user.clean]),
        declared=(np.array([0, len(declared)]), declared),
        ends=np.array([0, len(past.recording)]),
        recording=past.recording,
        plays=past.plays,
        first_day=past.first_day,
        last_day=past.last_day,
        weight=taste_weights(past.weight.astype(np.float64), facts),
        heard=past.heard,
        excluded=past.blocked | past.refused,
        facts=facts,
        today=day_number(as_of.date()),
    )


def propose_to_user(release: ReleaseArrays, user: OnlineUser) -> dict[int, Proposals]:
    """Return the proposals of each source to a user, by bit of the source.

    Sources that are switched off, or that propose nothing to the user, are left out.
    """
    one = user_as_block(user, release.recording_table.rows_of(user.history.recording), release.as_of)
    vectors = {
        bit: (np.zeros(1, np.int64), vector[None].astype(np.float32)) for bit, vector in user.vectors.items()
    }
    return {
        bit: found
        for bit, found in propose_to_block(release, one, [user.market], vectors).items()
        if len(found.recordings)
    }


def propose_to_block(
    release: ReleaseArrays,
    block: UserBlock,
    markets: Sequence[str],
    vectors: Mapping[int, tuple[Int64Array, Float32Array]],
) -> dict[int, Proposals]:
    """Return the proposals of each source to a block of users, by bit of the source.

    Sources that are switched off are left out.

    Args:
        release: the arrays of the release.
        block: the users and their histories.
        markets: the market group of each user, by name.
        vectors: bit of a source that ranks by vectors → (rows of the block that have a vector, ascending;
            float32 [rows, length], the vectors).

    Raises:
        ConfigError: if an active source proposes neither from lists, nor from histories, nor by vectors.
    """
    config, proposals = release.config, {}
    for source in active_sources(config):
        settings = getattr(config.sources, source.name)
        if source.lists is not None:
            seeds = seeds_of(source, block, settings)
            past = excluded_recordings(block, new=source.emits == "new")
            asked = (user_ends(seeds.user, block.users), seeds.key, seeds.weight)
            proposals[source.bit] = look_up_lists(
                source,
                asked,
                release.lists.get(source.bit, NO_LISTS),
                past,
                users=block.idx,
                k=settings.k,
                today=block.today,
            )
        elif source.offers is not None:
            proposals[source.bit] = propose_from_history(source, block, settings)
        elif source.bit not in release.spaces:
            raise ConfigError(
                f"source {source.name} proposes neither from lists, nor from histories, nor by vectors, so pools on "
                "demand cannot use it; set its `enabled` to false, or declare `lists` or `offers` in its module"
            )
        elif source.bit in vectors:
            proposals[source.bit] = rank_by_vectors(release, block, markets, vectors[source.bit], source)
    return proposals


def pool(
    release: ReleaseArrays, user: OnlineUser, unwanted: Callable[[RecordingTable], BoolArray] | None = None
) -> dict[str, object]:
    """Compute the pool that the batch would write for a user.

    Args:
        release: the arrays of the release.
        user: the user.
        unwanted: returns for a table of recordings which of them the request rules out, as a bool array.
            These are dropped under the rule `request`. None rules out nothing.

    Returns:
        The result of `build.build_pool`.
    """
    past, proposals = user.history, propose_to_user(release, user)
    offered = np.concatenate([np.empty(0, np.int32), *(one.recordings for one in proposals.values())])
    bits = (
        eligibility.HEARD * past.heard
        + eligibility.BLOCKED * past.blocked
        + eligibility.REFUSED * past.refused
    )
    block = {
        "masked": [max((int(one.masked[0]) for one in proposals.values()), default=-1)],
        "offered_to": [0] * len(proposals),
        "source": list(proposals),
        "length": [len(one.recordings) for one in proposals.values()],
        "lot_size": [one.lot_size[0] for one in proposals.values()],
        "offered": offered,
        "past": [0, len(past.recording)],
        "recording_idx": past.recording,
        "plays": past.plays,
        "last_day": past.last_day,
        "bits": bits,
        "weight": past.weight,
    }
    typed = {name: np.asarray(block[name], kind) for name, kind in GIVEN.items()}
    market, by = release.markets[user.market], policy(release.config, release.as_of)
    return build_pool(
        offered_to(
            typed,
            np.array([user.clean]),
            (market.bars, market.withheld),
            release.recording_table,
            by,
            unasked=unwanted,
        ),
        by.request,
    )


def rank_by_vectors(
    release: ReleaseArrays,
    block: UserBlock,
    markets: Sequence[str],
    vectors: tuple[Int64Array, Float32Array],
    source: Source,
) -> Proposals:
    """Rank recordings by vectors for a block of users, as `als.rank_by_factors` does in Spark.

    Args:
        release: the arrays of the release.
        block: the users and their histories.
        markets: the market group of each user, by name.
        vectors: (rows of the block that have a vector, ascending; float32 [rows, length], the vectors).
        source: the source that ranks.
    """
    from trackpools.core.topk.selection_kernels import unpack

    (rows, x), topk, settings = vectors, release.config.topk, getattr(release.config.sources, source.name)
    k_new, k_heard = als.list_sizes(release.config, settings) if source.bit == als.BIT else (settings.k, 0)
    # `excluded` means blocked or refused, and refused recordings were heard, so `met` is heard or blocked
    met, open_ = block.heard | block.excluded, block.heard & ~block.excluded
    mask, listed = _recordings_where(block, met).pick(rows), _recordings_where(block, open_).pick(rows)
    groups, group = np.unique(
        [f"{clean:d}{markets[row]}" for row, clean in zip(rows, block.clean[rows], strict=True)],
        return_inverse=True,
    )
    parts: list[list[Any]] = [[], []]
    for stripe in release.spaces[source.bit]:
        whole, y, idx, index = stripe
        allowed = Allowed(
            group.astype(np.int32),
            np.stack([release.allowed_mask(name[1:], name[0] == "1", idx) for name in groups.tolist()]),
        )
        effort = approximate.SearchEffort(topk.reach, topk.fetch)
        new = (
            approximate.top_k(
                x, y, idx, mask, k_new, index=index, effort=effort, allowed=allowed, whole=whole
            )
            if k_new
            else None
        )
        known = _best_listed(whole, x, listed, k_heard, allowed) if k_heard and len(idx) else None
        parts[0].append(keys_of(new, len(rows), k_new))
        parts[1].append(keys_of(known, len(rows), k_heard))
    both = [
        np.sort(np.concatenate(found, axis=1), axis=1)[:, :k]
        for found, k in zip(parts, (k_new, k_heard), strict=True)
    ]
    keys = np.sort(np.concatenate(both, axis=1), axis=1)
    row, idx, score = (
        np.empty(keys.size, np.int64),
        np.empty(keys.size, np.int32),
        np.empty(keys.size, np.float32),
    )
    found = unpack(keys, keys.shape[1], 0, 0, row, idx, score)
    masked = np.zeros(block.users, np.int32)
    masked[rows] = np.diff(mask.offsets) - np.diff(listed.offsets)
    ends = np.searchsorted(rows[row[:found]], np.arange(block.users + 1))
    return Proposals(ends, idx[:found], score[:found], masked, np.zeros_like(masked))


def _recordings_where(block: UserBlock, kept: BoolArray) -> Ragged:
    """Return for each user the recordings of the history for which `kept` (bool) is true."""
    return Ragged(np.concatenate([[0], np.cumsum(kept)])[block.ends], block.recording[kept].astype(np.int32))


def _best_listed(
    catalogue: SortedCatalogue, x: Float32Array, recordings: Ragged, k: int, allowed: Allowed
) -> Scored:
    """Return the `k` best of each user's recordings that are in the catalogue and allowed."""
    rows, wanted = recordings.of(0, len(x))
    there = np.searchsorted(catalogue.ascending_idx, wanted)
    known = catalogue.ascending_idx[np.minimum(there, len(catalogue.ascending_idx) - 1)] == wanted
    rows, there = rows[known], there[known]
    may = allowed.masks[allowed.group[rows], there]
    rows, there = rows[may], there[may]
    return top_k_of_scores(
        rows, catalogue.ascending_idx[there], exact_scores(x, catalogue.y, rows, catalogue.place[there]), k
    )
