"""Choosing one candidate after the other, compiled by numba: relevant, unlike what is chosen, true to the listener's tags, under hard caps.

The first two are MMR (Carbonell & Goldstein 1998), the third is calibration (Steck 2018). What a candidate is worth never rises while others are
chosen: it only grows more alike, and its tags less wanted. So an old worth is a bound, and only candidates at the top of a heap of bounds are
weighed again (Minoux 1978): a few a choice instead of all, with the same answer.
"""

from typing import Any, NamedTuple

import numpy as np

from trackpools.core.compiled import njit
from trackpools.core.shelf import AXES, TAGS

UNIT = 127.0 * 127.0  # sketch · sketch of equal directions
DIMENSIONS = 5  # facets, see `facets`
LANES = 32  # chosen that a candidate is compared with at a time: 2 KB that lie together
SMOOTHING = 0.01  # share of the target in the smoothed distribution (Steck 2018): no logarithm of zero


class Settings(NamedTuple):
    """How a pool is chosen; `explore_bit` is −1 where nobody explores."""

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


class Line(NamedTuple):
    """The candidates of a user that may be chosen, best first, behind them those that are only explored; room for the longest user.

    Attributes:
        recording: int64, its fused recording.
        relevance: float64, score / best score.
        artist, album: int32, numbered from 0 by first appearance.
        facets: uint8 [line, DIMENSIONS], decade, tempo, group, familiarity and popularity; 0 is unknown.
        sketch: float32 [line, 16], whole numbers.
        tags: int32 [line, 4], places in the listener's target; −1 where it is not there.
        part: float64, what each of its tags adds.
        alike: float32, greatest sketch · sketch with the first `seen` chosen, at least 0.
        bound: float64, worth when it was last weighed.
        heap: int32, places in the line.
        full: int32 [2, line], chosen by artist and by album.
        chosen: int32, places in the line in the order of choice; `picked` float32 [chosen / LANES, 16, LANES] their sketches.
        dots: float32 [LANES], scratch.
    """

    recording: Any
    relevance: Any
    artist: Any
    album: Any
    facets: Any
    sketch: Any
    tags: Any
    part: Any
    alike: Any
    seen: Any
    bound: Any
    taken: Any
    heap: Any
    full: Any
    chosen: Any
    picked: Any
    dots: Any


@njit(nogil=True, cache=True)
def room(most: int, chosen: int) -> Line:
    """A line for so many candidates, of which so many are chosen."""
    return Line(
        np.empty(most, np.int64),
        np.empty(most),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty((most, DIMENSIONS), np.uint8),
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
def is_full(line: Any, s: Any, j: int) -> Any:
    """Whether the artist or the album of a candidate has as many in the pool as it may."""
    return line.full[0, line.artist[j]] >= s.artist_cap or line.full[1, line.album[j]] >= s.album_cap


@njit(nogil=True, cache=True)
def take(line: Any, mass: Any, j: int, chosen: int) -> int:
    """Choose a candidate; returns how many are chosen."""
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
def worth(line: Any, s: Any, target: Any, mass: Any, j: int, chosen: int) -> Any:
    """What a candidate adds: relevance less likeness, and by how much it brings the tags of the pool nearer to the target.

    KL(target ‖ pool) falls, against one whose tags are nobody's, by Σ p·ln(q̃ with / q̃ without) over its own tags, where
    q̃ = (1 − SMOOTHING)·mass/n + SMOOTHING·p: so only its four tags are looked at.
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


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # else a maximum is a branch
def likest(own: Any, picked: Any, first: int, end: int, most: Any, dots: Any) -> Any:
    """The greatest of `most` and own · each chosen from `first` to `end`, by whole blocks: those before count again, and those behind are zero.

    All are whole numbers below 2²⁴, which float32 adds without error: its products are the cheapest vector instructions here.
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
            most = dots[c] if dots[c] > most else most
    return most


@njit(nogil=True, cache=True)
def sink(heap: Any, bound: Any, at: int, size: int) -> None:
    """Put what stands at a place of the heap where it belongs below; the greater bound is above, of equals the earlier in the line."""
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
def start(line: Any, s: Any, target: Any, mass: Any, count: int, chosen: int) -> int:
    """Make the heap of the first `count` of the line; returns its size."""
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
            alike[j] = likest(sketch[j], picked, 0, chosen, np.float32(0), dots)
        bound[j] = worth(line, s, target, mass, j, chosen)
    for at in range(count // 2 - 1, -1, -1):
        sink(heap, bound, at, count)
    return count


@njit(nogil=True, cache=True)
def follow(line: Any, s: Any, target: Any, mass: Any, size: int, chosen: int, until: int) -> Any:
    """Choose until so many are chosen or nobody is left; returns the size of the heap and how many are chosen."""
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
                alike[j] = likest(sketch[j], picked, seen[j], chosen, alike[j], dots)
            seen[j] = chosen
            bound[j] = worth(line, s, target, mass, j, chosen)
            sink(heap, bound, 0, size)
            continue
        size -= 1
        heap[0] = heap[size]
        if size > 0:
            sink(heap, bound, 0, size)
        if free:
            chosen = take(line, mass, j, chosen)
    return size, chosen
