"""From seeds to a listener's items, compiled by numba: the lists looked up are added, what is no news is left out, the best are kept."""

from typing import Any

import numpy as np

from trackpools.core.compiled import njit
from trackpools.core.fusing import empty_table, named, slot
from trackpools.core.selection import key, score_of


@njit(nogil=True, cache=True)
def lot(user: int, recording: int, day: int) -> Any:
    """A number in (0, 1) that is drawn for a user, a recording and a day; the mixing steps of SplitMix64 (Steele et al. 2014)."""
    z = (
        np.uint64(user) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(recording) * np.uint64(0xD1B54A32D192ED03)
        + np.uint64(day)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (np.float64(z >> np.uint64(40)) + 0.5) * 2.0**-24  # as many bits as float32 holds


@njit(nogil=True, cache=True)
def spread(asked: Any, lists: Any, past: Any, k: int, day: int, users: Any, out: Any) -> None:
    """Each user's best of the lists looked up.

    Args:
        asked: (ends int64 [users + 1], which list int64 or −1, weight float64) of the seeds, by user.
        lists: (ends int64 [lists + 1], recordings int32, scores float32).
        past: (ends int64 [users + 1], recordings int64): what a user must not get.
        k: items a user at most.
        day: −1, and an item's score is Σ weight · score over the lists it is in, in the order of the seeds; else its lot of that day.
        users: int32 idx of each user.
        out: arrays to fill: recordings int32 [users, k], scores float32 [users, k], counts int64 [users] and how many were kept back int64 [users].
    """
    (ends, which, weight), (list_ends, recordings, scores), (past_ends, met) = asked, lists, past
    found, told, counts, masked = out
    most = 1
    for u in range(len(users)):
        size = past_ends[u + 1] - past_ends[u]
        for s in range(ends[u], ends[u + 1]):
            if which[s] >= 0:
                size += list_ends[which[s] + 1] - list_ends[which[s]]
        most = max(most, size)
    table = empty_table(np.array([0, most]))
    group = np.empty(len(table), np.int64)
    total, item, keys = np.empty(most), np.empty(most, np.int64), np.empty(most, np.int64)
    for u in range(len(users)):
        for p in range(past_ends[u], past_ends[u + 1]):
            at = slot(table, u, met[p])
            table[at], group[at] = named(u, met[p]), -1
        count, back = 0, 0
        for s in range(ends[u], ends[u + 1]):
            if which[s] < 0:
                continue
            for f in range(list_ends[which[s]], list_ends[which[s] + 1]):
                recording = np.int64(recordings[f])
                at = slot(table, u, recording)
                if table[at] != named(u, recording):
                    table[at], group[at] = named(u, recording), count
                    item[count], total[count] = recording, 0.0
                    count += 1
                if group[at] >= 0:
                    total[group[at]] += weight[s] * scores[f]
                elif group[at] == -1:
                    group[at], back = -2, back + 1
        for g in range(count):
            keys[g] = key(np.float32(total[g] if day < 0 else lot(users[u], item[g], day)), item[g])
        keys[:count].sort()
        counts[u], masked[u] = min(k, count), back
        for g in range(counts[u]):
            found[u, g], told[u, g] = keys[g] & 0x7FFFFFFF, score_of(keys[g])
