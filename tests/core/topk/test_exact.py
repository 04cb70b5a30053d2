"""Tests of the exact top-k search against an oracle and against a full sort in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.core.topk.exact import Allowed, Ragged, top_k, top_k_of_lists
from trackpools.errors import ModelError


def ragged(lists):
    return Ragged(np.cumsum([0, *map(len, lists)]), np.array([v for one in lists for v in one], np.int32))


def top_k_oracle(x, y, idx, masks, k):
    """Return (user, idx, score), best first, for one user and one recording at a time in float64."""
    out = []
    for u, mask in enumerate(masks):
        scored = [
            (-np.float32(np.add.reduce(x[u].astype(np.float64) * y[j])), int(i))
            for j, i in enumerate(idx)
            if int(i) not in mask
        ]
        out += [(u, i, -s) for s, i in sorted(scored)[:k]]
    return out


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 300),
    st.integers(1, 400),
    st.integers(1, 9),
    st.integers(1, 60),
    st.booleans(),
)
def test_top_k_agrees_with_the_oracle_with_ties_by_idx_and_masks(seed, users, recordings, rank, k, coarse):
    rng = np.random.default_rng(seed)
    x, y = (
        rng.normal(size=(users, rank)).astype(np.float32),
        rng.normal(size=(recordings, rank)).astype(np.float32),
    )
    # This gives many exact ties, and users whose factors are all zero.
    if coarse:
        x, y = np.round(x / 2).astype(np.float32), np.round(y / 2).astype(np.float32)
    idx = np.sort(rng.choice(10 * recordings, recordings, replace=False)).astype(np.int32)
    masks = [
        set(rng.choice(idx, rng.integers(0, recordings + 1), replace=False).tolist()) | {10**6}
        for _ in range(users)
    ]
    got = top_k(x, y, idx, ragged([sorted(m) for m in masks]), k)
    assert list(zip(got.row.tolist(), got.idx.tolist(), got.score.tolist(), strict=True)) == top_k_oracle(
        x, y, idx, masks, k
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 200), st.integers(1, 300), st.integers(1, 40), st.floats(0, 1))
def test_recordings_that_a_group_may_not_have_are_treated_as_masked(seed, users, recordings, k, share):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(users, 6)).astype(np.float32), rng.normal(size=(recordings, 6)).astype(np.float32)
    idx = np.sort(rng.choice(10 * recordings, recordings, replace=False)).astype(np.int32)
    masks = [
        set(rng.choice(idx, rng.integers(0, recordings + 1) // 4, replace=False).tolist())
        for _ in range(users)
    ]
    allowed = Allowed(
        rng.integers(0, 3, users).astype(np.int32),
        np.stack([np.ones(recordings, bool), rng.random(recordings) < share, np.zeros(recordings, bool)]),
    )
    forbidden = [
        mask | set(idx[~allowed.masks[group]].tolist())
        for mask, group in zip(masks, allowed.group, strict=True)
    ]
    got = top_k(x, y, idx, ragged([sorted(m) for m in masks]), k, allowed=allowed)
    assert list(zip(got.row.tolist(), got.idx.tolist(), got.score.tolist(), strict=True)) == top_k_oracle(
        x, y, idx, forbidden, k
    )
    heard = top_k_of_lists(x, y, idx, ragged([sorted(m) for m in masks]), k, allowed=allowed)
    others = [
        set(idx.tolist()) - (mask & set(idx[allowed.masks[group]].tolist()))
        for mask, group in zip(masks, allowed.group, strict=True)
    ]
    assert list(
        zip(heard.row.tolist(), heard.idx.tolist(), heard.score.tolist(), strict=True)
    ) == top_k_oracle(x, y, idx, others, k)


def exact_in_float64(rng, count, rank, kind):
    """Return factors on a grid on which float64 sums are exact in any order, but float32 sums round."""
    drawn = rng.normal(size=(count, rank))
    if kind == "lengths as popularity makes them":
        drawn *= rng.lognormal(0, 0.5, (count, 1))
    elif kind == "few different":
        drawn = drawn[rng.integers(0, min(5, count), count)]
    elif kind == "closer than float32 tells":
        drawn = 1 + drawn / 2**18
        return (np.round(drawn * 2**20) / 2**20).astype(np.float32)
    elif kind == "mostly zero":
        drawn[rng.random(count) < 0.9] = 0
    return (np.round(drawn * 2**12) / 2**12).astype(np.float32)


KINDS = (
    "of equal length",
    "lengths as popularity makes them",
    "few different",
    "closer than float32 tells",
    "mostly zero",
)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 300),
    st.one_of(st.sampled_from([1, 511, 512, 513, 1024, 1025]), st.integers(1, 3000)),
    st.integers(1, 300),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.sampled_from([0.0, 0.05, 0.9]),
    st.booleans(),
)
def test_every_user_gets_the_answer_of_a_full_sort(
    seed, users, recordings, k, kind_x, kind_y, masked, grouped
):
    rng = np.random.default_rng(seed)
    x, y = exact_in_float64(rng, users, 8, kind_x), exact_in_float64(rng, recordings, 8, kind_y)
    idx = (
        np.sort(rng.choice(2 * recordings, recordings, replace=False)).astype(np.int32)
        if seed % 2
        else np.arange(7, recordings + 7, dtype=np.int32)
    )
    hidden = rng.random((users, recordings)) < masked
    hidden[rng.random(users) < 0.1] = True
    lists = [rng.permutation(np.append(idx[row], 10**6)) for row in hidden]
    one = np.arange(recordings) == recordings // 2
    masks = np.stack(
        [np.ones(recordings, bool), one, ~one, np.zeros(recordings, bool), rng.random(recordings) < 0.5]
    )
    allowed = Allowed(rng.integers(0, len(masks), users).astype(np.int32), masks)
    scores = (x.astype(np.float64) @ y.T.astype(np.float64)).astype(np.float32)
    scores[hidden | (~masks[allowed.group] if grouped else False)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(scores, order, axis=1)
    row, place = np.nonzero(found > -np.inf)
    got = top_k(x, y, idx, ragged(lists), k, allowed=allowed if grouped else None)
    assert np.array_equal(got.row, row)
    assert np.array_equal(got.idx, idx[order[row, place]])
    assert np.array_equal(got.score, found[row, place])


def test_tied_recordings_are_ranked_by_idx_where_nothing_can_be_proven():
    x, y = np.array([[0.0], [1.0]], np.float32), np.ones((5000, 1), np.float32)
    got = top_k(x, y, np.arange(5000, dtype=np.int32), ragged([[1], [0, 4000]]), 3)
    assert (got.idx.tolist(), got.score.tolist()) == ([0, 2, 3, 1, 2, 3], [0.0] * 3 + [1.0] * 3)


def test_no_users_or_no_recordings_give_an_empty_answer():
    none = np.empty((0, 4), np.float32)
    assert len(top_k(none, np.ones((3, 4), np.float32), np.arange(3, dtype=np.int32), ragged([]), 2).row) == 0
    assert (
        len(top_k(np.ones((3, 4), np.float32), none, np.empty(0, np.int32), ragged([[1], [], []]), 2).row)
        == 0
    )


def test_a_user_gets_the_same_answer_whichever_users_share_the_call():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, 16)).astype(np.float32), rng.normal(size=(5000, 16)).astype(np.float32)
    idx, none = np.arange(5000, dtype=np.int32), ragged([[]] * 300)
    together = top_k(x, y, idx, none, 50)
    alone = top_k(x[217:218], y, idx, ragged([[]]), 50)
    chosen = together.row == 217
    assert together.idx[chosen].tolist() == alone.idx.tolist()
    assert together.score[chosen].tobytes() == alone.score.tobytes()


def test_listed_recordings_are_ranked_and_unknown_ones_skipped():
    x, y = np.array([[1.0], [2.0]], np.float32), np.array([[1.0], [3.0], [2.0]], np.float32)
    got = top_k_of_lists(x, y, np.array([5, 7, 9], np.int32), ragged([[5, 7, 9, 11], [11]]), 2)
    assert (got.row.tolist(), got.idx.tolist(), got.score.tolist()) == ([0, 0], [7, 9], [3.0, 2.0])


def test_nan_factors_are_refused_not_ranked_first():
    one, idx = np.ones((1, 1), np.float32), np.zeros(1, np.int32)
    for wrong in (np.nan, np.inf, -np.inf):
        for pair in ((one * wrong, one), (one, one * wrong), (one * wrong, 0 * one)):
            with pytest.raises(ModelError, match="NaN"):
                top_k(*pair, idx, ragged([[]]), 1)


def test_factors_whose_scores_overflow_are_refused():
    with pytest.raises(ModelError, match="enormous"):
        top_k(
            np.full((1, 2), 1e20, np.float32),
            np.full((1, 2), 1e20, np.float32),
            np.zeros(1, np.int32),
            ragged([[]]),
            1,
        )
