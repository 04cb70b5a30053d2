"""Tests of the explore source: its list, and that places agree with the stated propensities."""

import datetime as dt

import numpy as np
import pytest

from builders import rows
from trackpools.config.loading import load_config
from trackpools.core.arrays.recording_table import HAS_FACTS, RecordingTable
from trackpools.core.pools import online
from trackpools.core.pools.build import CandidateBatch, PoolRequest, TagDistributions, build_pools
from trackpools.core.pools.online import OnlineUser
from trackpools.core.pools.user_history import UserHistory
from trackpools.core.proposals.release_arrays import MarketMask, ReleaseArrays
from trackpools.core.rules.eligibility import BIT, RULES
from trackpools.core.sources import explore
from trackpools.core.sources.chart_keys import EVERYTHING, chart_keys, code_of_market
from trackpools.core.sources.lookup_arrays import SourceLists, look_up_lists
from trackpools.core.sources.source_inputs import ListInputs

AS_OF = dt.datetime(2025, 6, 30, tzinfo=dt.UTC)
DRAWS = 10_000
NAMED = 60  # the number of recordings that another source names: those from −20 to 40 of the list


def one_list(recordings):
    """Return the lists of the source; it has only one list."""
    return SourceLists(
        np.array([7]),
        np.array([0, len(recordings)]),
        recordings.astype(np.int32),
        np.zeros(len(recordings), np.float32),
    )


def draw_for_users(size, heard, k):
    """Return what is drawn from a list of `size` recordings for 10,000 users who heard the same."""
    users = np.arange(DRAWS)
    past = (np.arange(DRAWS + 1) * len(heard), np.tile(heard, DRAWS))
    seeds = (np.arange(DRAWS + 1), np.full(DRAWS, 7), np.ones(DRAWS))
    listed = one_list(np.arange(1000, 1000 + size))
    return look_up_lists(explore.SOURCE, seeds, listed, past, users=users, k=k, today=20_000)


@pytest.mark.parametrize(
    ("size", "k", "places"),
    [(300, 30, 80), (300, 30, 200), (60, 50, 80)],
    ids=[
        "full pools",
        "pools that are short, so that the explored fill up",
        "a list of which nearly all is proposed",
    ],
)
def test_recordings_get_places_as_often_as_their_propensity_says(size, k, places):
    """Check that Σ 1 / propensity over a recording's places estimates the number of users.

    The 10,000 users differ only in their draws (Horvitz & Thompson).
    """
    listed = 1000 + np.arange(size)
    heard, barred, versions = (
        listed[40:50],
        listed[20:30],
        {int(r): 900 + n for n, r in enumerate(listed[30:35])},
    )
    named = np.concatenate([listed[:20], 900 + np.arange(NAMED - 20)])
    found = draw_for_users(size, heard, k)
    assert (found.lot_size == size - len(heard)).all()
    explored_sizes = np.diff(found.ends)
    user = np.concatenate([np.repeat(np.arange(DRAWS), NAMED), np.repeat(np.arange(DRAWS), explored_sizes)])
    recording = np.concatenate([np.tile(named, DRAWS), found.recordings]).astype(np.int64)
    rank = (
        np.concatenate(
            [
                np.tile(np.arange(NAMED), DRAWS),
                np.arange(len(found.recordings)) - np.repeat(found.ends[:-1], explored_sizes),
            ]
        )
        + 1
    )
    source = np.repeat([0, explore.BIT], [DRAWS * NAMED, len(found.recordings)])
    order = np.lexsort((rank, source, user))
    user, recording, rank, source = (column[order] for column in (user, recording, rank, source))
    none, shelf = np.zeros(len(user), np.int64), RecordingTable.blank(1000 + size)
    for version, original in versions.items():
        shelf.song[version] = original
    pools = build_pools(
        CandidateBatch(
            user,
            recording,
            source,
            rank,
            np.where(np.isin(recording, barred), BIT["rights"], 0),
            none,
            none - 1,
            none > 0,
            np.zeros(DRAWS, np.int64),
            np.zeros((DRAWS, len(RULES)), np.int64),
            shelf,
            TagDistributions.empty(DRAWS),
            explored_sizes / found.lot_size,
        ),
        PoolRequest(places, 60, (1.0, *[0.0] * 8, 0.02), explore=(explore.BIT, 5)),
    )
    picks = pools.picks
    by_lot = picks.sources == 1 << explore.BIT
    assert (picks.propensity[~by_lot] == 1).all()
    could = np.setdiff1d(listed, np.concatenate([heard, barred, list(versions), listed[:20]]))
    assert set(picks.recording[by_lot].tolist()) == set(could.tolist())
    place, chance = (
        np.searchsorted(could, picks.recording[by_lot]),
        picks.propensity[by_lot].astype(np.float64),
    )
    estimate = np.bincount(place, 1 / chance) / DRAWS
    error = np.sqrt(np.bincount(place, 1 / chance**2)) / DRAWS
    assert (np.abs(estimate - 1) < 5 * error).all(), (
        "each recording's places, weighed by 1 / propensity, are the listeners"
    )
    assert abs(estimate.mean() - 1) < 5 * np.sqrt((error**2).sum()) / len(could)
    observed, told = np.bincount(place) / DRAWS, np.bincount(place, chance) / np.bincount(place)
    assert (np.abs(observed - told) < 5 * np.sqrt(told / DRAWS) + 0.02 * told).all(), (
        "the mean propensity is how often it got a place"
    )


