"""Blend the candidates of a batch of users: the compiled (numba) part of `build.build_pools`.

For each user, the kernel fuses the candidates of all sources, drops what the rules bar, builds the shortlist,
chooses the pool and its reserve, and counts every drop. No state is kept from one user to the next.
"""

from typing import NamedTuple

import numpy as np

from trackpools.core.arrays.array_types import Float32Array, Float64Array, Int64Array
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.kernels.rank_fusion import (
    CandidateArrays,
    FusedArrays,
    HashIndex,
    empty_table,
    find_slot,
    fuse,
    slot_key,
)
from trackpools.core.pools.facet_floors import fill_floors
from trackpools.core.pools.greedy_kernel import (
    BlendSettings,
    Shortlist,
    allocate_shortlist,
    continue_greedy,
    init_heap,
    is_full,
    select,
)
from trackpools.core.pools.shortlist_kernel import (
    RecordingArrays,
    attach_facts,
    build_shortlist,
    keep_one_version,
)
from trackpools.core.pools.user_tastes import TagDistributions
from trackpools.core.rules.eligibility import BELOW_CUT, RULES

ARTIST_CAP, ALBUM_CAP = RULES.index("artist_cap"), RULES.index("album_cap")


class PoolArrays(NamedTuple):
    """The output arrays of `blend`, user by user: the candidates of the pool, then those of the reserve.

    The first five arrays have one entry for each recording in a pool or reserve, and may be longer.

    Attributes:
        score: float32, the score of the recording.
        propensity: float32, the probability with which the recording was chosen; 1 unless it was explored.
        sources: int64, bitmap of the sources that propose the recording.
        entry: int64, the first candidate of the recording, as a position in the candidate arrays.
        main: int64, the candidate that adds most to the score of the recording, as such a position.
        size: int64 [users], the size of each pool.
        reserved: int64 [users], the size of each reserve.
        emitted: int64 [users], the number of distinct recordings that were proposed.
        drops: int64 [users, rules], how many recordings each rule dropped; the caller fills it with 0.
    """

    score: Float32Array
    propensity: Float32Array
    sources: Int64Array
    entry: Int64Array
    main: Int64Array
    size: Int64Array
    reserved: Int64Array
    emitted: Int64Array
    drops: Int64Array


@njit(nogil=True, cache=True)
def empty_index(ends: Int64Array) -> HashIndex:
    """Return an empty hash table that has room for the longest list, and an int64 value for each slot.

    Args:
        ends: int64 [lists + 1]; list n has the entries `ends[n]:ends[n + 1]`.
    """
    table = empty_table(ends)
    return table, np.empty(len(table), np.int64)


@njit(nogil=True, cache=True)
def blend(
    ends: Int64Array,
    flat: CandidateArrays,
    facts: RecordingArrays,
    tastes: TagDistributions,
    lot_chance: Float64Array,
    s: BlendSettings,
    pools: PoolArrays,
) -> int:
    """Write the pools of all users to `pools`, and return the number of entries written.

    Args:
        ends: int64 [users + 1]; the candidates of user u are at `ends[u]:ends[u + 1]` of `flat`.
        flat: the candidates of all users, sorted by user and, for each user, by source.
        facts: the facts of all recordings, by `recording_idx`.
        tastes: the tag distribution of each user, the target of calibration.
        lot_chance: float64 [users]; see `build.CandidateBatch`.
        s: the settings of the blend.
        pools: the output.
    """
    capacity, users = 0, len(ends) - 1
    for u in range(users):
        capacity = max(capacity, ends[u + 1] - ends[u])
    index, songs, artists, albums = empty_index(ends), empty_index(ends), empty_index(ends), empty_index(ends)
    longs = np.empty((5, capacity), np.int64)
    fused, keys = (
        FusedArrays(longs[0], longs[1], np.empty(capacity), longs[2], longs[3], np.empty(capacity, np.bool_)),
        longs[4],
    )
    labels, at = empty_index(tastes.ends), 0
    line = allocate_shortlist(capacity, min(capacity, s.k + s.reserve), len(labels[0]))
    best = np.empty(len(index[0]))
    mass = np.empty(len(labels[0]))
    for u in range(users):
        groups = fuse(u, ends[u], ends[u + 1], flat, s.quota, index, fused)
        pools.emitted[u] = groups
        apply_rules(u, groups, flat, fused, pools.drops)
        keep_one_version(u, groups, flat, fused, facts, s, songs, best, pools.drops)
        count, total = build_shortlist(u, groups, flat, fused, s, index, keys, line)
        target = tastes.share[tastes.ends[u] : tastes.ends[u + 1]]
        mass[: len(target) + 1] = 0
        for t in range(len(target)):
            tag = tastes.tag[tastes.ends[u] + t]
            place = find_slot(labels[0], u, tag)
            labels[0][place], labels[1][place] = slot_key(u, tag), t
        attach_facts(u, total, flat, fused, facts, line, artists, albums, labels, len(target), keys)
        at = choose_pool(u, count, total, fused, s, line, target, mass, lot_chance[u], pools, at)
    return at


