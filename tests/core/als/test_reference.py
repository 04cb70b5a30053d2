"""Tests of the NumPy reference against its objective, by loops and by finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.core.als.reference import loss, problem, recording_half_step, user_half_step


def random_problem(rng, users=7, recordings=9, *, nu=0.0, beta=2.0, reg=0.3):
    positive = rng.gamma(1.0, 1.0, (users, recordings)) * (rng.random((users, recordings)) < 0.4)
    negative = rng.gamma(1.0, 1.0, (users, recordings)) * (rng.random((users, recordings)) < 0.3)
    return problem(positive, negative, alpha=3.0, beta=beta, reg=reg, nu=nu), positive, negative


def gradient(function, at, step=1e-6):
    """Return the gradient by central differences, one coordinate at a time."""
    out = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        there = np.zeros_like(at)
        there[i] = step
        out[i] = (function(at + there) - function(at - there)) / (2 * step)
    return out


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0])
def test_the_loss_is_the_formula_written_as_loops(nu):
    rng = np.random.default_rng(3)
    of, positive, negative = random_problem(rng, nu=nu)
    x, y = rng.normal(size=(7, 4)), rng.normal(size=(9, 4))
    total = 0.0
    for u in range(7):
        for i in range(9):
            p = 1.0 if positive[u, i] > 0 else 0.0
            c = 1 + 3.0 * positive[u, i] if p else 1 + 2.0 * negative[u, i]
            total += c * (p - sum(x[u, f] * y[i, f] for f in range(4))) ** 2
    for u in range(7):
        total += 0.3 * sum(positive[u, i] > 0 for i in range(9)) ** nu * sum(x[u] ** 2)
    for i in range(9):
        total += 0.3 * sum(positive[u, i] > 0 for u in range(7)) ** nu * sum(y[i] ** 2)
    assert loss(x, y, of) == pytest.approx(total, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 2.0]))
def test_half_steps_never_raise_the_loss_and_end_where_the_gradient_is_zero(seed, nu, beta):
    rng = np.random.default_rng(seed)
    of, *_ = random_problem(rng, nu=nu, beta=beta)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(9, 3))
    before = loss(x, y, of)
    for _ in range(3):
        x = user_half_step(y, of)
        middle = loss(x, y, of)
        assert middle <= before * (1 + 1e-12)
        assert np.abs(gradient(lambda at: loss(at, y, of), x)).max() < 1e-5  # noqa: B023
        y = recording_half_step(x, of)
        after = loss(x, y, of)
        assert after <= middle * (1 + 1e-12)
        assert np.abs(gradient(lambda at: loss(x, at, of), y)).max() < 1e-5  # noqa: B023
        before = after


def test_a_skip_pulls_the_score_down_and_beta_says_how_much():
    positive, negative = (
        np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
        np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    y = recording_half_step(
        np.eye(2) + 0.3, problem(positive, negative, alpha=5.0, beta=0.0, reg=0.1, nu=0.0)
    )
    scores = []
    for beta in (0.0, 1.0, 10.0):
        of = problem(positive, negative, alpha=5.0, beta=beta, reg=0.1, nu=0.0)
        scores.append((user_half_step(y, of) @ y.T)[0, 1])
    assert scores[0] > scores[1] > scores[2]


def test_positive_evidence_wins_over_negative_of_the_same_pair():
    of = problem(np.array([[2.0]]), np.array([[9.0]]), alpha=3.0, beta=5.0, reg=0.1, nu=0.0)
    assert (of.c.item(), of.p.item()) == (7.0, 1.0)
