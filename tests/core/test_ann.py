"""The index against the exact answer: near it, never short, filters kept to the letter, the same in any company."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from trackpools.core import ann
from trackpools.core.topk import Allowed, Ragged
from trackpools.errors import ConfigError, ModelError

USERS, RECORDINGS, RANK, K = 200, 30_000, 15, 50
EFFORT = ann.Effort(200, 1.5)


def ragged(lists):
    return Ragged(np.cumsum([0, *map(len, lists)]), np.array([v for one in lists for v in one], np.int32))


def clustered(rng, users, recordings, rank):
    """Tastes of a few kinds, popularity log-normal."""
    kinds = rng.normal(size=(30, rank))
    x = kinds[rng.integers(0, 30, users)] + 0.5 * rng.normal(size=(users, rank))
    y = (kinds[rng.integers(0, 30, recordings)] + 0.5 * rng.normal(size=(recordings, rank))) * rng.lognormal(
        0, 0.5, (recordings, 1)
    )
    return x.astype(np.float32), y.astype(np.float32)


@pytest.fixture(scope="module")
def world():
    """Factors, idx, index, and what each user heard: user 0 the 5,000 best, others a few of theirs."""
    rng = np.random.default_rng(3)
    x, y = clustered(rng, USERS, RECORDINGS, RANK)
    idx = np.sort(rng.choice(3 * RECORDINGS, RECORDINGS, replace=False)).astype(np.int32)
    order = np.argsort(-(x @ y.T), axis=1)
    heard = [
        np.sort(idx[order[u, : 5000 if u == 0 else 40 : 1 if u == 0 else 2]]).tolist() for u in range(USERS)
    ]
    ann.library()
    with threadpool_limits(1):
        return x, y, idx, ann.load(ann.build(y)), heard


def near(world, rows=slice(None), k=K, effort=EFFORT, allowed=None):
    x, y, idx, index, heard = world
    return ann.top_k(x[rows], y, idx, ragged(heard[rows]), k, index=index, effort=effort, allowed=allowed)


def recall(found, exact):
    pairs = [set(zip(one.row.tolist(), one.idx.tolist(), strict=True)) for one in (found, exact)]
    return len(pairs[0] & pairs[1]) / len(pairs[1])


def test_the_index_finds_nearly_what_the_exact_search_finds_also_for_who_heard_5000(world):
    x, y, idx, _, heard = world
    exact, found = ann.exact(x, y, idx, ragged(heard), K), near(world)
    assert np.bincount(found.row).tolist() == [K] * USERS
    assert recall(found, exact) >= 0.94
    mine = [
        ann.Scored(one.row[one.row == 0], one.idx[one.row == 0], one.score[one.row == 0])
        for one in (found, exact)
    ]
    assert recall(*mine) >= 0.9
    assert not any(set(found.idx[found.row == u].tolist()) & set(heard[u]) for u in range(USERS))


def test_what_is_found_is_scored_exactly_and_ranked_with_ties_by_idx(world):
    x, y, idx, *_ = world
    found = near(world)
    dots = np.einsum("ij,ij->i", x[found.row].astype(np.float64), y[np.searchsorted(idx, found.idx)])
    np.testing.assert_allclose(found.score, dots, rtol=1e-6)
    assert np.lexsort((found.idx, -found.score, found.row)).tolist() == list(range(len(found.row)))


def refusals(world):
    """Groups: everything, most, a tenth, a neighbourhood and its opposite, almost nothing, nothing."""
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


def test_groups_get_what_they_may_have_alone_and_nobody_comes_back_short(world):
    x, y, idx, _, heard = world
    allowed = Allowed((np.arange(USERS) % 7).astype(np.int32), refusals(world))
    exact, found = ann.exact(x, y, idx, ragged(heard), K, allowed=allowed), near(world, allowed=allowed)
    assert (
        np.bincount(found.row, minlength=USERS).tolist() == np.bincount(exact.row, minlength=USERS).tolist()
    )
    assert allowed.masks[allowed.group[found.row], np.searchsorted(idx, found.idx)].all()
    for group in range(6):
        mine = [
            ann.Scored(*(part[allowed.group[one.row] == group] for part in (one.row, one.idx, one.score)))
            for one in (found, exact)
        ]
        assert recall(*mine) >= (1.0 if group in {2, 5} else 0.92), group


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400), st.floats(0.2, 1), st.floats(0, 1))
def test_never_short_however_little_is_left_and_however_little_is_looked_at(world, seed, k, share, masked):
    x, y, idx, index, _ = world
    rng = np.random.default_rng(seed)
    may = rng.random(RECORDINGS) < share
    some = np.sort(rng.choice(idx, int(masked * RECORDINGS), replace=False))
    allowed = Allowed(np.zeros(2, np.int32), may[None])
    found = ann.top_k(
        x[:2], y, idx, ragged([some.tolist(), []]), k, index=index, effort=ann.Effort(1, 1.0), allowed=allowed
    )
    left = [may.sum() - may[np.isin(idx, some)].sum(), may.sum()]
    assert np.bincount(found.row, minlength=2).tolist() == [min(k, n) for n in left]
    assert not np.isin(found.idx[found.row == 0], some).any()
    assert may[np.searchsorted(idx, found.idx)].all()


def test_a_user_gets_the_same_answer_in_any_company(world):
    allowed = Allowed((np.arange(USERS) % 2).astype(np.int32), refusals(world)[[1, 3]])
    together = near(world, allowed=allowed)
    for u in range(0, USERS, 20):
        alone = near(world, slice(u, u + 1), allowed=Allowed(allowed.group[u : u + 1], allowed.masks))
        assert alone.idx.tolist() == together.idx[together.row == u].tolist()
        assert alone.score.tobytes() == together.score[together.row == u].tobytes()


def test_an_index_built_twice_is_the_same_and_comes_back_from_its_bytes(world):
    _, y, *_ = world
    with threadpool_limits(1):
        first, second = ann.build(y[:5000]), ann.build(y[:5000])
    assert first == second
    assert ann.load(first).ntotal == 5000


def test_a_small_stripe_has_no_index_and_is_searched_exactly():
    rng = np.random.default_rng(5)
    x, y = clustered(rng, 5, ann.SMALLEST - 1, 4)
    index = ann.load(ann.build(y))
    assert index is None
    found = ann.top_k(
        x, y, np.arange(len(y), dtype=np.int32), ragged([[]] * 5), 9, index=index, effort=EFFORT
    )
    assert found.idx.reshape(5, 9).tolist() == np.argsort(-(x @ y.T), axis=1)[:, :9].tolist()


def test_nan_factors_are_refused(world):
    _, y, idx, index, _ = world
    with pytest.raises(ModelError, match="NaN"):
        ann.top_k(np.full((1, RANK), np.nan, np.float32), y, idx, ragged([[]]), 1, index=index, effort=EFFORT)


def test_without_faiss_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[ann\]'.*topk.exact_max"):
        ann.library()
