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
This takes a few computations for each choice instead of all, and gives the same result.
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
        tags: int32 [line, 4], the positions in `target` of the candidate's tags; −1 for a tag that `target`
            lacks, and for no tag.
        part: float64, what each of the candidate's tags adds to `mass`: 1 / number of tags.
        alike: float32, the greatest dot product of the candidate's sketch and the sketch of one of the first
            `seen` chosen candidates, at least 0.
        seen: int32, how many chosen candidates `alike` and `bound` take into account.
        bound: float64, the gain when it was last computed.
        taken: bool, whether the candidate is chosen.
        heap: int32, positions, ordered as a heap by `bound`.
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
    tags: Int32Array
    part: Float64Array
    alike: Float32Array
    seen: Int32Array
    bound: Float64Array
    taken: BoolArray
    heap: Int32Array
    full: Int32Array
    chosen: Int32Array
    picked: Float32Array
    dots: Float32Array


@njit(nogil=True, cache=True)
def allocate_shortlist(most: int, chosen: int) -> Shortlist:
    """Allocate a shortlist for at most `most` candidates, of which at most `chosen` are chosen."""
    return Shortlist(
        np.empty(most, np.int64),
        np.empty(most),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty((most, N_FACETS), np.uint8),
        np.empty((most, AXES), np.float32),
        np.empty((most, TAGS), np.int32),
        np.empty(most),
        np.empty(most, np.float32),
        np.empty(most, np.int32),
        np.empty(most),
        np.empty(most, np.bool_),
        np.empty(most, np.int32),
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
    line.picked[chosen // LANES, :, chosen % LANES] = line.sketch[j]
    for q in range(TAGS):
        if line.tags[j, q] >= 0:
            mass[line.tags[j, q]] += line.part[j]
    return chosen + 1


@njit(nogil=True, cache=True)
def marginal_gain(
    line: Shortlist, s: BlendSettings, target: Float64Array, mass: Float64Array, j: int, chosen: int
) -> float:
    """Return the gain of candidate `j` as the next one after `chosen` others.

    The gain blends two numbers: relevance minus similarity (MMR), and how much nearer the candidate brings
    the tags of the pool to the target (calibration). Compared with a candidate that has no tag of the target,
    candidate `j` lowers KL(target ‖ pool) by Σ p·ln(q̃ with / q̃ without) over its own tags. Here p is the
    target share of a tag, and q̃ = (1 − SMOOTHING)·mass/n + SMOOTHING·p is the smoothed share of the tag in a
    pool of n candidates, with or without candidate `j`. So only the candidate's own tags, at most four, are
    looked at.
    """
    value = (1 - s.mmr) * line.relevance[j] - s.mmr * (np.float64(line.alike[j]) / UNIT)
    if s.calibration == 0:
        return value
    gain, added = 0.0, (1 - SMOOTHING) * line.part[j]
    for q in range(TAGS):
        t = line.tags[j, q]
        if t >= 0:
            gain += target[t] * np.log1p(
                added / ((1 - SMOOTHING) * mass[t] + SMOOTHING * target[t] * (chosen + 1))
            )
    return (1 - s.calibration) * value + s.calibration * gain


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


@njit(nogil=True, cache=True)
def sift_down(heap: Int32Array, bound: Float64Array, at: int, size: int) -> None:
    """Sift the element `at` of a heap down, until no element below it is greater.

    The element of greater bound is above; of equal bounds, the earlier candidate of the shortlist is above.

    Args:
        heap: int32, positions in the shortlist.
        bound: float64 by position.
        at: the place in the heap of the element to sift.
        size: the number of elements of the heap.
    """
    moved = heap[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size:
            left, right = heap[child], heap[child + 1]
            if bound[right] > bound[left] or (bound[right] == bound[left] and right < left):
                child += 1
        below = heap[child]
        if bound[moved] > bound[below] or (bound[moved] == bound[below] and moved < below):
            break
        heap[at] = below
        at = child
    heap[at] = moved


@njit(nogil=True, cache=True)
def init_heap(
    line: Shortlist, s: BlendSettings, target: Float64Array, mass: Float64Array, count: int, chosen: int
) -> int:
    """Build the heap of the first `count` candidates of the shortlist, and return its size."""
    sketch, picked, alike, dots, heap, bound = (
        line.sketch,
        line.picked,
        line.alike,
        line.dots,
        line.heap,
        line.bound,
    )
    for j in range(count):
        heap[j], alike[j], line.seen[j] = j, 0, chosen
        if s.mmr > 0 and chosen > 0:
            alike[j] = max_similarity(sketch[j], picked, 0, chosen, np.float32(0), dots)
        bound[j] = marginal_gain(line, s, target, mass, j, chosen)
    for at in range(count // 2 - 1, -1, -1):
        sift_down(heap, bound, at, count)
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

    Args:
        line: the shortlist of the user.
        s: the settings of the blend.
        target: float64, the share of each tag in the user's taste.
        mass: float64, the sum of `part` over the chosen candidates with each tag of `target`.
        size: the size of the heap.
        chosen: how many candidates are chosen already.
        until: how many are to be chosen in all.

    Returns:
        The size of the heap and the number of chosen candidates afterwards.
    """
    sketch, picked, alike, dots, heap, bound, seen, taken = (
        line.sketch,
        line.picked,
        line.alike,
        line.dots,
        line.heap,
        line.bound,
        line.seen,
        line.taken,
    )
    while size > 0 and chosen < until:
        j = heap[0]
        free = not taken[j] and not is_full(line, s, j)
        if free and seen[j] < chosen and (s.mmr > 0 or s.calibration > 0):
            if s.mmr > 0:
                alike[j] = max_similarity(sketch[j], picked, seen[j], chosen, alike[j], dots)
            seen[j] = chosen
            bound[j] = marginal_gain(line, s, target, mass, j, chosen)
            sift_down(heap, bound, 0, size)
            continue
        size -= 1
        heap[0] = heap[size]
        if size > 0:
            sift_down(heap, bound, 0, size)
        if free:
            chosen = select(line, mass, j, chosen)
    return size, chosen
