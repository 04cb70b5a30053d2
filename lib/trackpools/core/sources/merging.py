"""What a block of users found in each stripe of recordings, put together; in NumPy, for the JVM compares structs one by one.

A partial result holds sorted keys of `selection`, one integer an item: bytes are what Spark moves fastest.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from trackpools.core.packing import binaries
from trackpools.core.topk import Longs, Scored

PARTIAL = "block long, users binary, masked binary, fresh binary, known binary"
MERGED = "user_idx int, recordings binary, scores binary, masked int"


def keys_of(scored: Scored | None, users: int, k: int) -> Longs:
    """Keys [users, k] of a result, NOTHING behind them."""
    from trackpools.core.selection import NOTHING, pack

    keys = np.full((users, k), NOTHING)
    if scored is not None:
        pack(scored.row, scored.idx, scored.score, keys)
    return keys


def partial(block: Any, users: Any, masked: Any, fresh: Longs, known: Longs) -> Any:
    """One row of PARTIAL; `block` is a column of one row."""
    columns = [pa.array([np.asarray(one).tobytes()]) for one in (users, masked, fresh, known)]
    return pa.RecordBatch.from_arrays([block, *columns], ["block", "users", "masked", "fresh", "known"])


def merged(k_new: int, k_heard: int) -> Callable[[Any], Any]:
    """From the rows of PARTIAL of one block to rows of MERGED: new ones and heard ones each cut, then ranked together, ties by idx."""

    def run(parts: Any) -> Any:
        from trackpools.core.selection import unpack

        users, masked = (np.frombuffer(parts[name][0].as_buffer(), np.int32) for name in ("users", "masked"))

        def best(name: str, k: int) -> Longs:
            keys = [np.frombuffer(part.as_buffer(), np.int64).reshape(len(users), k) for part in parts[name]]
            return keys[0] if len(keys) == 1 else np.sort(np.concatenate(keys, axis=1), axis=1)[:, :k]

        fresh, known = best("fresh", k_new), best("known", k_heard)
        keys = (
            np.sort(np.concatenate([fresh, known], axis=1), axis=1)
            if k_new and k_heard
            else np.concatenate([fresh, known], axis=1)
        )
        row, idx, score = (
            np.empty(keys.size, np.int64),
            np.empty(keys.size, np.int32),
            np.empty(keys.size, np.float32),
        )
        found = unpack(keys, keys.shape[1], 0, 0, row, idx, score)
        ends = 4 * np.searchsorted(row[:found], np.arange(len(users) + 1))
        columns = [
            pa.array(users),
            binaries(idx[:found], ends),
            binaries(score[:found], ends),
            pa.array(masked),
        ]
        return pa.RecordBatch.from_arrays(columns, ["user_idx", "recordings", "scores", "masked"])

    return run
