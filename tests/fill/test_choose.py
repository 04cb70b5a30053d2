"""Choosing: what is asked for holds, and "impossible" is what trying everything says."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.fill.choose import Ask, choose, exactly, holds, quickly


def small_ask(seed):
    """A question of up to nine candidates, with caps, parts, seeds and lengths by lot."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 10))
    ask = Ask(
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


def by_trying(ask):
    """Whether any set of candidates is what is asked: the oracle."""
    sizes = [ask.tracks] if ask.tracks else range(1, len(ask) + 1)
    return any(
        holds(ask, np.array(rows)) for size in sizes for rows in itertools.combinations(range(len(ask)), size)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_there_is_a_choice_exactly_where_trying_everything_finds_one(seed):
    ask = small_ask(seed)
    chosen = choose(ask)
    assert (chosen is not None) == by_trying(ask)
    assert chosen is None or holds(ask, chosen)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_quick_way_and_the_solver_answer_the_same_question(seed):
    ask = small_ask(seed)
    quick, exact = quickly(ask), exactly(ask)
    assert quick is None or exact is not None
    assert all(one is None or holds(ask, one) for one in (quick, exact))


@pytest.fixture
def shop():
    """A thousand candidates."""
    rng = np.random.default_rng(3)
    n = 1000
    return Ask(
        rng.random(n), rng.normal(230, 50, n).clip(60), rng.integers(0, 300, n), rng.integers(0, 500, n)
    )


def test_of_many_the_best_are_chosen_best_first(shop):
    chosen = choose(replace(shop, tracks=20))
    assert chosen.tolist() == np.argsort(-shop.value)[:20].tolist()


def test_the_quick_way_fits_a_length_without_giving_up_much(shop):
    asked = replace(shop, span=(1782, 1818), artist_cap=1, parts=((np.arange(1000) % 3 == 0, 0.4),))
    chosen = quickly(asked)
    assert holds(asked, chosen)
    assert shop.value[chosen].mean() > 0.95


def test_what_must_be_in_is_in_whatever_it_is_worth(shop):
    must = np.arange(1000) == int(shop.value.argmin())
    assert int(shop.value.argmin()) in choose(replace(shop, tracks=5, must=must))


def test_nothing_can_be_chosen_of_nothing():
    nothing = Ask(*(np.empty(0) for _ in range(4)), tracks=1)
    assert choose(nothing) is None
