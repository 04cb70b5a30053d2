"""Build the shortlist of a user: one version of each song, best first, with its facts.

The functions are compiled by numba.
"""

from typing import NamedTuple

import numpy as np

from trackpools.core.arrays.array_types import (
    Float64Array,
    Int8Array,
    Int32Array,
    Int64Array,
    Integer,
    Uint8Array,
)
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.arrays.recording_table import TAGS
from trackpools.core.kernels.rank_fusion import (
    CandidateArrays,
    FusedArrays,
    HashIndex,
    find_slot,
    slot_key,
)
from trackpools.core.pools.greedy_kernel import BlendSettings, Shortlist
from trackpools.core.rules.eligibility import RULES
from trackpools.core.topk.selection_kernels import key_score, sort_key

DUPLICATE = RULES.index("duplicate")


class RecordingArrays(NamedTuple):
    """The columns of `RecordingTable` that the blend looks up, each by `recording_idx`."""

    song: Int32Array
    artist: Int32Array
    album: Int32Array
    tags: Int32Array
    decade: Uint8Array
    tempo: Uint8Array
    group: Uint8Array
    band: Uint8Array
    sketch: Int8Array


@njit(nogil=True, cache=True)
def is_explored(fused: FusedArrays, s: BlendSettings, g: int) -> bool:
    """Return whether only the source explore proposes recording `g` of the fused recordings."""
    return s.explore_bit >= 0 and fused.bits[g] == 1 << s.explore_bit


@njit(nogil=True, cache=True)
def keep_one_version(
    user: int,
    groups: int,
    flat: CandidateArrays,
    fused: FusedArrays,
    facts: RecordingArrays,
    s: BlendSettings,
    songs: HashIndex,
    best: Float64Array,
    drops: Int64Array,
) -> None:
    """Keep one recording of each song, and drop the others as duplicates.

    The recording that stays gets the greatest score of all versions. Which of two versions stays is decided
    by the first of these criteria in which they differ: a source other than explore proposes it; it is the
    original (if `s.original` is true); its score is greater; its `recording_idx` is lower.

    Args:
        user: the position of the user in the batch.
        groups: the number of fused recordings.
        flat: the candidates of all users.
        fused: the distinct recordings among the candidates of the user; `alive` and `total` are changed.
        facts: the facts of all recordings, by `recording_idx`.
        s: the settings of the blend.
        songs: a hash table by song, and an int64 value for each of its slots; scratch.
        best: float64, one entry for each slot of the table; scratch.
        drops: int64 [users, rules]; the duplicates are added to it.

    Example:
        Recording 1 is a version of song 0 with a greater score. The original stays, with that score.

        >>> from trackpools.core.arrays.recording_table import RecordingTable
        >>> table, two = RecordingTable.blank(2), np.arange(2)
        >>> facts = RecordingArrays(*(getattr(table, name) for name in RecordingArrays._fields))
        >>> facts.song[1] = 0
        >>> flat = CandidateArrays(two, two, two, two / 2, two, two < 0)
        >>> fused = FusedArrays(two, two, np.array([0.1, 0.9]), two, two, two >= 0)
        >>> s = BlendSettings(1, 0, False, True, 0.0, 0.0, 0, 0, 1, 1, explore_bit=-1, explore_slots=0)
        >>> songs, drops = (np.zeros(4, np.int64), two.repeat(2)), np.zeros((1, len(RULES)), np.int64)
        >>> keep_one_version(0, 2, flat, fused, facts, s, songs, np.empty(4), drops)
        >>> fused.alive, fused.total
        (array([ True, False]), array([0.9, 0.9]))
    """
    table, kept = songs
    for g in range(groups):
        if not fused.alive[g]:
            continue
        recording = flat.recording[fused.entry[g]]
        song = np.int64(facts.song[recording]) if recording < len(facts.song) else recording
        at = find_slot(table, user, song)
        if table[at] != slot_key(user, song):
            table[at], kept[at], best[at] = slot_key(user, song), g, fused.total[g]
            continue
        other, best[at] = kept[at], max(best[at], fused.total[g])
        first = flat.recording[fused.entry[other]]
        wins = sort_key(np.float32(fused.total[g]), recording) < sort_key(
            np.float32(fused.total[other]), first
        )
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
            fused.total[g] = best[find_slot(table, user, song)]


