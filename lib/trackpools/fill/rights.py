"""Rights that have ended since a release was made: it knows of no later day than its own."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def ended(tracks: Any, since: date, today: date) -> Any:
    """Rows of an Arrow table or batch of `track_id, rights` with a right that ended after one day and by another; `until` is exclusive."""
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
    """Track ids of these that have rights, and none in the market today.

    Args:
        tracks: rows of `track_id, rights`.
        groups: market → group, whose rights hold for its group.
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


def playable(ids: Any, gone: frozenset[str]) -> NDArray[np.bool_]:
    """Which of a column of track ids are not among these, bool [n]."""
    if not gone:
        return np.ones(len(ids), bool)
    return ~np.asarray(pc.fill_null(pc.is_in(ids, pa.array(sorted(gone), pa.string())), False)).astype(bool)
