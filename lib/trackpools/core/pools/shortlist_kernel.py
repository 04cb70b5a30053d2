"""Build the shortlist of a user: one version of each song, best first, with its facts.

The functions are compiled by numba.
"""

from typing import NamedTuple

import numpy as np

from trackpools.core.arrays.array_types import (
    Float32Array,
    Float64Array,
    Int8Array,
    Int32Array,
    Int64Array,
    Uint8Array,
)
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.arrays.recording_table import AXES, TAGS
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
    targets: int,
    scratch: Int64Array,
) -> None:
    """Write the facts of each recording of a shortlist to `line`.

    A recording that the recording table does not hold counts as an artist and an album of its own. Of its
    other facts, only the familiarity (2 if the user has heard it, else 1) is known.

    Each column is looked up in a loop of its own; see `greedy_kernel` for the reason.

    Args:
        user: the position of the user in the batch.
        total: the number of recordings in the shortlist.
        flat: the candidates of all users.
        fused: the distinct recordings among the candidates of the user.
        facts: the facts of all recordings, by `recording_idx`.
        line: the shortlist, as `build_shortlist` left it.
        artists, albums: hash tables for the numbers that artists and albums get; scratch.
        labels: a hash table: tag → position in the user's target. The tag 0 stands for no tag.
        targets: the number of tags in the user's target.
        scratch: int64, at least one entry for each recording of the shortlist.
    """
    offered, heard, entry, group, facets = (
        flat.recording,
        flat.heard,
        fused.entry,
        line.recording,
        line.facets,
    )
    recording = scratch[:total]
    for j in range(total):
        head = entry[group[j]]
        recording[j], facets[j, 3] = offered[head], 2 if heard[head] else 1
    line.full[:, :total] = 0
    number_names(user, recording, facts.artist, artists, line.artist)
    number_names(user, recording, facts.album, albums, line.album)
    look_up_facet(recording, facts.decade, 0, facets)
    look_up_facet(recording, facts.tempo, 1, facets)
    look_up_facet(recording, facts.group, 2, facets)
    look_up_facet(recording, facts.band, 4, facets)
    look_up_sketches(recording, facts.sketch, line.sketch)
    look_up_tags(user, recording, facts.tags, labels, targets, line.slots)


@njit(nogil=True, cache=True)
def number_names(
    user: int, recording: Int64Array, names: Int32Array, index: HashIndex, out: Int32Array
) -> None:
    """Number the artists or albums of recordings from 0, in the order in which they first occur.

    Args:
        user: the position of the user in the batch.
        recording: int64 [n], the recordings.
        names: int32 by recording, the artist or album.
        index: a hash table, and the number for each slot; scratch.
        out: int32, at least n entries; the numbers are written to the first n.
    """
    table, numbers = index
    many = 0
    for j in range(len(recording)):
        name = np.int64(names[recording[j]]) if recording[j] < len(names) else recording[j]
        at = find_slot(table, user, name)
        if table[at] != slot_key(user, name):
            table[at], numbers[at] = slot_key(user, name), many
            many += 1
        out[j] = numbers[at]


@njit(nogil=True, cache=True)
def look_up_facet(recording: Int64Array, values: Uint8Array, d: int, facets: Uint8Array) -> None:
    """Write facet `d` of recordings, uint8 by recording, to column `d` of `facets`; 0 beyond its end."""
    for j in range(len(recording)):
        facets[j, d] = values[recording[j]] if recording[j] < len(values) else 0


@njit(nogil=True, cache=True)
def look_up_sketches(recording: Int64Array, values: Int8Array, sketch: Float32Array) -> None:
    """Write the sketches of recordings, int8 [recordings, 16], to float32 `sketch`; 0 beyond the end."""
    for j in range(len(recording)):
        for q in range(AXES):
            sketch[j, q] = values[recording[j], q] if recording[j] < len(values) else 0


@njit(nogil=True, cache=True)
def look_up_tags(
    user: int, recording: Int64Array, values: Int32Array, labels: HashIndex, targets: int, slots: Int32Array
) -> None:
    """Write the slots of the tags of recordings; see `Shortlist.slots`.

    Args:
        user: the position of the user in the batch.
        recording: int64 [n], the recordings.
        values: int32 [recordings, 4], the tags of each recording, 0 for none.
        labels: a hash table: tag → position in the user's target. The tag 0 stands for no tag.
        targets: the number of tags in the user's target.
        slots: int32 [n or more, 4], the output.
    """
    table, places = labels
    for j in range(len(recording)):
        r, tags = recording[j], 0
        if r < len(values):
            for q in range(TAGS):
                tags += values[r, q] > 0
        for q in range(TAGS):
            tag, slots[j, q] = np.int64(values[r, q]) if tags > 0 else 0, TAGS * targets
            if tag > 0 or (tags == 0 and q == 0):
                at = find_slot(table, user, tag)
                if table[at] == slot_key(user, tag):
                    slots[j, q] = TAGS * places[at] + max(tags, 1) - 1
