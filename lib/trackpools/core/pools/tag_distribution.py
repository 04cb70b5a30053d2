"""Compute the share of each tag in a user's taste; compiled by numba.

Pools are calibrated to these shares (Steck 2018).
"""

import numpy as np

from trackpools.core.arrays.array_types import (
    Float64Array,
    FloatArray,
    Int32Array,
    Int64Array,
    Uint8Array,
)
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.arrays.recording_table import FUNCTIONAL, TAGS, RecordingTable
from trackpools.core.kernels.rank_fusion import empty_table, find_slot, slot_key
from trackpools.core.pools.user_tastes import TagDistributions

WEIGHT_SCALE = 2.0**20  # weights are rounded to multiples of 2⁻²⁰, so that sums are exact in any order
TAG_PARTS = 12  # weights count this many times, because 12 is divisible by 1 to 4, the numbers of tags


def tag_distributions(
    past_ends: Int64Array, past: Int64Array, weight: FloatArray, table: RecordingTable
) -> TagDistributions:
    """Return the tag distribution of each user's history.

    The weight of a recording is spread evenly over its tags; the weight of a recording without tags counts
    for tag 0. Functional audio, such as sleep sounds, does not count, because it shows no taste.

    Args:
        past_ends: int64 [users + 1], where the history of each user ends.
        past: int64, the recordings of the histories.
        weight: float32 or float64, the positive weight w⁺ of each of these recordings.
        table: facts of all recordings.
    """
    users = len(past_ends) - 1
    ends, tag, share = (
        np.zeros(users + 1, np.int64),
        np.empty(TAGS * len(past), np.int64),
        np.empty(TAGS * len(past)),
    )
    points = np.rint(weight.astype(np.float64) * WEIGHT_SCALE).astype(np.int64)
    _add_up(past_ends, past, points, table.tags, table.marks, ends, tag, share)
    return TagDistributions(ends, tag[: ends[-1]].copy(), share[: ends[-1]].copy())


@njit(nogil=True, cache=True)
def _add_up(
    past_ends: Int64Array,
    past: Int64Array,
    points: Int64Array,
    tags: Int32Array,
    marks: Uint8Array,
    ends: Int64Array,
    tag: Int64Array,
    share: Float64Array,
) -> None:
    table = empty_table(past_ends * TAGS)
    place, mass, own = (
        np.empty(len(table), np.int64),
        np.empty(len(table), np.int64),
        np.zeros(TAGS, np.int64),
    )
    made = 0
    for u in range(len(past_ends) - 1):
        count, total = 0, 0
        for f in range(past_ends[u], past_ends[u + 1]):
            if points[f] == 0 or (past[f] < len(marks) and marks[past[f]] & FUNCTIONAL):
                continue
            many = 0
            for q in range(TAGS):
                if past[f] < len(tags) and tags[past[f], q] > 0:
                    own[many] = tags[past[f], q]
                    many += 1
            if many == 0:
                own[0], many = 0, 1
            total += points[f] * TAG_PARTS
            for q in range(many):
                at = find_slot(table, u, own[q])
                if table[at] != slot_key(u, own[q]):
                    table[at], place[at] = slot_key(u, own[q]), count
                    tag[made + count], mass[count] = own[q], 0
                    count += 1
                mass[place[at]] += points[f] * (TAG_PARTS // many)
        for t in range(count):
            share[made + t] = mass[t] / total
        made += count
        ends[u + 1] = made