@njit(nogil=True, cache=True)
def apply_rules(user: int, groups: int, flat: CandidateArrays, fused: FusedArrays, drops: Int64Array) -> None:
    """Mark as alive each recording of a user that no rule bars; count the others under their first rule."""
    for g in range(groups):
        flag, rule = flat.flags[fused.entry[g]], 0
        fused.alive[g] = flag == 0
        if flag != 0:
            while flag >> rule & 1 == 0:
                rule += 1
            drops[user, rule] += 1


@njit(nogil=True, cache=True)
def choose_pool(
    user: int,
    count: int,
    total: int,
    fused: FusedArrays,
    s: BlendSettings,
    line: Shortlist,
    target: Float64Array,
    mass: Float64Array,
    lot_chance: float,
    pools: PoolArrays,
    at: int,
) -> int:
    """Write the pool and reserve of a user to `pools` from `at` on, and return the position behind them.

    Explored candidates are chosen first, so that only their rank and the caps decide about them, but they are
    placed last in the pool. Their rank is the order of a random draw, so all explored candidates of the
    shortlist are equally likely to be chosen. The propensity is `lot_chance` times the number of explored
    candidates in the pool, divided by their number in the shortlist. It is exact unless a cap on an artist or
    album excludes an explored candidate.

    Args:
        user: the position of the user in the batch.
        count: how many candidates of the shortlist are ordinary; the explored ones follow.
        total: the length of the shortlist.
        fused: the distinct recordings among the candidates of the user.
        s: the settings of the blend.
        line: the shortlist of the user.
        target: float64, the share of each tag in the user's taste.
        mass: float64, a zero for each tag of `target`, and one more; see `greedy_kernel.continue_greedy`.
        lot_chance: the user's entry of `build.CandidateBatch.lot_chance`.
        pools: the output.
        at: the position in `pools` of the first entry to write.

    Example:
        Only candidate 2 is explored. It gets the last of two places.
        >>> line, three, drops = allocate_shortlist(3, 2, 0), np.arange(3), np.zeros((1, len(RULES)), int)
        >>> _ = [array.fill(0) for array in line]
        >>> line.recording[:], line.artist[:], line.album[:] = three, three, three
        >>> fused = FusedArrays(three, three, three / 2, three, three, three >= 0)
        >>> s = BlendSettings(2, 0, False, True, 0.0, 0.0, 0, 0, 1, 1, explore_bit=1, explore_slots=1)
        >>> pools = PoolArrays(*np.empty((2, 2), np.float32), *np.empty((6, 2), np.int64), drops)
        >>> end = choose_pool(0, 2, 3, fused, s, line, np.empty(0), np.zeros(1), 0.5, pools, 0)
        >>> pools.entry, pools.propensity
        (array([0, 2]), array([1. , 0.5], dtype=float32))
    """
    explored = 0
    for j in range(count, total):
        if explored < min(s.explore_slots, s.k) and not is_full(line, s, j):
            explored = select(line, mass, j, explored)
    heap = init_heap(line, s, target, mass, count, explored)
    heap, chosen = continue_greedy(line, s, target, mass, heap, explored, max(explored, s.k - s.floor_slots))
    if s.floor_slots > 0 and chosen < s.k:
        chosen = fill_floors(line, s, mass, count, total, chosen, s.k)
    heap, chosen = continue_greedy(line, s, target, mass, heap, chosen, s.k)
    ordinary = chosen - explored
    # if slots are free now, no further ordinary candidate can be chosen, so explored ones get these slots
    for j in range(count, total):
        if chosen < s.k and not line.taken[j] and not is_full(line, s, j):
            chosen = select(line, mass, j, chosen)
    for j in range(total):
        if not line.taken[j]:
            artist, album = (
                line.full[0, line.artist[j]] >= s.artist_cap,
                line.full[1, line.album[j]] >= s.album_cap,
            )
            pools.drops[user, ARTIST_CAP if artist else ALBUM_CAP if album else BELOW_CUT] += 1
    pools.size[user], size = chosen, chosen
    heap, chosen = continue_greedy(line, s, target, mass, heap, chosen, chosen + s.reserve)
    pools.reserved[user] = chosen - size
    for place in range(chosen):
        c = (
            place + explored
            if place < ordinary
            else place - ordinary
            if place < explored + ordinary
            else place
        )
        g = line.recording[line.chosen[c]]
        pools.score[at], pools.sources[at], pools.entry[at], pools.main[at] = (
            fused.total[g],
            fused.bits[g],
            fused.entry[g],
            fused.lead[g],
        )
        pools.propensity[at] = 1.0
        if line.chosen[c] >= count:
            pools.propensity[at] = lot_chance * ((size - ordinary) / (total - count))
        at += 1
    return at
