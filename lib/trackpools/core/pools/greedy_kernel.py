"""Choose candidates greedily, one after the other; compiled by numba.

Each step chooses the candidate with the greatest gain. The gain is high if the candidate is relevant, differs
from the candidates chosen before, and brings the tags of the pool nearer to the user's taste. The first two
criteria are MMR (Carbonell & Goldstein 1998), the third is calibration (Steck 2018). Caps on artists and
albums are hard limits.

Similarity is measured by sketches: the factors of a recording, compressed to 16 whole numbers of −127 to 127
(see `recording_facts.sketches`).

While other candidates are chosen, the gain of a candidate never rises: its similarity to the chosen ones only
grows, and the need for its tags only falls. So a gain that was computed earlier is an upper bound. The
candidates are kept in a heap by these bounds, and only the gain at the top is computed again (Minoux 1978).
This takes a few computations for each choice instead of all, and gives the same result. It is computed in two
steps, first with the tags of now and the similarity as last known. That is an upper bound, too, so the
similarity is compared only for the few candidates that are still at the top.

With everything on, 2,400 distinct candidates and 550 choices, a blend takes 0.40 of the time of the code before
it: 3.3 ms a user instead of 8.3 ms, measured side by side. Of 3.6 ms on a busy machine, the greedy choice took 1.8 ms,
facts and floors 0.5 ms each, and sorting 0.3 ms. Much of the former time went to reference counts, because Numba
counts a reference for each array that is read from a tuple or passed on. So the inner loops read no array from a
tuple.
"""

from typing import NamedTuple

import numpy as np

from trackpools.core.arrays.array_types import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
    Uint8Array,
)
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.arrays.recording_table import AXES, TAGS

UNIT = 127.0 * 127.0  # the dot product of two sketches of equal direction
N_FACETS = 5  # the number of facets; see `facet_floors`
LANES = 32  # a candidate is compared with this many chosen ones at a time: 2 KB of contiguous memory
NEVER = 2**31 - 1  # in `since`: more candidates are never chosen, so the term is never computed again
SMOOTHING = 0.01  # share of the target that is mixed into the pool's tags, so that no logarithm is of zero


class BlendSettings(NamedTuple):
    """The settings of a blend as plain numbers, derived from `build.PoolRequest`.

    The attributes that are not listed here are those of `PoolRequest`.

    Attributes:
        reserve: the size of the reserve, as a number of candidates.
        quota: whether the blend is `quota`, not `rrf`.
        original: whether the original recording of a song stays, not the best scored.
        floor: how many recordings complete a facet cell.
        floor_slots: at most how many slots are spent on completing facet cells.
        explore_bit: the bit of the explore source; −1 without exploration.
        explore_slots: the number of slots for explored candidates.
    """

    k: int
    reserve: int
    quota: bool
    original: bool
    mmr: float
    calibration: float
    floor: int
    floor_slots: int
    artist_cap: int
    album_cap: int
    explore_bit: int
    explore_slots: int


class Shortlist(NamedTuple):
    """The candidates of a user that may be chosen: the ordinary ones, best first, then the explored ones.

    Explored candidates are those that only the source explore proposed. The same arrays are used for all
    users in turn; they have room for `line` candidates, the most that any user has. A position is an index
    into them. `target` is the array of tag shares in the user's taste, see `continue_greedy`.

    Attributes:
        recording: int64, the position of the recording in `FusedArrays`.
        relevance: float64, the score divided by the best score; 0 for explored candidates.
        artist: int32, the artist, numbered from 0 in the order of the shortlist.
        album: int32, the album, numbered likewise.
        facets: uint8 [line, N_FACETS], decade, tempo, group, familiarity and popularity; 0 is unknown.
        sketch: float32 [line, 16], whole numbers.
        slots: int32 [line, 4], for each of the candidate's tags 4 · its position in `target` + the number of the
            candidate's tags − 1; 4 · length of `target` for a tag that `target` lacks, and for no tag.
        term: float64 by slot, what the tag adds to the gain of a candidate, as last computed; see `tag_term`.
        since: int32 by slot, how many candidates were chosen when `term` was computed.
        base: float64, the part of the gain that does not depend on tags, with `alike` as it is.
        alike: float32, the greatest dot product of the candidate's sketch and the sketch of one of the first
            `seen` chosen candidates, at least 0.
        seen: int32, how many chosen candidates `alike` takes into account.
        timed: int32, how many candidates were chosen when the candidate's bound was last computed.
        taken: bool, whether the candidate is chosen.
        heap: int32 [line + 1], positions, ordered as a heap.
        bound: float64 [line + 1], the last computed gain of each element of the heap; −∞ behind the last.
        full: int32 [2, line], how many candidates are chosen of each artist (row 0) and album (row 1).
        chosen: int32, the positions of the chosen candidates in the order of choice.
        picked: float32 [chosen // LANES + 1, 16, LANES], the sketches of the chosen candidates, in blocks.
        dots: float32 [LANES], scratch.
    """

    recording: Int64Array
    relevance: Float64Array
    artist: Int32Array
    album: Int32Array
    facets: Uint8Array
    sketch: Float32Array
    slots: Int32Array
    term: Float64Array
    since: Int32Array
    base: Float64Array
    alike: Float32Array
    seen: Int32Array
    timed: Int32Array
    taken: BoolArray
    heap: Int32Array
    bound: Float64Array
    full: Int32Array
    chosen: Int32Array
    picked: Float32Array
    dots: Float32Array


