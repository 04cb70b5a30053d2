"""Test the benchmark of bought plays at a small size: its log, and that the push is detected."""

import numpy as np
import pytest

from trackpools.shell.bench import shilling
from trackpools.shell.bench.claims import Size


def test_the_attacked_world_is_what_it_says():
    made = shilling.attack_log(1000, 500, 30, 1, seed=1)
    fakes = made.pairs.user >= made.real
    target = made.pairs.recording == made.target
    assert made.pairs.users - made.real == 10
    assert (target & ~fakes).sum() == 3
    assert list(made.pairs.weight[target & fakes]) == [20] * 10
    assert (fakes & ~target).sum() == 300
    assert len(np.unique(made.pairs.user.astype(int) * 500 + made.pairs.recording)) == len(made.pairs.user)
    known = set(zip(made.pairs.user.tolist(), made.pairs.recording.tolist(), strict=True))
    held = list(
        zip(
            np.repeat(np.arange(1000), np.diff(made.held_out.offsets)).tolist(),
            made.held_out.values.tolist(),
            strict=True,
        )
    )
    assert 0.15 < len(held) / (len(held) + (~fakes).sum()) < 0.25
    assert not known & set(held)


@pytest.mark.soak
def test_protected_pools_do_not_hold_the_target_and_rank_as_well(spark, config):
    found = shilling.measure(
        config("train.iterations=3"), Size(users=1200, recordings=600), 1, lambda _: None
    )
    told = {ratio.name: ratio.summary() for ratio in found.ratios}
    assert len(told) == 2 * len(shilling.COVERS)
    assert all(one["holds"] for one in told.values()), told
    for name in shilling.COVERS | shilling.BEYOND:
        assert found.figures[f"honest recordings flagged, {name}"] == [0]
        assert found.figures[f"target flagged, {name}"] == [name in shilling.COVERS]
