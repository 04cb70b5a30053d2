"""What share of a listener's taste each tag has, compiled by numba: the distribution that a pool is calibrated to (Steck 2018)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.core.compiled import njit
from trackpools.core.fusing import empty_table, named, slot
from trackpools.core.pools import Tastes
from trackpools.core.shelf import FUNCTIONAL, TAGS, Shelf

POINT = 2.0**20  # weights are summed as whole numbers of 2⁻²⁰: equal in any order
EVEN = 12  # can be shared among 1, 2, 3 or 4 tags without rest


def tastes(
    past_ends: NDArray[np.int64], past: NDArray[np.int64], weight: NDArray[np.float32], shelf: Shelf
) -> Tastes:
    """From histories: each weight spread evenly over the tags of its recording; functional audio is no taste.

    Args:
        past_ends: int64 [users + 1], ends of the users' histories.
        past: int64, the recordings of the histories.
        weight: float32, w⁺ of each.
    """
    users = len(past_ends) - 1
    ends, tag, share = (
        np.zeros(users + 1, np.int64),
        np.empty(TAGS * len(past), np.int64),
        np.empty(TAGS * len(past)),
    )
    points = np.rint(weight.astype(np.float64) * POINT).astype(np.int64)
    _add_up(past_ends, past, points, shelf.tags, shelf.marks, ends, tag, share)
    return Tastes(ends, tag[: ends[-1]].copy(), share[: ends[-1]].copy())


@njit(nogil=True, cache=True)
def _add_up(
    past_ends: Any, past: Any, points: Any, tags: Any, marks: Any, ends: Any, tag: Any, share: Any
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
            total += points[f] * EVEN
            for q in range(many):
                at = slot(table, u, own[q])
                if table[at] != named(u, own[q]):
                    table[at], place[at] = named(u, own[q]), count
                    tag[made + count], mass[count] = own[q], 0
                    count += 1
                mass[place[at]] += points[f] * (EVEN // many)
        for t in range(count):
            share[made + t] = mass[t] / total
        made += count
        ends[u + 1] = made
