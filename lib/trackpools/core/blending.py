"""The blend of a batch of users, compiled by numba: fuse, drop, line up, choose, account; nothing is kept from one user to the next."""

from typing import Any, NamedTuple

import numpy as np

from trackpools.core.choosing import follow, is_full, room, start, take
from trackpools.core.compiled import njit
from trackpools.core.facets import complete
from trackpools.core.fusing import empty_table, fuse, named, slot
from trackpools.core.lineup import Fused, describe, line_up, one_version
from trackpools.core.rules import BELOW_CUT, RULES

ARTIST_CAP, ALBUM_CAP = RULES.index("artist_cap"), RULES.index("album_cap")


class Made(NamedTuple):
    """Pools with their reserves behind them, one user behind the other; to fill.

    Attributes:
        score, propensity: float32.
        sources: int64, bitmap.
        entry, main: int64, the candidate that is the first of its recording and the one that adds most.
        size, reserved, emitted: int64 [users].
        drops: int64 [users, rules], 0.
    """

    score: Any
    propensity: Any
    sources: Any
    entry: Any
    main: Any
    size: Any
    reserved: Any
    emitted: Any
    drops: Any


@njit(nogil=True, cache=True)
def empty_index(ends: Any) -> Any:
    """A table and what its slots hold, for the longest of lists."""
    table = empty_table(ends)
    return table, np.empty(len(table), np.int64)


@njit(nogil=True, cache=True)
def blend(ends: Any, flat: Any, facts: Any, tastes: Any, s: Any, made: Any) -> int:
    """Fill `made`; returns how much of it.

    Args:
        ends: int64 [users + 1], ends of the users' candidates; of each user by rising source.
        flat, facts: `lineup.Flat` and `lineup.Facts`.
        tastes: `pools.Tastes`.
    """
    most, users = 0, len(ends) - 1
    for u in range(users):
        most = max(most, ends[u + 1] - ends[u])
    index, songs, artists, albums = empty_index(ends), empty_index(ends), empty_index(ends), empty_index(ends)
    longs = np.empty((5, most), np.int64)
    fused, keys = (
        Fused(longs[0], longs[1], np.empty(most), longs[2], longs[3], np.empty(most, np.bool_)),
        longs[4],
    )
    line, best = room(most, min(most, s.k + s.reserve)), np.empty(len(index[0]))
    labels, at = empty_index(tastes.ends), 0
    mass = np.empty(len(labels[0]))
    for u in range(users):
        groups = fuse(u, ends[u], ends[u + 1], flat, s.quota, index, fused)
        made.emitted[u] = groups
        drop(u, groups, flat, fused, made.drops)
        one_version(u, groups, flat, fused, facts, s, songs, best, made.drops)
        count, everybody = line_up(u, groups, flat, fused, s, index, keys, line)
        target = tastes.share[tastes.ends[u] : tastes.ends[u + 1]]
        mass[: len(target)] = 0
        for t in range(len(target)):
            tag = tastes.tag[tastes.ends[u] + t]
            place = slot(labels[0], u, tag)
            labels[0][place], labels[1][place] = named(u, tag), t
        describe(u, everybody, flat, fused, facts, line, artists, albums, labels)
        at = choose(u, count, everybody, fused, s, line, target, mass, made, at)
    return at


@njit(nogil=True, cache=True)
def drop(user: int, groups: int, flat: Any, fused: Any, drops: Any) -> None:
    """Count what rules bind, under the first."""
    for g in range(groups):
        flag, rule = flat.flags[fused.entry[g]], 0
        fused.alive[g] = flag == 0
        if flag != 0:
            while flag >> rule & 1 == 0:
                rule += 1
            drops[user, rule] += 1


@njit(nogil=True, cache=True)
def choose(
    user: int,
    count: int,
    everybody: int,
    fused: Any,
    s: Any,
    line: Any,
    target: Any,
    mass: Any,
    made: Any,
    at: int,
) -> int:
    """Choose pool and reserve and write them behind `at`; returns the position behind.

    The explored are chosen first, so that nothing but their rank and caps decides, and stand last.
    """
    explored = 0
    for j in range(count, everybody):
        if explored < min(s.explore_slots, s.k) and not is_full(line, s, j):
            explored = take(line, mass, j, explored)
    heap = start(line, s, target, mass, count, explored)
    heap, chosen = follow(line, s, target, mass, heap, explored, max(explored, s.k - s.floor_slots))
    if s.floor_slots > 0 and chosen < s.k:
        chosen = complete(line, s, mass, count, everybody, chosen, s.k)
    heap, chosen = follow(line, s, target, mass, heap, chosen, s.k)
    ordinary = chosen - explored
    for j in range(count, everybody):  # nobody else is left
        if chosen < s.k and not line.taken[j] and not is_full(line, s, j):
            chosen = take(line, mass, j, chosen)
    for j in range(everybody):
        if not line.taken[j]:
            artist, album = (
                line.full[0, line.artist[j]] >= s.artist_cap,
                line.full[1, line.album[j]] >= s.album_cap,
            )
            made.drops[user, ARTIST_CAP if artist else ALBUM_CAP if album else BELOW_CUT] += 1
    made.size[user], size = chosen, chosen
    heap, chosen = follow(line, s, target, mass, heap, chosen, chosen + s.reserve)
    made.reserved[user] = chosen - size
    for place in range(chosen):
        c = (
            place + explored
            if place < ordinary
            else place - ordinary
            if place < explored + ordinary
            else place
        )
        g = line.recording[line.chosen[c]]
        made.score[at], made.sources[at], made.entry[at], made.main[at] = (
            fused.total[g],
            fused.bits[g],
            fused.entry[g],
            fused.lead[g],
        )
        made.propensity[at] = (size - ordinary) / (everybody - count) if line.chosen[c] >= count else 1.0
        at += 1
    return at