def test_a_pool_on_demand_states_the_propensity_of_what_was_drawn():
    """Check a list of 40, of which 5 were heard: 8 of 35 are drawn, and 3 of these get places in the pool."""
    names = load_config().sources.names
    settings = [f"sources.{name}.enabled={str(name == 'explore').lower()}" for name in names]
    config = load_config(
        settings=[
            *settings,
            "sources.explore.k=8",
            "sources.explore.slots=3",
            "pools.k=3",
            "pools.calibration=0.0",
        ]
    )
    heard, shelf = np.arange(5), RecordingTable.blank(40)
    shelf.listeners[:], shelf.marks[:] = 1000, HAS_FACTS
    (key,) = chart_keys(np.array([code_of_market("SE")]), np.array([False]), np.array([EVERYTHING])).tolist()
    listed = SourceLists(
        np.array([key]), np.array([0, 40]), np.arange(40, dtype=np.int32), np.zeros(40, np.float32)
    )
    market = MarketMask(np.zeros(40, np.uint8), np.zeros(len(RULES), np.int64))
    release = ReleaseArrays(config, AS_OF, shelf, {"SE": market}, {explore.BIT: listed}, {})
    days = np.full(5, 20_000)
    past = UserHistory(heard, days, days, days, np.ones(5, np.float32), heard >= 0, heard < 0, heard < 0)
    person = OnlineUser(11, "SE", False, (), past, {})
    pool = online.pool(release, person)
    chances = [one["propensity"] for one in pool["candidates"]]
    assert chances == [float(np.float32(3 / 35))] * 3


def test_a_list_holds_one_version_of_a_song_the_original_where_the_market_may_play_it(spark, config):
    """Check the list of six recordings.

    Recordings 0 and 1 are one song, and so are 2 and 3, of which the original (2) is not licensed; too few
    users heard 5.
    """
    songs = {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 5}
    facts = rows(
        spark,
        "recording_facts",
        *(
            {"recording_idx": r, "song": song, "listeners": 1 if r == 5 else 9, "inflated": False}
            for r, song in songs.items()
        ),
    )
    cards = rows(
        spark,
        "track_cards",
        *(
            {
                "recording_idx": r,
                "market": "SE",
                "available": True,
                "track_id": None if r == 2 else f"t{r}",
                "listeners": 3,
            }
            for r in songs
        ),
    )
    c = config("rules.min_listeners=5")
    inputs = ListInputs(
        interactions=None,
        days=None,
        facts=facts,
        cards=cards,
        recording_factors=None,
        recordings=0,
        config=c,
        as_of=AS_OF,
    )
    (row,) = explore.lists(inputs, c.sources.explore).collect()
    assert sorted(np.frombuffer(row["recordings"], np.int32).tolist()) == [0, 3, 4]
