"""Tests of the user block: which recordings and tags count as loved; non-taste counts for nothing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from trackpools.core.arrays.recording_table import FUNCTIONAL, HAS_FACTS, RecordingTable
from trackpools.core.sources.user_block import UserBlock, recent_and_loved, tag_profile, taste_weights


def block_of_one_user(**told):
    """Return the block of one user who played recordings 0 to 3, each more often and longer ago.

    Recordings 0 and 1 have tag 7, and 2 and 3 have tags 7 and 9.
    """
    recording = np.arange(4)
    facts = replace(
        RecordingTable.blank(4),
        tags=np.array([[7, 0, 0, 0], [7, 0, 0, 0], [7, 9, 0, 0], [7, 9, 0, 0]], np.int32),
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
        "excluded": np.zeros(4, bool),
        "facts": facts,
        "today": 100,
    }
    return UserBlock(**(one | told))


def test_half_of_the_seeds_are_loved_and_half_are_recent_and_the_first_of_each_counts_one():
    seeds = recent_and_loved(block_of_one_user(), SimpleNamespace(seeds=2, recent_days=5.0))
    assert (seeds.user.tolist(), seeds.key.tolist(), seeds.weight.tolist()) == ([0, 0], [0, 3], [1.0, 1.0])
    assert (
        recent_and_loved(
            block_of_one_user(weight=np.zeros(4)), SimpleNamespace(seeds=2, recent_days=5.0)
        ).key.tolist()
        == []
    )


def test_a_profile_spreads_each_recording_over_its_tags_and_adds_what_was_declared():
    user, tag, share = tag_profile(block_of_one_user(), 1.0)
    assert (user.tolist(), tag.tolist(), share.tolist()) == ([0, 0], [7, 9], [0.65, 0.35])
    declared = block_of_one_user(declared=(np.array([0, 1]), np.array([8])), weight=np.zeros(4))
    assert [part.tolist() for part in tag_profile(declared, 1.0)] == [[0], [8], [1.0]]


def test_non_taste_has_no_weight():
    facts = replace(RecordingTable.blank(2), marks=np.array([HAS_FACTS, HAS_FACTS | FUNCTIONAL], np.uint8))
    assert taste_weights(np.array([2.0, 3.0]), facts).tolist() == [2.0, 0.0]
