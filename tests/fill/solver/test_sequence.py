"""Tests of the order of a playlist: it follows the arc, parts equal artists and loses no track."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackpools.fill.solver.sequence import (
    follows_arc,
    is_apart,
    order_by_arc,
    order_tracks,
    separate_artists,
)

ARTISTS = st.lists(st.integers(0, 3), min_size=1, max_size=12).map(np.array)
LEVELS = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=30).map(np.array)


@given(ARTISTS)
def test_artists_are_apart_exactly_where_they_can_be(artist):
    order = separate_artists(np.arange(len(artist)), artist)
    assert sorted(order) == list(range(len(artist)))
    assert is_apart(artist[order]) == (np.bincount(artist).max() <= (len(artist) + 1) // 2)


def test_an_order_that_is_apart_already_is_unchanged():
    assert separate_artists(np.arange(5), np.array([1, 2, 1, 3, 1])).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("arc", ["rising", "falling", "peak"])
@given(LEVELS)
def test_an_arc_is_followed_wherever_three_levels_are_known(arc, level):
    order = order_by_arc(level, arc)
    assert sorted(order) == list(range(len(level)))
    assert follows_arc(level[order], arc) == ((~np.isnan(level)).sum() >= 3)


@pytest.mark.parametrize(
    ("levels", "arc"), [((0.1, 0.5, 0.9), "rising"), ((0.9, 0.5, 0.1), "falling"), ((0.1, 0.9, 0.2), "peak")]
)
def test_arcs_differ_from_each_other(levels, arc):
    assert [one for one in ("rising", "falling", "peak") if follows_arc(np.array(levels), one)] == [arc]


def test_without_an_arc_the_best_stay_first():
    assert order_tracks(np.array([1, 2, 3]), np.array([0.9, 0.1, 0.5])).tolist() == [0, 1, 2]
