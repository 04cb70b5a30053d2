import pytest

from trackpools.core.als.plan import problems


def test_the_claims_own_size_fits():
    assert problems(9_000_000, 20_000, 64, 4) == []
    assert problems(50_000_000, 100_000, 64, 8) == []


@pytest.mark.parametrize(("rows", "recordings", "blocks", "say"), [
    (2_000_000_000, 20_000, 4, "2,000,000,000 rows ÷ 4 blocks × 8 bytes = 3.7 GiB, over 1; set train.blocks=15"),
    (9_000_000, 3_000_000, 4, "3,000,000 recordings × rank 64 × 4 bytes × 4 blocks = 2.9 GiB, over 1; lower train.rank"),
])
def test_what_cannot_fit_is_refused_with_the_arithmetic_and_advice_that_fits(rows, recordings, blocks, say):
    (problem,) = problems(rows, recordings, 64, blocks)
    assert say in problem
    if "train.blocks=" in problem:
        assert problems(rows, recordings, 64, int(problem.rsplit("=", 1)[1])) == []


def test_both_are_told():
    assert len(problems(10**10, 10**8, 128, 2)) == 2
