"""Record everything that was proposed to a sample of users, and what became of it in the pool."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.core.pools.build import CandidateBatch, Picks
from trackpools.core.rules.eligibility import RULES

PARTS = 10_000  # the share of audited users is rounded to a multiple of 1 / PARTS


def is_audited(share: float) -> Column:
    """Return whether a `user_idx` belongs to the sample, as a boolean column.

    The sample is the same in every run. A greater share adds users to the sample and removes none.
    """
    return F.pmod(F.xxhash64(F.lit("audit"), "user_idx"), F.lit(PARTS)) < round(share * PARTS)


def audit_lists(c: CandidateBatch, picks: Picks, sampled: NDArray[np.bool_]) -> pa.ListArray:
    """Return an Arrow column with the audit (`tables.AUDIT`) of each user; null outside of the sample.

    Args:
        c: the candidates of a batch of users.
        picks: the pools of these users.
        sampled: bool [users], whether the user belongs to the sample.

    Returns:
        One list for each user, with one struct for each source × recording, sorted by recording and source:
        `recording int32, source int8, rank int32, place int16, rule string`. `place` counts from 1 and is
        null outside of the pool. `rule` is the first rule of `rule_flags` that bars the recording. It is null
        for recordings in the pool and for those that only the blend dropped (duplicates, caps, cut).
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