@njit(nogil=True, cache=True)
def allocate_shortlist(most: int, chosen: int, targets: int) -> Shortlist:
    """Allocate a shortlist for `most` candidates, `chosen` choices and `targets` tags, at most."""
    return Shortlist(
        np.empty(most, np.int64),
        np.empty(most),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty((most, N_FACETS), np.uint8),
        np.empty((most, AXES), np.float32),
        np.empty((most, TAGS), np.int32),
        np.empty(TAGS * targets + 1),
        np.empty(TAGS * targets + 1, np.int32),
        np.empty(most),
        np.empty(most, np.float32),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most, np.bool_),
        np.empty(most + 1, np.int32),
        np.empty(most + 1),
        np.empty((2, most), np.int32),
        np.empty(chosen, np.int32),
        np.empty((chosen // LANES + 1, AXES, LANES), np.float32),
        np.empty(LANES, np.float32),
    )


@njit(nogil=True, cache=True)
def is_full(line: Shortlist, s: BlendSettings, j: int) -> bool:
    """Return whether the cap on the artist or on the album of candidate `j` is reached."""
    return line.full[0, line.artist[j]] >= s.artist_cap or line.full[1, line.album[j]] >= s.album_cap


@njit(nogil=True, cache=True)
def select(line: Shortlist, mass: Float64Array, j: int, chosen: int) -> int:
    """Choose candidate `j` after `chosen` others, add its tags to `mass`, and return how many are chosen."""
    line.taken[j] = True
    line.full[0, line.artist[j]] += 1
    line.full[1, line.album[j]] += 1
    line.chosen[chosen] = j
    if chosen % LANES == 0:
        line.picked[chosen // LANES] = 0
    for q in range(AXES):
        line.picked[chosen // LANES, q, chosen % LANES] = line.sketch[j, q]
    for q in range(TAGS):
        mass[line.slots[j, q] // TAGS] += 1 / (1 + line.slots[j, q] % TAGS)
    return chosen + 1


@njit(nogil=True, cache=True)
def tag_term(share: float, mass: float, many: int, chosen: int) -> float:
    """Return what a tag of the next candidate after `chosen` others adds to calibration.

    Calibration is how much nearer the candidate brings the tags of the pool to the target. Compared with a
    candidate that has no tag of the target, it lowers KL(target ‖ pool) by Σ p·ln(q̃ with / q̃ without) over
    its own tags, which are at most four. Here p is the target share of a tag, and
    q̃ = (1 − SMOOTHING)·mass/n + SMOOTHING·p is the smoothed share of the tag in a pool of n candidates, with
    or without the candidate. The function returns one term of this sum.

    Args:
        share: the share of the tag in the target.
        mass: the mass of the tag; see `continue_greedy`.
        many: how many tags the candidate has.
        chosen: how many candidates are chosen already.
    """
    added = (1 - SMOOTHING) * (1 / many)
    return share * np.log1p(added / ((1 - SMOOTHING) * mass + SMOOTHING * share * (chosen + 1)))


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # without `fastmath`, `max` compiles to a branch
def max_similarity(
    own: Float32Array, picked: Float32Array, first: int, end: int, best: np.float32, dots: Float32Array
) -> np.float32:
    """Return the maximum of `best` and of `own` · each chosen sketch from `first` to `end`.

    The chosen sketches are compared in whole blocks of `LANES`. Those of the first block that are before
    `first` are compared once more; those of the last block that are behind `end` are zero. Neither changes
    the result. All values are whole numbers below 2²⁴, which float32 adds without error, and float32 products
    are the cheapest vector instructions for this.
    """
    for block in range(first // LANES, (end + LANES - 1) // LANES):
        for c in range(LANES):
            dots[c] = 0
        for q in range(0, AXES, 4):
            a, b, d, e = own[q], own[q + 1], own[q + 2], own[q + 3]
            row, second, third, fourth = (
                picked[block, q],
                picked[block, q + 1],
                picked[block, q + 2],
                picked[block, q + 3],
            )
            for c in range(LANES):
                dots[c] += a * row[c] + b * second[c] + d * third[c] + e * fourth[c]
        for c in range(LANES):
            best = max(best, dots[c])
    return best


@njit(nogil=True, cache=True, forceinline=True)
def sift_down(
    heap: Int32Array, bound: Float64Array, moved: int, value: float, at: np.uint64, size: np.uint64
) -> None:
    """Put a candidate at the place `at` of a heap and sift it down, until no element below it is greater.

    The element of greater bound is above; of equal bounds, the earlier candidate of the shortlist is above.
    Places are unsigned, because a signed index could be negative, and to check for that costs time.

    Args:
        heap: int32, positions in the shortlist.
        bound: float64, the bound of each element of the heap; −∞ at `size`.
        moved: the position of the candidate in the shortlist.
        value: the bound of the candidate.
        at: the place in the heap; its former element is overwritten.
        size: the number of elements of the heap.
    """
    one = np.uint64(1)
    child = (at << one) + one
    while child < size:
        best, below = bound[child], heap[child]
        other, right = bound[child + one], heap[child + one]
        if other > best or (other == best and right < below):
            best, below, child = other, right, child + one
        if value > best or (value == best and moved < below):
            break
        heap[at], bound[at] = below, best
        at, child = child, (child << one) + one
    heap[at], bound[at] = moved, value


@njit(nogil=True, cache=True)
def init_heap(
    line: Shortlist, s: BlendSettings, target: Float64Array, mass: Float64Array, count: int, chosen: int
) -> int:
    """Build the heap of the first `count` candidates of the shortlist, and return its size."""
    heap, bound, slots, term, since = line.heap, line.bound, line.slots, line.term, line.since
    relevance, base, alike, seen, timed = line.relevance, line.base, line.alike, line.seen, line.timed
    nothing = TAGS * len(target)  # the slot for no tag: its term is 0 and never computed
    since[:nothing], since[nothing], term[nothing] = -1, NEVER, 0.0
    for j in range(count):
        heap[j], alike[j], seen[j], timed[j] = j, 0, 0, chosen
        base[j], gain = (1 - s.calibration) * ((1 - s.mmr) * relevance[j]), 0.0
        if s.calibration > 0:
            for q in range(TAGS):
                slot = slots[j, q]
                if since[slot] < chosen:
                    t = slot // TAGS
                    term[slot], since[slot] = tag_term(target[t], mass[t], 1 + slot % TAGS, chosen), chosen
                gain += term[slot]
        bound[j] = base[j] + s.calibration * gain
    bound[count] = -np.inf
    for at in range(count // 2 - 1, -1, -1):
        sift_down(heap, bound, heap[at], bound[at], np.uint64(at), np.uint64(count))
    return count


@njit(nogil=True, cache=True)
def continue_greedy(
    line: Shortlist,
    s: BlendSettings,
    target: Float64Array,
    mass: Float64Array,
    size: int,
    chosen: int,
    until: int,
) -> tuple[int, int]:
    """Choose candidates from the heap until `until` are chosen or the heap is empty.

    The gain of a candidate blends two numbers: relevance minus similarity (MMR), and how much nearer it
    brings the tags of the pool to the target (calibration; see `tag_term`).

    Args:
        line: the shortlist of the user.
        s: the settings of the blend.
        target: float64, the share of each tag in the user's taste.
        mass: float64, for each tag of `target` the sum of 1 / number of tags over the chosen candidates with
            that tag. The entry behind the last tag of `target` is scratch.
        size: the size of the heap.
        chosen: how many candidates are chosen already.
        until: how many are to be chosen in all.

    Returns:
        The size of the heap and the number of chosen candidates afterwards.
    """
    heap, bound, slots, term, since = line.heap, line.bound, line.slots, line.term, line.since
    relevance, base, alike, seen, timed = line.relevance, line.base, line.alike, line.seen, line.timed
    taken, full, artist, album = line.taken, line.full, line.artist, line.album
    sketch, picked, dots = line.sketch, line.picked, line.dots
    while size > 0 and chosen < until:
        j = heap[0]
        free = not taken[j] and full[0, artist[j]] < s.artist_cap and full[1, album[j]] < s.album_cap
        tags_are_old, gain = s.calibration > 0 and timed[j] < chosen, 0.0
        if free and (tags_are_old or (s.mmr > 0 and seen[j] < chosen)):
            if not tags_are_old:
                alike[j] = max_similarity(sketch[j], picked, seen[j], chosen, alike[j], dots)
                value = (1 - s.mmr) * relevance[j] - s.mmr * (np.float64(alike[j]) / UNIT)
                base[j], seen[j] = (1 - s.calibration) * value, chosen
            if s.calibration > 0:
                for q in range(TAGS):
                    slot = slots[j, q]
                    if since[slot] < chosen:
                        t = slot // TAGS
                        term[slot] = tag_term(target[t], mass[t], 1 + slot % TAGS, chosen)
                        since[slot] = chosen
                    gain += term[slot]
            moved, timed[j], value = j, chosen, base[j] + s.calibration * gain
        else:
            if free:
                chosen = select(line, mass, j, chosen)
            size -= 1
            moved, value, bound[size] = heap[size], bound[size], -np.inf
        sift_down(heap, bound, moved, value, np.uint64(0), np.uint64(size))
    return size, chosen
