"""Find tracks whose rights have ended since a release was built.

A release contains the rights only as of its own day, so a fill on a later day must check them again.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def ended(tracks: pa.Table | pa.RecordBatch, since: date, today: date) -> pa.Table | pa.RecordBatch:
    """Select the rows with a right whose exclusive end `until` is after `since` and not after `today`.

    Args:
        tracks: an Arrow table or batch of `track_id, rights`, one row for each track.
        since: the day of the release.
        today: the present day.
    """
    rights = (
        tracks["rights"].combine_chunks()
        if isinstance(tracks["rights"], pa.ChunkedArray)
        else tracks["rights"]
    )
    until = pc.struct_field(pc.list_flatten(rights), "until")
    gone = pc.and_(pc.greater(until, pa.scalar(since)), pc.less_equal(until, pa.scalar(today)))
    return tracks.take(pc.unique(pc.list_parent_indices(rights).filter(pc.fill_null(gone, False))))


def lapsed(
    tracks: Sequence[Mapping[str, Any]], market: str, groups: Mapping[str, str], today: date
) -> frozenset[str]:
    """Return the ids of the tracks that have rights, but no right that holds in the market today.

    Args:
        tracks: rows of `track_id, rights`.
        market: the market group of the user.
        groups: market → market group; a right in any market of a group holds for the whole group.
        today: the present day.
    """

    def holds(right: Mapping[str, Any]) -> bool:
        told = right["market"]
        return (
            groups.get(told, told) == market
            and (right["from"] is None or right["from"] <= today)
            and (right["until"] is None or right["until"] > today)
        )

    return frozenset(
        one["track_id"] for one in tracks if one["rights"] and not any(map(holds, one["rights"]))
    )


def playable(ids: pa.Array | pa.ChunkedArray, gone: frozenset[str]) -> NDArray[np.bool_]:
    """Return which track ids of an Arrow column are not among `gone`, bool [n]; true for a null id."""
    if not gone:
        return np.ones(len(ids), bool)
    return ~np.asarray(pc.fill_null(pc.is_in(ids, pa.array(sorted(gone), pa.string())), False)).astype(bool)
