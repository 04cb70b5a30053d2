"""The loops of pool building, compiled by numba: a user's recordings are told apart in a small hash table, so that nothing but the pool is sorted."""

from typing import Any

import numpy as np
from numba import njit

from trackpools.core.selection import key, score_of


@njit(nogil=True, cache=True)
def empty_table(ends: Any) -> Any:
    """A table for the longest of lists, given their ends [lists + 1]: a power of two, at least twice as many slots."""
    slots = 4
    for u in range(len(ends) - 1):
        while slots < 2 * (ends[u + 1] - ends[u]):
            slots *= 2
    return np.zeros(slots, np.int64)


@njit(nogil=True, cache=True)
def named(user: int, recording: int) -> Any:
    """What a slot holds that is taken; what another user left there counts as free, so that no table is ever cleared."""
    return (user + 1) << 32 | recording


@njit(nogil=True, cache=True)
def slot(table: Any, user: int, recording: int) -> int:
    """Where a recording of a user stands in the table, or would."""
    mask, name = len(table) - 1, named(user, recording)
    at = (recording * 2654435761 >> 8) & mask  # the multiplier of Knuth: neighbours are spread
    while table[at] != name and table[at] >> 32 == user + 1:
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)
def meet(ends: Any, recording: Any, past_ends: Any, past: Any, found: Any) -> None:
    """The row of `past` where each user met each of his candidates, to `found` int64; −1 where they never met.

    Args:
        ends: int64 [users + 1], ends of the users' candidates.
        recording: int64, of each candidate.
        past_ends: int64 [users + 1], ends of the users' histories.
        past: int32, the recordings of the histories.
    """
    table = empty_table(past_ends)
    row = np.empty(len(table), np.int64)
    for u in range(len(ends) - 1):
        for h in range(past_ends[u], past_ends[u + 1]):
            at = slot(table, u, np.int64(past[h]))
            table[at], row[at] = named(u, np.int64(past[h])), h
        for f in range(ends[u], ends[u + 1]):
            at = slot(table, u, recording[f])
            found[f] = row[at] if table[at] == named(u, recording[f]) else -1


@njit(nogil=True, cache=True)
def fuse(ends: Any, recording: Any, source: Any, share: Any, flags: Any, k: int, pools: Any, emitted: Any, drops: Any) -> int:
    """Pools of candidates, one behind the other; returns how long they are together.

    Args:
        ends: int64 [users + 1], ends of the users' candidates; of each user by rising source.
        recording, source, flags: int64, of each candidate.
        share: float64, what it adds to its recording's score.
        k: the longest pool.
        pools: arrays to fill, at least [users · k] or as long as the candidates: score float32, sources int64 (bitmap), and the candidate that
            is the first of its recording and the one that adds most, int64.
        emitted: int64 [users], distinct recordings; to fill.
        drops: int64 [users, rules], 0; counts the first rule that binds, the last where the pool is full.
    """
    score, sources, first, main = pools
    table, most, made = empty_table(ends), 0, 0
    for u in range(len(emitted)):
        most = max(most, ends[u + 1] - ends[u])
    group, total = np.empty(len(table), np.int64), np.empty(most)
    head, lead, bits, keys = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    for u in range(len(emitted)):
        count, kept = 0, 0
        for f in range(ends[u], ends[u + 1]):
            at = slot(table, u, recording[f])
            if table[at] != named(u, recording[f]):
                table[at], group[at] = named(u, recording[f]), count
                head[count], lead[count], total[count], bits[count] = f, f, share[f], 1 << source[f]
                count += 1
            else:
                g = group[at]
                total[g] += share[f]
                bits[g] |= 1 << source[f]
                lead[g] = f if share[f] > share[lead[g]] else lead[g]
        for g in range(count):
            flag, rule = flags[head[g]], 0
            if flag == 0:
                keys[kept] = key(np.float32(total[g]), recording[head[g]])
                kept += 1
                continue
            while flag >> rule & 1 == 0:
                rule += 1
            drops[u, rule] += 1
        emitted[u] = count
        drops[u, -1] += max(0, kept - k)
        keys[:kept].sort()
        for f in range(min(k, kept)):
            g = group[slot(table, u, keys[f] & 0x7FFFFFFF)]
            score[made], sources[made], first[made], main[made] = score_of(keys[f]), bits[g], head[g], lead[g]
            made += 1
    return made
