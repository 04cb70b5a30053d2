"""Tests that the merged answers of several stripes are the answer of one stripe."""

import numpy as np
import pyarrow as pa
import pytest

from trackpools.core.sources.stripe_merge import keys_of, merge_partials, partial_row
from trackpools.core.topk.exact import Ragged, top_k, top_k_of_lists


def partial_of_stripe(x, y, idx, heard, k_new, k_heard):
    """Return a row of PARTIAL for one stripe."""
    users = np.arange(len(x), dtype=np.int32) + 100
    fresh = top_k(x, y, idx, heard, k_new) if k_new else None
    known = top_k_of_lists(x, y, idx, heard, k_heard) if k_heard else None
    return partial_row(
        pa.array([7]), users, users % 3, keys_of(fresh, len(x), k_new), keys_of(known, len(x), k_heard)
    )


@pytest.mark.parametrize(("k_new", "k_heard"), [(10, 4), (10, 0), (0, 4), (200, 200)])
@pytest.mark.parametrize("stripes", [1, 3])
def test_merged_stripes_equal_one_stripe_with_ties_by_idx(k_new, k_heard, stripes):
    rng = np.random.default_rng(3)
    x, y = (np.round(rng.normal(size=(count, 3))).astype(np.float32) for count in (40, 150))
    heard = [np.flatnonzero(rng.random(150) < 0.3) if u else np.empty(0, int) for u in range(40)]
    lists = Ragged(np.cumsum([0, *map(len, heard)]), np.concatenate(heard).astype(np.int32))
    scores = x @ y.T
    parts = [
        partial_of_stripe(x, y[part], part.astype(np.int32), lists, k_new, k_heard)
        for part in np.array_split(np.arange(150), stripes)
    ]
    got = merge_partials(k_new, k_heard)(pa.Table.from_batches(parts[::-1])).to_pylist()
    assert [(one["user_idx"], one["masked"]) for one in got] == [(u + 100, (u + 100) % 3) for u in range(40)]
    for u, one in enumerate(got):
        ranked = sorted(range(150), key=lambda r: (-scores[u, r], r))
        fresh, known = (
            [r for r in ranked if r not in heard[u]][:k_new],
            [r for r in ranked if r in heard[u]][:k_heard],
        )
        chosen = sorted(fresh + known, key=lambda r: (-scores[u, r], r))
        assert np.frombuffer(one["recordings"], np.int32).tolist() == chosen
        assert np.frombuffer(one["scores"], np.float32).tolist() == [scores[u, r] for r in chosen]
