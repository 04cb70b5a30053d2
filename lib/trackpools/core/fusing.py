"""Meeting and fusing, compiled by numba: a user's recordings are told apart in a small hash table."""

from typing import Any

import numpy as np

from trackpools.core.compiled import njit

AGREED = (
    2.0**-16
)  # what a further source adds to a place in the interleave: enough to win ties of float32, too little to win a place


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
def fuse(user: int, start: int, end: int, flat: Any, quota: bool, index: Any, fused: Any) -> int:
    """The distinct recordings among the candidates `start` to `end` of one user, to `fused`; returns how many.

    Args:
        flat: `lineup.Flat`, candidates of all users; of each user by rising source.
        quota: whether the greatest share counts, with a little for each further source, and not the sum.
        index: a table and what its slots hold, int64.
        fused: `lineup.Fused`, to fill.
    """
    table, group = index
    count = 0
    for f in range(start, end):
        at = slot(table, user, flat.recording[f])
        if table[at] != named(user, flat.recording[f]):
            table[at], group[at] = named(user, flat.recording[f]), count
            fused.entry[count], fused.lead[count], fused.total[count] = f, f, flat.share[f]
            fused.bits[count], fused.votes[count] = 1 << flat.source[f], 1
            count += 1
            continue
        g = group[at]
        share = flat.share[f]
        fused.total[g] = max(fused.total[g], share) if quota else fused.total[g] + share
        fused.lead[g] = f if share > flat.share[fused.lead[g]] else fused.lead[g]
        fused.bits[g] |= 1 << flat.source[f]
        fused.votes[g] += 1
    if quota:
        for g in range(count):
            fused.total[g] *= 1 + (fused.votes[g] - 1) * AGREED
    return count
