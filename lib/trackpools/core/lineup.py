"""The line of those who may be chosen, compiled by numba: one version of each song, best first, with what the shelf knows of them."""

from typing import Any, NamedTuple

import numpy as np

from trackpools.core.compiled import njit
from trackpools.core.fusing import named, slot
from trackpools.core.rules import RULES
from trackpools.core.selection import key, score_of
from trackpools.core.shelf import TAGS

DUPLICATE = RULES.index("duplicate")


class Flat(NamedTuple):
    """Candidates of all users, see `pools.Candidates`; `share` float64 is what each adds to its recording's score."""

    recording: Any
    source: Any
    rank: Any
    share: Any
    flags: Any
    heard: Any


class Fused(NamedTuple):
    """The distinct recordings of a user; room for the longest.

    Attributes:
        entry, lead: int64, the first candidate of it and the one that adds most.
        total: float64, its score.
        bits: int64, bitmap of sources; `votes` how many.
        alive: bool, no rule bound yet.
    """

    entry: Any
    lead: Any
    total: Any
    bits: Any
    votes: Any
    alive: Any


class Facts(NamedTuple):
    """What of `shelf.Shelf` the blend looks up."""

    song: Any
    artist: Any
    album: Any
    tags: Any
    decade: Any
    tempo: Any
    group: Any
    band: Any
    sketch: Any


@njit(nogil=True, cache=True)
def is_explored(fused: Any, s: Any, g: int) -> Any:
    """Whether the explore source alone proposes it."""
    return s.explore_bit >= 0 and fused.bits[g] == 1 << s.explore_bit


@njit(nogil=True, cache=True)
def one_version(
    user: int, groups: int, flat: Any, fused: Any, facts: Any, s: Any, songs: Any, best: Any, drops: Any
) -> None:
    """Keep one recording of each song, with the greatest score of all.

    It is one that others than the explore source propose, then the original where it is wanted, then the best scored, then the lower idx.
    """
    table, kept = songs
    for g in range(groups):
        if not fused.alive[g]:
            continue
        recording = flat.recording[fused.entry[g]]
        song = np.int64(facts.song[recording]) if recording < len(facts.song) else recording
        at = slot(table, user, song)
        if table[at] != named(user, song):
            table[at], kept[at], best[at] = named(user, song), g, fused.total[g]
            continue
        other, best[at] = kept[at], max(best[at], fused.total[g])
        first = flat.recording[fused.entry[other]]
        wins = key(np.float32(fused.total[g]), recording) < key(np.float32(fused.total[other]), first)
        if s.original and song in (recording, first):
            wins = recording == song
        if is_explored(fused, s, g) != is_explored(fused, s, other):
            wins = is_explored(fused, s, other)
        kept[at] = g if wins else other
        fused.alive[other if wins else g] = False
        drops[user, DUPLICATE] += 1
    for g in range(groups):
        if fused.alive[g]:
            recording = flat.recording[fused.entry[g]]
            song = np.int64(facts.song[recording]) if recording < len(facts.song) else recording
            fused.total[g] = best[slot(table, user, song)]


@njit(nogil=True, cache=True)
def line_up(user: int, groups: int, flat: Any, fused: Any, s: Any, index: Any, keys: Any, line: Any) -> Any:
    """Best first, and behind them what is only explored, as its source ranks it; returns how many there are without and with these."""
    count, back = 0, groups
    for g in range(groups):
        if not fused.alive[g]:
            continue
        recording = flat.recording[fused.entry[g]]
        if is_explored(fused, s, g):
            back -= 1
            keys[back] = flat.rank[fused.entry[g]] << 32 | recording
        else:
            keys[count] = key(np.float32(fused.total[g]), recording)
            count += 1
    keys[:count].sort()
    keys[back:groups].sort()
    everybody = count + groups - back
    for j in range(everybody):
        packed = keys[j] if j < count else keys[back + j - count]
        line.recording[j] = index[1][slot(index[0], user, packed & 0x7FFFFFFF)]
        line.relevance[j] = np.float64(score_of(packed)) / np.float64(score_of(keys[0])) if j < count else 0.0
        line.taken[j] = False
    return count, everybody


@njit(nogil=True, cache=True)
def describe(
    user: int,
    everybody: int,
    flat: Any,
    fused: Any,
    facts: Any,
    line: Any,
    artists: Any,
    albums: Any,
    labels: Any,
) -> None:
    """What the shelf knows of those in the line; one that is not on it is an artist and an album of its own, and all else unknown."""
    line.full[:, :everybody] = 0
    line.tags[:everybody], line.facets[:everybody], line.sketch[:everybody] = -1, 0, 0
    many = np.zeros(2, np.int64)
    for j in range(everybody):
        head = fused.entry[line.recording[j]]
        recording = flat.recording[head]
        known = recording < len(facts.song)
        artist, album = (
            (np.int64(facts.artist[recording]), np.int64(facts.album[recording]))
            if known
            else (recording, recording)
        )
        line.artist[j] = numbered(artists, user, artist, many, 0)
        line.album[j] = numbered(albums, user, album, many, 1)
        line.facets[j, 3] = 2 if flat.heard[head] else 1
        tags = 0
        if known:
            line.facets[j, 0], line.facets[j, 1], line.facets[j, 2] = (
                facts.decade[recording],
                facts.tempo[recording],
                facts.group[recording],
            )
            line.facets[j, 4] = facts.band[recording]
            line.sketch[j] = facts.sketch[recording]
            for q in range(TAGS):
                if facts.tags[recording, q] > 0:
                    line.tags[j, q] = place_of(labels, user, np.int64(facts.tags[recording, q]))
                    tags += 1
        if tags == 0:
            line.tags[j, 0] = place_of(labels, user, 0)
        line.part[j] = 1 / max(tags, 1)


@njit(nogil=True, cache=True)
def numbered(index: Any, user: int, name: int, many: Any, which: int) -> Any:
    """The number of a name, a new one where it is new."""
    table, numbers = index
    at = slot(table, user, name)
    if table[at] != named(user, name):
        table[at], numbers[at] = named(user, name), many[which]
        many[which] += 1
    return numbers[at]


@njit(nogil=True, cache=True)
def place_of(labels: Any, user: int, tag: int) -> Any:
    """Where a tag stands in the listener's target, or −1."""
    at = slot(labels[0], user, tag)
    return labels[1][at] if labels[0][at] == named(user, tag) else -1
