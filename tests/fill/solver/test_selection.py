"""Tests of the selection: the request is fulfilled, and "impossible" agrees with trying every set."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.fill.solver.selection import (
    SelectionProblem,
    choose,
    choose_exactly,
    choose_greedily,
    is_solution,
)


def small_problem(seed):
    """Return a random problem of up to nine candidates, with random caps, parts, seeds and lengths."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 10))
    ask = SelectionProblem(
        rng.random(n),
        rng.integers(100, 400, n).astype(float),
        rng.integers(0, 4, n),
        rng.integers(0, 5, n),
        tuple((rng.random(n) < 0.5, float(rng.choice([0.3, 0.5, 0.6]))) for _ in range(rng.integers(0, 3))),
        rng.random(n) < 0.1,
        int(rng.integers(1, 7)) if rng.random() < 0.6 else None,
        None,
        int(rng.integers(1, 4)) if rng.random() < 0.5 else None,
        int(rng.integers(1, 3)) if rng.random() < 0.3 else None,
        bool(rng.random() < 0.3),
    )
    if ask.tracks is None or rng.random() < 0.3:
        length = float(rng.integers(300, 1800))
        ask = replace(ask, span=(length * 0.95, length * 1.05))
    return ask


def has_solution(ask):
    """Return whether any set of candidates solves the problem; this is the oracle."""
    sizes = [ask.tracks] if ask.tracks else range(1, len(ask) + 1)
    return any(
        is_solution(ask, np.array(rows))
        for size in sizes
        for rows in itertools.combinations(range(len(ask)), size)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_choice_exists_exactly_where_trying_everything_finds_one(seed):
    ask = small_problem(seed)
    chosen = choose(ask)
    assert (chosen is not None) == has_solution(ask)
    assert chosen is None or is_solution(ask, chosen)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_quick_way_and_the_solver_answer_the_same_question(seed):
    ask = small_problem(seed)
    quick, exact = choose_greedily(ask), choose_exactly(ask)
    assert quick is None or exact is not None
    assert all(one is None or is_solution(ask, one) for one in (quick, exact))


@pytest.fixture
def shop():
    """Return a problem with a thousand candidates."""
    rng = np.random.default_rng(3)
    n = 1000
    return SelectionProblem(
        rng.random(n), rng.normal(230, 50, n).clip(60), rng.integers(0, 300, n), rng.integers(0, 500, n)
    )


def test_the_best_of_many_are_chosen_best_first(shop):
    chosen = choose(replace(shop, tracks=20))
    assert chosen.tolist() == np.argsort(-shop.value)[:20].tolist()


def test_the_quick_way_fits_a_length_without_giving_up_much(shop):
    asked = replace(shop, span=(1782, 1818), artist_cap=1, parts=((np.arange(1000) % 3 == 0, 0.4),))
    chosen = choose_greedily(asked)
    assert is_solution(asked, chosen)
    assert shop.value[chosen].mean() > 0.95


def test_required_tracks_are_chosen_whatever_their_worth(shop):
    must = np.arange(1000) == int(shop.value.argmin())
    assert int(shop.value.argmin()) in choose(replace(shop, tracks=5, must=must))


def test_no_candidates_give_no_choice():
    nothing = SelectionProblem(*(np.empty(0) for _ in range(4)), tracks=1)
    assert choose(nothing) is None
