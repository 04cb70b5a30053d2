"""Tests of the baseline engines against the plainest code of their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from trackpools.core.evaluation import baselines
from trackpools.core.evaluation.baselines import (
    Ease,
    FactorScorer,
    ItemKnn,
    Popularity,
    rank_among,
    top_items,
)
from trackpools.errors import InputError


@pytest.fixture
def had():
    rng = np.random.default_rng(1)
    return sparse.csr_matrix((rng.random((120, 37)) < rng.random(37) * 0.4).astype(np.float32))


@pytest.mark.parametrize("block", [5, 37, 64])
def test_ease_is_the_closed_form(had, monkeypatch, block):
    monkeypatch.setattr(baselines, "BLOCK", block)
    x = had.toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + 20.0 * np.eye(x.shape[1]))
    b = p / -np.diag(p)
    np.fill_diagonal(b, 0)
    np.testing.assert_allclose(Ease(had, 20.0).scores(np.arange(120), had), x @ b, atol=2e-5)


@pytest.mark.parametrize("block", [1, 7, 40, 64])
def test_sweeping_every_block_is_the_inverse(monkeypatch, block):
    monkeypatch.setattr(baselines, "BLOCK", block)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 40))
    a = (x.T @ x + 5 * np.eye(40)).astype(np.float32)
    expected = -np.linalg.inv(a.astype(np.float64))
    assert baselines.invert_in_place(a)
    np.testing.assert_allclose(np.tril(a), np.tril(expected), atol=1e-5)
    assert not baselines.invert_in_place(-np.eye(40, dtype=np.float32))


def test_ease_says_when_float32_is_not_enough():
    twice = sparse.csr_matrix(np.ones((2000, 2), np.float32) * 100)
    with pytest.raises(InputError, match="set a higher baselines"):
        Ease(twice, 1e-6)


@pytest.mark.parametrize("neighbours", [5, 36])
def test_item_knn_is_the_weighted_sum_of_cosines_over_the_nearest(had, neighbours):
    x = had.toarray().astype(np.float64)
    unit = x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    near = unit.T @ unit
    np.fill_diagonal(near, 0)
    nearest = np.where(near >= np.sort(near, axis=1)[:, [-neighbours]], near, 0)
    expected = x @ nearest.T / np.maximum(nearest.sum(axis=1), 1e-12)
    np.testing.assert_allclose(
        ItemKnn(had, neighbours, "cosine").scores(np.arange(120), had), expected, atol=1e-4
    )


@pytest.mark.parametrize(("neighbours", "block"), [(5, 64), (36, 7)])
def test_item_knn_asymmetric_is_the_sum_of_its_formula_over_the_nearest(had, monkeypatch, neighbours, block):
    monkeypatch.setattr(baselines, "BLOCK", block)
    x = had.toarray().astype(np.float64)
    c = x.T @ (x / np.maximum(x.sum(axis=1, keepdims=True), 1))
    own = np.maximum(c.diagonal(), 1e-12)
    near = c / (own[:, None] ** 0.3 * own[None, :] ** 0.7)
    np.fill_diagonal(near, 0)
    nearest = np.where(near >= np.sort(near, axis=1)[:, [-neighbours]], near, 0)
    np.testing.assert_allclose(
        ItemKnn(had, neighbours, "asymmetric").scores(np.arange(120), had), x @ nearest.T, atol=1e-5
    )


def test_popularity_and_factors():
    had = sparse.csr_matrix(np.array([[1, 0, 1], [1, 0, 0]], np.float32))
    assert Popularity(had).scores(np.array([0, -1]), had).tolist() == [[2, 0, 1]] * 2
    y = np.array([[1, 0], [0, 2]], np.float32)
    assert FactorScorer(np.array([[3, 4]], np.float32), y).scores(np.array([0, -1]), None).tolist() == [
        [3, 8],
        [0, 0],
    ]


@settings(deadline=None)
@given(
    scores=st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 2.0, 3.5]), min_size=1, max_size=30),
    k=st.integers(1, 40),
)
def test_leaders_are_the_best_items_with_ties_to_the_lower_index(scores, k):
    expected = sorted((i for i, s in enumerate(scores) if s > -np.inf), key=lambda i: (-scores[i], i))[:k]
    assert top_items(np.array(scores, np.float32), k).tolist() == expected


def test_the_test_item_loses_ties_and_unscored_items_rank_last():
    scores = np.array([0.5, 0.5, 0.9, 0.1], np.float32)
    assert rank_among(scores, 0, np.array([1, 2, 3])) == 3
    assert rank_among(scores, 2, np.array([0, 1, 3, 99])) == 1
    assert rank_among(scores, 7, np.array([0, 1])) == 3
