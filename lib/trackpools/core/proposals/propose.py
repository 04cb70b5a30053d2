"""Ask the candidate sources for proposals to the users of a block, with the arrays of a release."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.core.arrays.array_types import BoolArray, Float32Array
from trackpools.core.proposals.block_users import BlockUsers
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.sources import active_sources, als
from trackpools.core.sources.lookup_arrays import (
    NOT_ASKED,
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
from trackpools.core.sources.user_block import UserBlock
from trackpools.core.topk import approximate
from trackpools.core.topk.exact import Allowed, Ragged, Scored, SortedCatalogue, exact_scores, top_k_of_scores

NO_LISTS = SourceLists(
    np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
)


def propose_to_block(release: ReleaseArrays, users: BlockUsers) -> dict[int, Proposals]:
    """Return the proposals of each active source to a block of users, by bit of the source.

    Sources that propose in a frame of their own (`Source.candidates`) are left out.
    """
    proposals = {}
    for source in active_sources(release.config):
        settings = getattr(release.config.sources, source.name)
        if source.lists is not None:
            proposals[source.bit] = _known_only(_look_up(release, users.block, source, settings))
        elif source.offers is not None:
            proposals[source.bit] = _known_only(propose_from_history(source, users.block, settings))
        elif source.vectors is not None and source.vectors.users in users.vectors:
            with threadpool_limits(1):  # a task of Spark and a request have one core each
                proposals[source.bit] = rank_by_vectors(release, users, source)
    return proposals


def _look_up(release: ReleaseArrays, block: UserBlock, source: Source, settings: Any) -> Proposals:
    """Return what a source proposes from its lists."""
    seeds = seeds_of(source, block, settings)
    return look_up_lists(
        source,
        (user_ends(seeds.user, block.users), seeds.key, seeds.weight),
        release.lists.get(source.bit, NO_LISTS),
        excluded_recordings(block, new=source.emits == "new"),
        users=block.idx,
        k=settings.k,
        today=block.today,
    )


def _known_only(proposals: Proposals) -> Proposals:
    """Mark the users to whom nothing is proposed as users about whom the source knows nothing."""
    some = np.diff(proposals.ends) > 0
    return replace(proposals, masked=np.where(some, proposals.masked, NOT_ASKED).astype(np.int32))


def rank_by_vectors(release: ReleaseArrays, users: BlockUsers, source: Source) -> Proposals:
    """Return the recordings of largest inner product with each user who has a vector.

    The best new recordings and, for the source `als`, the best heard recordings are selected separately and
    then ranked together by score; of equal scores, the lower idx is first. `masked` counts the blocked and
    refused recordings of the history.

    Args:
        release: the arrays of the release.
        users: the users; some of them have a vector.
        source: a source that ranks by vectors.
    """
    assert source.vectors is not None  # noqa: S101 - callers pass only sources with vectors
    (rows, x), block = users.vectors[source.vectors.users], users.block
    settings = getattr(release.config.sources, source.name)
    k_new, k_heard = als.list_sizes(release.config, settings) if source.bit == als.BIT else (settings.k, 0)
    # `excluded` means blocked or refused, and refused recordings were heard, so `met` is heard or blocked
    met, open_ = block.heard | block.excluded, block.heard & ~block.excluded
    mask, listed = _recordings_where(block, met).pick(rows), _recordings_where(block, open_).pick(rows)
    allowed = _allowed_masks(release, users, rows)
    topk = release.config.topk
    effort = approximate.SearchEffort(topk.reach, topk.fetch)
    parts: list[list[Any]] = [[], []]
    for whole, y, idx, index in release.spaces[source.bit]:
        may = allowed(idx)
        new = (
            approximate.top_k(x, y, idx, mask, k_new, index=index, effort=effort, allowed=may, whole=whole)
            if k_new
            else None
        )
        known = _best_listed(whole, x, listed, k_heard, may) if k_heard and len(idx) else None
        parts[0].append(keys_of(new, len(rows), k_new))
        parts[1].append(keys_of(known, len(rows), k_heard))
    both = [
        np.sort(np.concatenate(found, axis=1), axis=1)[:, :k]
        for found, k in zip(parts, (k_new, k_heard), strict=True)
    ]
    masked = np.full(block.users, NOT_ASKED, np.int32)
    masked[rows] = np.diff(mask.offsets) - np.diff(listed.offsets)
    return _ranked(np.sort(np.concatenate(both, axis=1), axis=1), rows, masked)


def _allowed_masks(release: ReleaseArrays, users: BlockUsers, rows: Any) -> Callable[[Any], Allowed]:
    """Return a function from the recordings of a stripe to what the users at `rows` may get of them."""
    clean = users.block.clean[rows].tolist()
    names = [(users.markets[row], own) for row, own in zip(rows.tolist(), clean, strict=True)]
    groups = sorted(set(names))
    place = {name: i for i, name in enumerate(groups)}
    group = np.array([place[name] for name in names], np.int32)
    return lambda idx: Allowed(group, np.stack([release.allowed_mask(*name, idx) for name in groups]))


def _ranked(keys: Any, rows: Any, masked: Any) -> Proposals:
    """Return proposals from sorted keys int64 [rows, k] of the users at `rows`."""
    from trackpools.core.topk.selection_kernels import unpack

    row, idx, score = (np.empty(keys.size, kind) for kind in (np.int64, np.int32, np.float32))
    found = unpack(keys, keys.shape[1], 0, 0, row, idx, score)
    ends = np.searchsorted(rows[row[:found]], np.arange(len(masked) + 1))
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
