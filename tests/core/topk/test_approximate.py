"""Tests of the approximate top-k index, compared with the exact search.

The index finds nearly the same recordings, returns full lists, keeps every filter and gives a user the same
answer whichever other users are in the call.
"""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from trackpools.core.topk import approximate
from trackpools.core.topk.exact import Allowed, Ragged
from trackpools.errors import ConfigError, ModelError

USERS, RECORDINGS, RANK, K = 200, 30_000, 15, 50
EFFORT = approximate.SearchEffort(200, 1.5)


def ragged(lists):
    return Ragged(np.cumsum([0, *map(len, lists)]), np.array([v for one in lists for v in one], np.int32))


def clustered_factors(rng, users, recordings, rank):
    """Return factors (x, y), float32, of users and recordings of 30 kinds with log-normal popularity."""
    kinds = rng.normal(size=(30, rank))
    x = kinds[rng.integers(0, 30, users)] + 0.5 * rng.normal(size=(users, rank))
    y = (kinds[rng.integers(0, 30, recordings)] + 0.5 * rng.normal(size=(recordings, rank))) * rng.lognormal(
        0, 0.5, (recordings, 1)
    )
    return x.astype(np.float32), y.astype(np.float32)


@pytest.fixture(scope="module")
def world():
    """Return factors, idx, the index, and what each user heard.

    User 0 heard the 5,000 best recordings, and every other user some of the best.
    """
    rng = np.random.default_rng(3)
    x, y = clustered_factors(rng, USERS, RECORDINGS, RANK)
    idx = np.sort(rng.choice(3 * RECORDINGS, RECORDINGS, replace=False)).astype(np.int32)
    order = np.argsort(-(x @ y.T), axis=1)
    heard = [
        np.sort(idx[order[u, : 5000 if u == 0 else 40 : 1 if u == 0 else 2]]).tolist() for u in range(USERS)
    ]
    approximate.import_faiss()
    with threadpool_limits(1):
        return x, y, idx, approximate.load_index(approximate.build_index(y)), heard


def find_approximate(world, rows=slice(None), k=K, effort=EFFORT, allowed=None):
    x, y, idx, index, heard = world
    return approximate.top_k(
        x[rows], y, idx, ragged(heard[rows]), k, index=index, effort=effort, allowed=allowed
    )


def recall(found, exact):
    pairs = [set(zip(one.row.tolist(), one.idx.tolist(), strict=True)) for one in (found, exact)]
    return len(pairs[0] & pairs[1]) / len(pairs[1])


def test_the_index_finds_nearly_the_exact_answer_even_for_a_user_who_heard_5000(world):
    x, y, idx, _, heard = world
    exact, found = approximate.exact_in_pieces(x, y, idx, ragged(heard), K), find_approximate(world)
    assert np.bincount(found.row).tolist() == [K] * USERS
    assert recall(found, exact) >= 0.94
    mine = [
        approximate.Scored(one.row[one.row == 0], one.idx[one.row == 0], one.score[one.row == 0])
        for one in (found, exact)
    ]
    assert recall(*mine) >= 0.9
    assert not any(set(found.idx[found.row == u].tolist()) & set(heard[u]) for u in range(USERS))


def test_found_recordings_are_scored_exactly_and_ranked_with_ties_by_idx(world):
    x, y, idx, *_ = world
    found = find_approximate(world)
    dots = np.einsum("ij,ij->i", x[found.row].astype(np.float64), y[np.searchsorted(idx, found.idx)])
    np.testing.assert_allclose(found.score, dots, rtol=1e-6)
    assert np.lexsort((found.idx, -found.score, found.row)).tolist() == list(range(len(found.row)))


def allowed_by_group(world):
    """Return bool [groups, recordings]: what each of seven groups may have, from everything to nothing.

    The groups are allowed everything, most, a tenth, a neighbourhood, the opposite neighbourhood, three
    recordings, and nothing.
    """
    _, y, *_ = world
    rng = np.random.default_rng(4)
    side = (y / np.linalg.norm(y, axis=1, keepdims=True)) @ rng.normal(size=RANK)
    few = np.zeros(RECORDINGS, bool)
    few[[5, 77, 20_001]] = True
    return np.stack(
        [
            np.ones(RECORDINGS, bool),
            rng.random(RECORDINGS) < 0.9,
            rng.random(RECORDINGS) < 0.1,
            side < np.quantile(side, 0.4),
            side > np.quantile(side, 0.6),
            few,
            np.zeros(RECORDINGS, bool),
        ]
    )


