"""Test what the benchmarks of quality measure with, without Spark: the law of the world and `Look`."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from trackpools.config.loading import load_config
from trackpools.core.arrays.recording_table import RecordingTable
from trackpools.core.pools.build import TagDistributions
from trackpools.datasets.synthetic.synthetic_facts import Laws
from trackpools.shell.bench import oracle_recall
from trackpools.shell.bench.facets import ENOUGH, Look
from trackpools.shell.bench.held_out_flow import interval


@pytest.mark.parametrize("tracks", [144, 2000, 2004, 20_000])
def test_the_law_is_a_distribution_over_all_tracks_and_favours_what_is_loved(tracks):
    laws = Laws(load_config(settings=[f"synthetic.tracks={tracks}"]).synthetic)
    person = {"g1": 3, "g2": 5, "g3": 0, "a2": 0.6, "a3": 0.3, "s1": 1, "s2": 0, "s3": 2}
    loved, anywhere = oracle_recall._loved(laws, person), oracle_recall._anywhere(laws)
    assert loved.sum() == pytest.approx(1) == anywhere.sum()
    genre = (np.arange(tracks) // 4) % laws.genres
    by_genre = np.bincount(genre, loved, minlength=laws.genres)
    assert by_genre[[3, 5, 0]] == pytest.approx(np.array([1, 0.6, 0.3]) / 1.9)
    assert (anywhere > 0).all()


def looked_at():
    """Build a `Look` over 400 recordings, many with an unknown facet, and the pools of two users.

    Returns:
        The `Look`, and the user and the recording of each candidate of the pools.
    """
    rng = np.random.default_rng(4)
    shelf = RecordingTable.blank(400)
    shelf = replace(
        shelf,
        decade=rng.integers(0, 3, 400).astype(np.uint8),
        tempo=rng.integers(0, 3, 400).astype(np.uint8),
        group=rng.integers(0, 2, 400).astype(np.uint8),
        sketch=rng.integers(-9, 9, (400, 16)).astype(np.int8),
        tags=np.repeat([[7, 9, 0, 0], [9, 0, 0, 0]], 200, axis=0).astype(np.int32),
    )
    user = np.repeat([3, 8], [300, 250]).astype(np.int64)
    recording = np.concatenate([rng.permutation(400)[:300], rng.permutation(400)[:250]])
    heard = np.sort(np.array([u << 32 | r for u in (3, 8) for r in range(0, 400, 3)]))
    tastes = TagDistributions(np.array([0, 2, 3]), np.array([9, 7, 9]), np.array([0.75, 0.25, 1.0]))
    return Look(shelf, heard, np.array([3, 8]), tastes), user, recording


def test_cells_are_counted_as_by_hand():
    look, user, recording = looked_at()
    cells = Counter()
    for u, r in zip(user.tolist(), recording.tolist(), strict=True):
        values = (
            int(look.table.decade[r]),
            int(look.table.tempo[r]),
            int(look.table.group[r]),
            2 if r % 3 == 0 else 1,
        )
        for used in itertools.product((False, True), repeat=4):
            told = tuple(value if use else None for value, use in zip(values, used, strict=True))
            if any(used) and 0 not in told:
                cells[u, told] += 1
    full = [told for (_, told), n in cells.items() if n >= ENOUGH]
    assert look.cells(user, recording) == (len(full) / 2, sum(None not in told for told in full) / 2)


def test_a_pool_of_the_listener_s_own_tags_is_not_astray_and_another_is():
    look, _, _ = looked_at()
    # User 3 likes tag 9 by 0.75 and tag 7 by 0.25. The first 200 recordings have both tags, in halves, and
    # the other 200 only tag 9. So a pool with equally many of each has the same shares.
    even = np.concatenate([np.arange(100), 200 + np.arange(100)])
    assert look.astray(np.full(200, 3), even) == pytest.approx(0, abs=1e-3)
    assert look.astray(np.full(100, 3), 200 + np.arange(100)) > 0.5


def test_copies_lie_nearest_and_their_distance_is_none():
    look, _, _ = looked_at()
    assert look.apart(np.zeros(4, np.int64), np.array([1, 1, 2, 2])) == pytest.approx(0, abs=1e-9)
    assert 0 < look.apart(np.zeros(3, np.int64), np.array([1, 2, 3])) <= 2


def test_the_interval_holds_the_mean_and_narrows_with_more_users():
    rng = np.random.default_rng(0)
    few, many = (interval(0.1 + rng.normal(size=n)) for n in (100, 10_000))
    assert few[0] < 0.1 < few[1]
    assert 0.03 < many[1] - many[0] < 0.05 < few[1] - few[0]
