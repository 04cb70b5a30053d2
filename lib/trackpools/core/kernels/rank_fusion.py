"""Match candidates with histories, and fuse the candidates of several sources; compiled by numba.

To fuse means to merge a user's candidates with the same recording, which different sources proposed, into
one, and to compute its score. A small hash table finds the distinct recordings of one user: its slots hold
pairs of a user and a recording (see `slot_key`), and a second array of equal length holds a value for each
slot.
"""

from typing import NamedTuple

import numpy as np

from trackpools.core.arrays.array_types import BoolArray, Float64Array, Int64Array, IntArray, Integer
from trackpools.core.arrays.kernel_cache import njit

# With quotas, the score of a recording grows by this share for each further source that proposes it. That is
# enough to decide between equal scores in float32, and too little to overtake a recording with a greater
# score.
AGREED = 2.0**-16
# A hash table (see `empty_table`), and a value for each of its slots.
HashIndex = tuple[Int64Array, Int64Array]


class CandidateArrays(NamedTuple):
    """The candidates of all users as flat arrays, with one entry for each user × source × recording.

    Attributes:
        recording, source, rank, flags, heard: see `pools.build.CandidateBatch`.
        share: float64, what each candidate adds to the score of its recording; see `fuse`.
    """

    recording: Int64Array
    source: Int64Array
    rank: Int64Array
    share: Float64Array
    flags: Int64Array
    heard: BoolArray


class FusedArrays(NamedTuple):
    """The distinct recordings among the candidates of one user, with one entry for each recording.

    The arrays are used for one user after another, so they have room for the user with the most candidates.

    Attributes:
        entry: int64, the recording's first candidate, as a position in `CandidateArrays`.
        lead: int64, the recording's candidate with the greatest share, as a position in `CandidateArrays`.
        total: float64, the recording's score.
        bits: int64, bitmap of the sources that propose the recording.
        votes: int64, the number of these sources.
        alive: bool, false as soon as a rule has dropped the recording.
    """

    entry: Int64Array
    lead: Int64Array
    total: Float64Array
    bits: Int64Array
    votes: Int64Array
    alive: BoolArray


@njit(nogil=True, cache=True)
def empty_table(ends: Int64Array) -> Int64Array:
    """Return an empty hash table, int64, for the recordings of any one of several lists.

    Its length is a power of two, and at least twice the length of the longest list.

    Args:
        ends: int64 [lists + 1]; list `n` has the entries from `ends[n]` to `ends[n + 1]`.
    """
    slots = 4
    for u in range(len(ends) - 1):
        while slots < 2 * (ends[u + 1] - ends[u]):
            slots *= 2
    return np.zeros(slots, np.int64)


@njit(nogil=True, cache=True)
def slot_key(user: int, recording: Integer) -> Integer:
    """Return the number that a slot of the hash table holds for this recording of this user.

    A slot with a number of another user counts as free, so that the table need not be cleared between users.
    """
    return (user + 1) << 32 | recording


@njit(nogil=True, cache=True)
def find_slot(table: Int64Array, user: int, recording: Integer) -> Integer:
    """Return the slot that holds a user's recording, or the free slot where it belongs."""
    mask, name = len(table) - 1, slot_key(user, recording)
    at = (recording * 2654435761 >> 8) & mask  # Knuth's multiplier spreads successive numbers over the table
    while table[at] != name and table[at] >> 32 == user + 1:
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)
def match_history(
    ends: Int64Array, recording: Int64Array, past_ends: Int64Array, past: IntArray, rows: Int64Array
) -> None:
    """Find the row of the user's history that belongs to each candidate.

    Args:
        ends: int64 [users + 1]; the candidates of user `u` are those from `ends[u]` to `ends[u + 1]`.
        recording: int64 [candidates], the recording of each candidate.
        past_ends: int64 [users + 1]; the history of user `u` is from `past_ends[u]` to `past_ends[u + 1]`.
        past: int32 or int64, the recordings of all histories.
        rows: result, int64 [candidates], the position in `past` of the candidate's recording; −1 if the
            user's history lacks it.
    """
    table = empty_table(past_ends)
    row = np.empty(len(table), np.int64)
    for u in range(len(ends) - 1):
        for h in range(past_ends[u], past_ends[u + 1]):
            at = find_slot(table, u, np.int64(past[h]))
            table[at], row[at] = slot_key(u, np.int64(past[h])), h
        for f in range(ends[u], ends[u + 1]):
            at = find_slot(table, u, recording[f])
            rows[f] = row[at] if table[at] == slot_key(u, recording[f]) else -1


@njit(nogil=True, cache=True)
def fuse(
    user: int, start: int, end: int, flat: CandidateArrays, quota: bool, index: HashIndex, fused: FusedArrays
) -> int:
    """Merge one user's candidates by recording.

    Args:
        user: the user's position in the batch; the hash table must not hold entries of this user yet.
        start, end: the user's candidates are at `start:end` of `flat`.
        flat: the candidates of all users; those of one user are ordered by source.
        quota: if true, the score of a recording is the greatest share of its candidates, and a little more
            for each further source (see AGREED); if false, the score is the sum of the shares.
        index: a hash table of `empty_table`, and an int64 array of equal length for the values of its slots.
        fused: the arrays to fill; only `alive` is left as it is.

    Returns:
        The number of distinct recordings.
    """
    table, group = index
    count = 0
    for f in range(start, end):
        at = find_slot(table, user, flat.recording[f])
        if table[at] != slot_key(user, flat.recording[f]):
            table[at], group[at] = slot_key(user, flat.recording[f]), count
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
