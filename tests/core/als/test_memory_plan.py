"""Tests of the memory plan of `blocked`: what fits, and what is refused with the arithmetic."""

import pytest

from trackpools.core.als.memory_plan import is_striped, memory_problems


def train_settings(config, blocks, folder="/data/checkpoints"):
    return config(f"train.blocks={blocks}", *([f"train.checkpoint_dir={folder}"] if folder else [])).train


def test_the_documented_sizes_fit_the_driver(config):
    for rows, recordings, blocks in ((9_000_000, 20_000, 4), (50_000_000, 100_000, 8)):
        assert memory_problems(rows, recordings, 64, train_settings(config, blocks, None)) == []
        assert not is_striped(recordings, 64, train_settings(config, blocks))


def test_a_block_that_cannot_fit_is_refused_with_the_arithmetic_and_advice_that_fits(config):
    (problem,) = memory_problems(2_000_000_000, 20_000, 64, train_settings(config, 4))
    assert "2,000,000,000 rows ÷ 4 blocks × 8 bytes = 3.7 GiB, but at most 1 GiB" in problem
    assert "set train.blocks=15" in problem
    assert (
        memory_problems(2_000_000_000, 20_000, 64, train_settings(config, int(problem.rsplit("=", 1)[1])))
        == []
    )


@pytest.mark.parametrize(("recordings", "blocks"), [(1_100_000, 1), (300_000, 15)])
def test_factors_too_large_for_the_driver_are_striped_and_need_a_folder(config, recordings, blocks):
    assert is_striped(recordings, 64, train_settings(config, blocks))
    (problem,) = memory_problems(9_000_000, recordings, 64, train_settings(config, blocks, None))
    assert f"{recordings:,} recordings × rank 64 × 4 bytes × {blocks} blocks" in problem
    assert "set train.checkpoint_dir" in problem
    assert memory_problems(9_000_000, recordings, 64, train_settings(config, blocks)) == []


def test_both_problems_are_reported(config):
    assert len(memory_problems(10**10, 10**8, 128, train_settings(config, 2, None))) == 2
