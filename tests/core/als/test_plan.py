import pytest

from trackpools.core.als.plan import is_striped, problems


def sized(config, blocks, folder="/data/checkpoints"):
    return config(f"train.blocks={blocks}", *([f"train.checkpoint_dir={folder}"] if folder else [])).train


def test_the_claims_own_size_fits_the_driver(config):
    for rows, recordings, blocks in ((9_000_000, 20_000, 4), (50_000_000, 100_000, 8)):
        assert problems(rows, recordings, 64, sized(config, blocks, None)) == []
        assert not is_striped(recordings, 64, sized(config, blocks))


def test_a_block_that_cannot_fit_is_refused_with_the_arithmetic_and_advice_that_fits(config):
    (problem,) = problems(2_000_000_000, 20_000, 64, sized(config, 4))
    assert "2,000,000,000 rows ÷ 4 blocks × 8 bytes = 3.7 GiB, over 1; set train.blocks=15" in problem
    assert problems(2_000_000_000, 20_000, 64, sized(config, int(problem.rsplit("=", 1)[1]))) == []


@pytest.mark.parametrize(("recordings", "blocks"), [(1_100_000, 1), (300_000, 15)])
def test_what_the_driver_should_not_hold_goes_in_stripes_and_those_need_a_folder(config, recordings, blocks):
    assert is_striped(recordings, 64, sized(config, blocks))
    (problem,) = problems(9_000_000, recordings, 64, sized(config, blocks, None))
    assert f"{recordings:,} recordings × rank 64 × 4 bytes × {blocks} blocks" in problem
    assert "set train.checkpoint_dir" in problem
    assert problems(9_000_000, recordings, 64, sized(config, blocks)) == []


def test_both_are_told(config):
    assert len(problems(10**10, 10**8, 128, sized(config, 2, None))) == 2
