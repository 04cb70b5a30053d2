"""For a sample of users everything that was proposed: by whom, at which rank, and what became of it."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.core.pools import Candidates, Picks
from trackpools.core.rules import RULES

PARTS = 10_000


def in_sample(share: float) -> Column:
    """Whether a user is of the sample; the same ones in every run, and more of them for a greater share."""
    return F.pmod(F.xxhash64(F.lit("audit"), "user_idx"), F.lit(PARTS)) < round(share * PARTS)


def audits(c: Candidates, picks: Picks, sampled: NDArray[np.bool_]) -> Any:
    """Arrow column of `tables.AUDIT` lists, one a user, null for those not of the sample; by recording and source.

    Args:
        sampled: [users].
    """
    rows = np.flatnonzero(sampled[c.user])
    rows = rows[np.lexsort((c.source[rows], c.recording[rows], c.user[rows]))]
    owner = np.repeat(np.arange(c.users), np.diff(picks.offsets))
    order = np.lexsort((picks.recording, owner))
    chosen, wanted = _pairs(owner[order], picks.recording[order]), _pairs(c.user[rows], c.recording[rows])
    at = np.minimum(np.searchsorted(chosen, wanted), max(len(chosen) - 1, 0))
    found = chosen[at] == wanted if len(chosen) else np.zeros(len(rows), bool)
    place = (order - picks.offsets[owner[order]] + 1)[at] if len(chosen) else np.zeros(len(rows), np.int64)
    first = np.where(
        c.flags[rows] > 0, np.log2(np.maximum(c.flags[rows] & -c.flags[rows], 1)).astype(np.int64), -1
    )
    parts = {
        "recording": pa.array(c.recording[rows].astype(np.int32)),
        "source": pa.array(c.source[rows].astype(np.int8)),
        "rank": pa.array(c.rank[rows].astype(np.int32)),
        "place": pa.array(place.astype(np.int16), mask=~found),
        "rule": pa.array(np.array(RULES, object)[first], pa.string(), mask=first < 0),
    }
    ends = np.searchsorted(c.user[rows], np.arange(c.users + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(ends), pa.StructArray.from_arrays(list(parts.values()), list(parts)), mask=pa.array(~sampled)
    )


def _pairs(user: NDArray[np.int64], recording: NDArray[np.int64]) -> NDArray[np.int64]:
    return user << 32 | recording
