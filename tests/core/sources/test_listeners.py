"""What listeners are taken to love: recent and loved recordings, the tags of these, and nothing of audio that is no taste."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from trackpools.core.shelf import FUNCTIONAL, KNOWN, Shelf
from trackpools.core.sources.listeners import Listeners, recent_and_loved, tag_profile, taste_only


def listeners(**told):
    """One who played 0 to 3: more of each, and each longer ago; 0 and 1 of tag 7, 2 and 3 of 7 and 9."""
    recording = np.arange(4)
    facts = replace(
        Shelf.blank(4), tags=np.array([[7, 0, 0, 0], [7, 0, 0, 0], [7, 9, 0, 0], [7, 9, 0, 0]], np.int32)
    )
    one = {
        "idx": np.array([5], np.int32),
        "market": np.array([1]),
        "clean": np.array([False]),
        "declared": (np.array([0, 0]), np.empty(0, np.int64)),
        "ends": np.array([0, 4]),
        "recording": recording,
        "plays": recording + 1,
        "first_day": 100 - 10 * recording,
        "last_day": 100 - 10 * recording,
        "weight": recording + 1.0,
        "heard": np.ones(4, bool),
        "closed": np.zeros(4, bool),
        "facts": facts,
        "today": 100,
    }
    return Listeners(**(one | told))


def test_half_of_the_seeds_are_loved_and_half_are_recent_and_the_first_of_each_counts_one():
    seeds = recent_and_loved(listeners(), SimpleNamespace(seeds=2, recent_days=5.0))
    assert (seeds.user.tolist(), seeds.key.tolist(), seeds.weight.tolist()) == ([0, 0], [0, 3], [1.0, 1.0])
    assert (
        recent_and_loved(
            listeners(weight=np.zeros(4)), SimpleNamespace(seeds=2, recent_days=5.0)
        ).key.tolist()
        == []
    )


def test_a_profile_spreads_each_recording_over_its_tags_and_adds_what_was_declared():
    user, tag, share = tag_profile(listeners(), 1.0)
    assert (user.tolist(), tag.tolist(), share.tolist()) == ([0, 0], [7, 9], [0.65, 0.35])
    declared = listeners(declared=(np.array([0, 1]), np.array([8])), weight=np.zeros(4))
    assert [part.tolist() for part in tag_profile(declared, 1.0)] == [[0], [8], [1.0]]


def test_what_is_no_taste_weighs_nothing():
    facts = replace(Shelf.blank(2), marks=np.array([KNOWN, KNOWN | FUNCTIONAL], np.uint8))
    assert taste_only(np.array([2.0, 3.0]), facts).tolist() == [2.0, 0.0]
