"""The order of chosen tracks: an arc of energy, and no two of an artist side by side where there are others to stand between."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.fill.constraints import Arc

Array = NDArray[Any]
KNOWN = 3  # levels that it takes to follow an arc
SAME = 1e-9  # levels that differ by less are level


def arranged(artist: Array, level: Array, arc: Arc | None = None, *, apart: bool = True) -> Array:
    """The places in their order.

    Args:
        artist: equal for the same; the places stand best first.
        level: float64, what an arc follows; of unknown ones (NaN) the middle is taken.
        apart: whether two of an artist may not be neighbours, as far as that can be.
    """
    order = np.arange(len(artist)) if arc is None else along(level, arc)
    return spread(order, artist) if apart else order


def along(level: Array, arc: Arc) -> Array:
    """The places by their level: upwards, downwards, or up to a peak at two thirds and down."""
    known, unknown = np.flatnonzero(~np.isnan(level)), np.flatnonzero(np.isnan(level))
    order = known[np.argsort(level[known], kind="stable")]
    if arc == "falling":
        order = order[::-1]
    if arc == "peak":
        down = np.zeros(len(order), bool)
        down[1::3] = True  # one of three goes behind the peak, at two thirds of the way
        order = np.concatenate([order[~down], order[down][::-1]])
    # what nobody knows is strewn evenly between
    places = np.linspace(0, len(order), len(unknown) + 2)[1:-1].round().astype(np.int64)
    return np.insert(order, places, unknown)


def spread(order: Array, artist: Array) -> Array:
    """The order with as little moved as it takes that no artist follows itself; where that cannot be, those left over stand last."""
    left, made = list(order), list[int]()
    counts = dict(zip(*(each.tolist() for each in np.unique(artist, return_counts=True)), strict=True))
    while left:
        last = int(artist[made[-1]]) if made else None
        needed = next(
            (
                one
                for one, count in counts.items()
                if count > (len(left)) // 2 and 2 * count == len(left) + 1 and one != last
            ),
            None,
        )
        at = next(
            (
                place
                for place, row in enumerate(left)
                if (int(artist[row]) == needed if needed is not None else int(artist[row]) != last)
            ),
            0,
        )
        row = left.pop(at)
        counts[int(artist[row])] -= 1
        made.append(row)
    return np.array(made, np.int64)


def is_apart(artist: Array) -> bool:
    """Whether no neighbours are of one artist."""
    return bool((artist[1:] != artist[:-1]).all())


def follows(level: Array, arc: Arc) -> bool:
    """Whether the known levels go as the arc does: by the means of their thirds, for a list is heard in phases and not in pairs.

    Fewer than three known levels follow no arc.
    """
    known = level[~np.isnan(level)]
    if len(known) < KNOWN:
        return False
    first, middle, last = (float(third.mean()) for third in np.array_split(known, 3))
    if arc == "peak":
        return max(first, last) <= middle + SAME
    low, high = (first, last) if arc == "rising" else (last, first)
    return low <= middle + SAME and middle <= high + SAME
