"""The experiment of bought plays, small: a world that is what it says, and a push that is seen."""

import numpy as np
import pytest

from trackpools.shell.bench import Size, shilling


def test_the_attacked_world_is_what_it_says():
    made = shilling.attacked(1000, 500, 30, 1, seed=1)
    fakes = made.met.user >= made.real
    target = made.met.recording == made.target
    assert made.met.users - made.real == 10
    assert (target & ~fakes).sum() == 3
    assert list(made.met.weight[target & fakes]) == [20] * 10
    assert (fakes & ~target).sum() == 300
    assert len(np.unique(made.met.user.astype(int) * 500 + made.met.recording)) == len(made.met.user)
    known = set(zip(made.met.user.tolist(), made.met.recording.tolist(), strict=True))
    held = list(
        zip(
            np.repeat(np.arange(1000), np.diff(made.held.offsets)).tolist(),
            made.held.values.tolist(),
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
    told = {ratio.name: ratio.told() for ratio in found.ratios}
    assert len(told) == 2 * len(shilling.COVERS)
    assert all(one["holds"] for one in told.values()), told
    for name in shilling.COVERS | shilling.BEYOND:
        assert found.figures[f"honest recordings flagged, {name}"] == [0]
        assert found.figures[f"target flagged, {name}"] == [name in shilling.COVERS]
