"""Merge the partial top-k results of a block of users over all stripes of recordings.

A partial result is the top-k of the block within one stripe. It holds the sorted keys of
`topk.selection_kernels`, one int64 for each item, as bytes, because Spark copies bytes fastest. The merge is
done in NumPy, because the JVM would compare structs one by one.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from trackpools.core.arrays.array_types import Int32Array, Int64Array
from trackpools.core.arrays.packing import binaries
from trackpools.core.topk.exact import Scored

# one row for each block and stripe: `users` (their idx) and `masked` are int32; `fresh` and `known` are the
# int64 keys [users, k] of new and of heard recordings
PARTIAL = "block long, users binary, masked binary, fresh binary, known binary"
MERGED = "user_idx int, recordings binary, scores binary, masked int"


def keys_of(scored: Scored | None, users: int, k: int) -> Int64Array:
    """Return the sort keys of a result, int64 [users, k]; empty places, and all for None, are NOTHING."""
    from trackpools.core.topk.selection_kernels import NOTHING, pack

    keys = np.full((users, k), NOTHING)
    if scored is not None:
        pack(scored.row, scored.idx, scored.score, keys)
    return keys


def partial_row(
    block: pa.Array, users: Int32Array, masked: Int32Array, fresh: Int64Array, known: Int64Array
) -> pa.RecordBatch:
    """Return a batch with one row of PARTIAL; `block` is an Arrow column of one row."""
    columns = [pa.array([np.asarray(one).tobytes()]) for one in (users, masked, fresh, known)]
    return pa.RecordBatch.from_arrays([block, *columns], ["block", "users", "masked", "fresh", "known"])


def merge_partials(k_new: int, k_heard: int) -> Callable[[pa.RecordBatch | pa.Table], pa.RecordBatch]:
    """Return a function that merges the rows of PARTIAL of one block into MERGED, one row for each user.

    For each user, the `k_new` best new recordings and the `k_heard` best heard recordings of all stripes are
    kept. Both are then ranked together by score; of equal scores, the lower idx is first.
    """

    def run(parts: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
        from trackpools.core.topk.selection_kernels import unpack

        users, masked = (np.frombuffer(parts[name][0].as_buffer(), np.int32) for name in ("users", "masked"))

        def best(name: str, k: int) -> Int64Array:
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