@njit(nogil=True, cache=True)
def build_shortlist(
    user: int,
    groups: int,
    flat: CandidateArrays,
    fused: FusedArrays,
    s: BlendSettings,
    index: HashIndex,
    keys: Int64Array,
    line: Shortlist,
) -> tuple[int, int]:
    """Write the recordings of a user to `line`: the ordinary ones, best first, then the explored ones.

    Explored recordings are those that only the source explore proposes. They keep the order of that source.

    Args:
        user: the position of the user in the batch.
        groups: the number of fused recordings.
        flat: the candidates of all users.
        fused: the distinct recordings among the candidates of the user.
        s: the settings of the blend.
        index: the hash table that `fuse` filled: recording → position in `fused`.
        keys: int64, at least one entry for each fused recording; scratch.
        line: `recording`, `relevance` and `taken` are written.

    Returns:
        The number of ordinary recordings, and the number of all recordings.
    """
    count, back = 0, groups
    for g in range(groups):
        if not fused.alive[g]:
            continue
        recording = flat.recording[fused.entry[g]]
        if is_explored(fused, s, g):
            back -= 1
            keys[back] = flat.rank[fused.entry[g]] << 32 | recording
        else:
            keys[count] = sort_key(np.float32(fused.total[g]), recording)
            count += 1
    keys[:count].sort()
    keys[back:groups].sort()
    total = count + groups - back
    for j in range(total):
        packed = keys[j] if j < count else keys[back + j - count]
        line.recording[j] = index[1][find_slot(index[0], user, packed & 0x7FFFFFFF)]
        line.relevance[j] = (
            np.float64(key_score(packed)) / np.float64(key_score(keys[0])) if j < count else 0.0
        )
        line.taken[j] = False
    return count, total


@njit(nogil=True, cache=True)
def attach_facts(
    user: int,
    total: int,
    flat: CandidateArrays,
    fused: FusedArrays,
    facts: RecordingArrays,
    line: Shortlist,
    artists: HashIndex,
    albums: HashIndex,
    labels: HashIndex,
) -> None:
    """Write the facts of each recording of a shortlist to `line`.

    A recording that the recording table does not hold counts as an artist and an album of its own. Of its
    other facts, only the familiarity (2 if the user has heard it, else 1) is known.

    Args:
        user: the position of the user in the batch.
        total: the number of recordings in the shortlist.
        flat: the candidates of all users.
        fused: the distinct recordings among the candidates of the user.
        facts: the facts of all recordings, by `recording_idx`.
        line: the shortlist, as `build_shortlist` left it.
        artists, albums: hash tables for the numbers that artists and albums get; scratch.
        labels: a hash table: tag → position in the user's target. The tag 0 stands for no tag.
    """
    line.full[:, :total] = 0
    line.tags[:total], line.facets[:total], line.sketch[:total] = -1, 0, 0
    many = np.zeros(2, np.int64)
    for j in range(total):
        head = fused.entry[line.recording[j]]
        recording = flat.recording[head]
        known = recording < len(facts.song)
        artist, album = (
            (np.int64(facts.artist[recording]), np.int64(facts.album[recording]))
            if known
            else (recording, recording)
        )
        line.artist[j] = number_of(artists, user, artist, many, 0)
        line.album[j] = number_of(albums, user, album, many, 1)
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
                    line.tags[j, q] = target_place(labels, user, np.int64(facts.tags[recording, q]))
                    tags += 1
        if tags == 0:
            line.tags[j, 0] = target_place(labels, user, 0)
        line.part[j] = 1 / max(tags, 1)


@njit(nogil=True, cache=True)
def number_of(index: HashIndex, user: int, name: Integer, many: Int64Array, which: int) -> Integer:
    """Return the number of an artist or album `name`; a new one gets the next number, `many[which]`."""
    table, numbers = index
    at = find_slot(table, user, name)
    if table[at] != slot_key(user, name):
        table[at], numbers[at] = slot_key(user, name), many[which]
        many[which] += 1
    return numbers[at]


@njit(nogil=True, cache=True)
def target_place(labels: HashIndex, user: int, tag: Integer) -> Integer:
    """Return the position of a tag in the user's target, or −1 if the target lacks the tag."""
    at = find_slot(labels[0], user, tag)
    return labels[1][at] if labels[0][at] == slot_key(user, tag) else -1
