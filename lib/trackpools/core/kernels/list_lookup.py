"""Select each user's best recordings from ranked lists, in functions that numba compiles.

A list holds recordings with scores, for example the recordings most similar to one recording. A user has
seeds; each seed selects one list, with a weight. The scores of a user's lists are added up, the recordings
that the user must not get are left out, and the best of the others are kept.
"""

import numpy as np

from trackpools.core.arrays.array_types import Float32Array, Float64Array, Int32Array, Int64Array
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.kernels.rank_fusion import empty_table, find_slot, slot_key
from trackpools.core.topk.selection_kernels import key_score, sort_key


@njit(nogil=True, cache=True)
def uniform_draw(user: int, recording: int, day: int) -> float:
    """Return a pseudo-random number in (0, 1) that depends only on the user, the recording and the day.

    The number is computed by the mixing steps of SplitMix64 (Steele et al. 2014).
    """
    z = (
        np.uint64(user) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(recording) * np.uint64(0xD1B54A32D192ED03)
        + np.uint64(day)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (np.float64(z >> np.uint64(40)) + 0.5) * 2.0**-24  # 24 bits, as many as float32 holds


@njit(nogil=True, cache=True)
def add_up_lists(
    seeds: tuple[Int64Array, Int64Array, Float64Array],
    lists: tuple[Int64Array, Int32Array, Float32Array],
    past: tuple[Int64Array, Int64Array],
    k: int,
    day: int,
    users: Int32Array,
    out: tuple[Int32Array, Float32Array, Int64Array, Int64Array, Int64Array],
) -> None:
    """Fill `out` with each user's k best recordings from the lists that the user's seeds select.

    In these arguments, the entries of user or list `n` are those from `ends[n]` to `ends[n + 1]`.

    Args:
        seeds: (ends int64 [users + 1]; for each seed, the number of its list, int64, or −1 if there is none;
            for each seed, its weight, float64).
        lists: (ends int64 [lists + 1], recordings int32, scores float32).
        past: (ends int64 [users + 1], recordings int64), the recordings that the user must not get.
        k: greatest number of recordings to return for each user.
        day: −1 to rank: the score of a recording is Σ weight · score over the user's lists that hold it,
            added in the order of the seeds. Otherwise recordings are drawn by lot: the score of a recording
            is `uniform_draw` of the user, the recording and this day, whatever the scores of the lists are.
        users: int32 [users], the idx of each user.
        out: five arrays to fill. Recordings int32 [users, k] and their scores float32 [users, k], best first;
            then three of int64 [users]: the number of recordings returned, the number of different recordings
            in the lists that the user must not get, and the number of the other ones, from which the k best
            were selected.

    Example:
        A user has the lists (7, 8) and (8), the second with half the weight, and must not get 7.

        >>> seeds = np.array([0, 2]), np.array([0, 1]), np.array([1.0, 0.5])
        >>> lists = np.array([0, 2, 3]), np.array([7, 8, 8], np.int32), np.array([1, 2, 4], np.float32)
        >>> out = np.empty((1, 2), np.int32), np.empty((1, 2), np.float32), *np.empty((3, 1), np.int64)
        >>> add_up_lists(seeds, lists, (np.array([0, 1]), np.array([7])), 2, -1, np.array([5], np.int32), out)
        >>> [(int(out[0][0, i]), float(out[1][0, i])) for i in range(out[2][0])]  # 1.0 · 2 + 0.5 · 4
        [(8, 4.0)]
    """
    (ends, which, weight), (list_ends, recordings, scores), (past_ends, met) = seeds, lists, past
    found, told, counts, masked, eligible = out
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
            at = find_slot(table, u, met[p])
            table[at], group[at] = slot_key(u, met[p]), -1
        count, back = 0, 0
        for s in range(ends[u], ends[u + 1]):
            if which[s] < 0:
                continue
            for f in range(list_ends[which[s]], list_ends[which[s] + 1]):
                recording = np.int64(recordings[f])
                at = find_slot(table, u, recording)
                if table[at] != slot_key(u, recording):
                    table[at], group[at] = slot_key(u, recording), count
                    item[count], total[count] = recording, 0.0
                    count += 1
                if group[at] >= 0:
                    total[group[at]] += weight[s] * scores[f]
                elif group[at] == -1:
                    group[at], back = -2, back + 1
        for g in range(count):
            keys[g] = sort_key(
                np.float32(total[g] if day < 0 else uniform_draw(users[u], item[g], day)), item[g]
            )
        keys[:count].sort()
        counts[u], masked[u], eligible[u] = min(k, count), back, count
        for g in range(counts[u]):
            found[u, g], told[u, g] = keys[g] & 0x7FFFFFFF, key_score(keys[g])
