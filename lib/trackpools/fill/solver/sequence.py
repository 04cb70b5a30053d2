"""Order the chosen tracks: along an arc of energy or tempo, and with tracks of one artist kept apart."""

import numpy as np

from trackpools.core.arrays.array_types import Float64Array, Int64Array
from trackpools.fill.contract.constraints import Arc

MIN_KNOWN_LEVELS = 3  # a playlist with fewer known levels follows no arc
SAME = 1e-9  # levels that differ by less than this count as equal


def order_tracks(
    artist: Int64Array, level: Float64Array, arc: Arc | None = None, *, apart: bool = True
) -> Int64Array:
    """Order tracks by an arc, if there is one, and separate those of the same artist.

    Args:
        artist: int64 [n], equal for tracks of the same artist; the tracks are given best first.
        level: float64 [n], the energy or tempo that the arc follows; tracks of unknown level (NaN) are spread
            evenly among the others.
        arc: rising, falling or peak; None keeps the given order.
        apart: whether tracks of one artist are kept from being neighbours, as far as possible.

    Returns:
        int64 [n], the places of the given tracks in their new order.
    """
    order = np.arange(len(artist)) if arc is None else order_by_arc(level, arc)
    return separate_artists(order, artist) if apart else order


def order_by_arc(level: Float64Array, arc: Arc) -> Int64Array:
    """Return the places ordered by level: rising, falling, or rising for two thirds and then falling."""
    known, unknown = np.flatnonzero(~np.isnan(level)), np.flatnonzero(np.isnan(level))
    order = known[np.argsort(level[known], kind="stable")]
    if arc == "falling":
        order = order[::-1]
    if arc == "peak":
        down = np.zeros(len(order), bool)
        down[1::3] = True  # every third track is put behind the peak, so the peak is at two thirds of the way
        order = np.concatenate([order[~down], order[down][::-1]])
    # tracks of unknown level are spread evenly among the others
    places = np.linspace(0, len(order), len(unknown) + 2)[1:-1].round().astype(np.int64)
    return np.insert(order, places, unknown)


def separate_artists(order: Int64Array, artist: Int64Array) -> Int64Array:
    """Reorder tracks so that no two neighbours are by the same artist, and otherwise keep their order.

    Each step takes the first remaining track that is not by the artist of the track before. An artist with
    more than half of the remaining tracks is next in any case. If an order without equal neighbours is
    impossible, the tracks that are left over are last.

    Args:
        order: int64 [n], places of the tracks in their order.
        artist: int64, the artist of each place.

    Returns:
        int64 [n], the same places in the new order.
    """
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


def is_apart(artist: Int64Array) -> bool:
    """Return whether no two neighbours are by the same artist."""
    return bool((artist[1:] != artist[:-1]).all())


def follows_arc(level: Float64Array, arc: Arc) -> bool:
    """Return whether the known levels follow the arc.

    This is judged by the means of the first, middle and last third of the known levels. Thirds are compared,
    not neighbours, because users perceive a playlist in phases and not in pairs. Fewer than MIN_KNOWN_LEVELS
    known levels follow no arc.
    """
    known = level[~np.isnan(level)]
    if len(known) < MIN_KNOWN_LEVELS:
        return False
    first, middle, last = (float(third.mean()) for third in np.array_split(known, 3))
    if arc == "peak":
        return max(first, last) <= middle + SAME
    low, high = (first, last) if arc == "rising" else (last, first)
    return low <= middle + SAME and middle <= high + SAME
