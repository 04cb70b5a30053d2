"""Tests of the filters of a catalogue, each at its limit; unknown values pass none and are counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogues import everything, listener, some, tracks
from trackpools.fill.contract.constraints import Band, Filter, Top
from trackpools.fill.contract.describe import describe_filter
from trackpools.fill.solver.catalogue import filter_results, rows_passing

ROWS = [
    {
        "title": "One",
        "artist_names": ["Björk"],
        "tags": ["rock"],
        "original_year": 1979,
        "tempo": 120.0,
        "energy": 0.7,
        "popularity": 0.95,
        "artist_rank": 1,
        "duration_ms": 240_000,
        "language": "is",
        "version_kind": "original",
        "clean_track_id": "t0",
    },
    {
        "title": "Two",
        "artist_names": ["The XX", "Björk"],
        "tags": ["Hip-Hop", "pop"],
        "original_year": 1980,
        "tempo": 121.0,
        "energy": 0.69,
        "popularity": 0.7,
        "artist_rank": 6,
        "duration_ms": 241_000,
        "language": "en",
        "version_kind": "live",
    },
    {"title": "Three"},
]
CASES = [
    (Filter(artists=("bjork",)), [0, 1], 1),
    (Filter(no_artists=("BJÖRK",)), [], 1),
    (Filter(tags=("hip hop",)), [1], 1),
    (Filter(no_tags=("rock",)), [1], 1),
    (Filter(years=(Band(high=1979),)), [0], 1),
    (Filter(no_years=(Band(low=1980, high=1989),)), [0], 1),
    (Filter(tempo=Band(high=120)), [0], 1),
    (Filter(energy=Band(low=0.7)), [0], 1),
    (Filter(popularity=Band(low=0.95)), [0], 0),
    (Filter(popularity=Band(high=0.7)), [1, 2], 0),
    (Filter(artist_rank=Band(low=6)), [1], 1),
    (Filter(seconds=Band(high=240)), [0], 1),
    (Filter(languages=("en",)), [1], 1),
    (Filter(no_languages=("en",)), [0], 1),
    (Filter(no_versions=("live",)), [0], 1),
    (Filter(clean=True), [0], 0),
    (Filter(heard=True), [0, 1], 0),
    (Filter(heard=False), [2], 0),
    (Filter(artist_heard=True), [0, 1], 0),
    (Filter(artist_heard=False), [2], 0),
    (Filter(no_titles=("ONE",)), [1, 2], 0),
    (Filter(quiet_days=30), [0, 2], 0),
    (Filter(quiet_days=31), [2], 0),
    (Filter(top=Top(count=1, days=28)), [0, 1], 1),
    (Filter(), [0, 1, 2], None),
    (Filter(tags=("rock",), years=(Band(low=1990),)), [], 1),
    (Filter(artists=("nobody",)), [], 1),
]


@pytest.mark.parametrize(
    ("wanted", "pass_", "unknown"), CASES, ids=[describe_filter(wanted) for wanted, *_ in CASES]
)
def test_a_filter_passes_the_tracks_that_fit_it(wanted, pass_, unknown):
    catalogue, who = tracks(ROWS), listener({0: 30, 1: None}, ["björk"])
    assert np.flatnonzero(rows_passing(catalogue, wanted, who)).tolist() == pass_
    for _, missing in filter_results(catalogue, wanted, who).values():
        assert missing.sum() == unknown


def test_favourites_beyond_the_known_windows_are_counted_by_plays():
    catalogue = tracks([{"artist_names": [name]} for name in ("A", "A", "B", "C", "C", "C")])
    who = listener({0: 400, 1: 300, 2: 10, 3: 2000, 4: 2000, 5: 2000})
    assert rows_passing(catalogue, Filter(top=Top(count=1, days=730)), who).tolist() == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert rows_passing(catalogue, Filter(top=Top(count=1)), who).tolist() == [
        False,
        False,
        False,
        True,
        True,
        True,
    ]
    assert rows_passing(catalogue, Filter(top=Top(count=2, days=100)), who).tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]


def test_versions_of_a_song_are_recognised_by_artist_and_title():
    catalogue = tracks(
        [
            {"title": "City of the Coast", "artist_names": ["A"]},
            {"title": "city of the coast (Live)", "artist_names": ["A"]},
            {"title": "City of the Coast - 2011 Remaster", "artist_names": ["A"]},
            {"title": "City of the Coast", "artist_names": ["B"]},
            {"artist_names": ["A"]},
            {"artist_names": ["A"]},
            {"title": "(Live)", "artist_names": ["A"]},
        ]
    )
    assert catalogue.song.tolist() == [0, 0, 0, 3, 4, 5, 6]


@given(st.integers(0, 1000))
def test_fewer_conditions_pass_more_tracks(seed):
    catalogue, who = some(seed), listener({1: 3, 5: 100, 9: None})
    asked = Filter(
        tags=("rock", "jazz"),
        years=(Band(low=1980),),
        quiet_days=30,
        energy=Band(low=0.3),
        no_versions=("live",),
    )
    whole = rows_passing(catalogue, asked, who)
    for name in asked.set_fields:
        wider = rows_passing(
            catalogue, asked.model_copy(update={name: Filter.model_fields[name].default}), who
        )
        assert (wider | ~whole).all()


def test_nothing_is_in_an_empty_catalogue():
    empty = tracks([])
    assert (
        len(rows_passing(empty, Filter(tags=("rock",), heard=False, quiet_days=3, top=Top()), listener()))
        == len(everything(empty).rows)
        == 0
    )