def test_groups_get_only_allowed_recordings_and_every_user_gets_a_full_list(world):
    x, y, idx, _, heard = world
    allowed = Allowed((np.arange(USERS) % 7).astype(np.int32), allowed_by_group(world))
    exact, found = (
        approximate.exact_in_pieces(x, y, idx, ragged(heard), K, allowed=allowed),
        find_approximate(world, allowed=allowed),
    )
    assert (
        np.bincount(found.row, minlength=USERS).tolist() == np.bincount(exact.row, minlength=USERS).tolist()
    )
    assert allowed.masks[allowed.group[found.row], np.searchsorted(idx, found.idx)].all()
    for group in range(6):
        mine = [
            approximate.Scored(
                *(part[allowed.group[one.row] == group] for part in (one.row, one.idx, one.score))
            )
            for one in (found, exact)
        ]
        assert recall(*mine) >= (1.0 if group in {2, 5} else 0.92), group


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400), st.floats(0.2, 1), st.floats(0, 1))
def test_lists_are_full_however_few_recordings_are_left_and_however_low_the_effort(
    world, seed, k, share, masked
):
    x, y, idx, index, _ = world
    rng = np.random.default_rng(seed)
    may = rng.random(RECORDINGS) < share
    some = np.sort(rng.choice(idx, int(masked * RECORDINGS), replace=False))
    allowed = Allowed(np.zeros(2, np.int32), may[None])
    found = approximate.top_k(
        x[:2],
        y,
        idx,
        ragged([some.tolist(), []]),
        k,
        index=index,
        effort=approximate.SearchEffort(1, 1.0),
        allowed=allowed,
    )
    left = [may.sum() - may[np.isin(idx, some)].sum(), may.sum()]
    assert np.bincount(found.row, minlength=2).tolist() == [min(k, n) for n in left]
    assert not np.isin(found.idx[found.row == 0], some).any()
    assert may[np.searchsorted(idx, found.idx)].all()


def test_a_user_gets_the_same_answer_whichever_users_share_the_call(world):
    allowed = Allowed((np.arange(USERS) % 2).astype(np.int32), allowed_by_group(world)[[1, 3]])
    together = find_approximate(world, allowed=allowed)
    for u in range(0, USERS, 20):
        alone = find_approximate(
            world, slice(u, u + 1), allowed=Allowed(allowed.group[u : u + 1], allowed.masks)
        )
        assert alone.idx.tolist() == together.idx[together.row == u].tolist()
        assert alone.score.tobytes() == together.score[together.row == u].tobytes()


def test_an_index_built_twice_is_the_same_and_is_restored_from_its_bytes(world):
    _, y, *_ = world
    with threadpool_limits(1):
        first, second = approximate.build_index(y[:5000]), approximate.build_index(y[:5000])
    assert first == second
    assert approximate.load_index(first).ntotal == 5000


def test_a_small_stripe_has_no_index_and_is_searched_exactly():
    rng = np.random.default_rng(5)
    x, y = clustered_factors(rng, 5, approximate.SMALLEST - 1, 4)
    index = approximate.load_index(approximate.build_index(y))
    assert index is None
    found = approximate.top_k(
        x, y, np.arange(len(y), dtype=np.int32), ragged([[]] * 5), 9, index=index, effort=EFFORT
    )
    assert found.idx.reshape(5, 9).tolist() == np.argsort(-(x @ y.T), axis=1)[:, :9].tolist()


def test_nan_factors_are_refused(world):
    _, y, idx, index, _ = world
    with pytest.raises(ModelError, match="NaN"):
        approximate.top_k(
            np.full((1, RANK), np.nan, np.float32), y, idx, ragged([[]]), 1, index=index, effort=EFFORT
        )


def test_without_faiss_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[ann\]'.*topk.exact_max"):
        approximate.import_faiss()
