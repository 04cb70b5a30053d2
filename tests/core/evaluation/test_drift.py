"""Tests of the drift index: a known value, bins counted by hand, and how often chance raises an alarm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.core.evaluation.drift import (
    DRIFT_PSI,
    UNKNOWN,
    WATCH_PSI,
    by_octave,
    by_quantile,
    chance_psi,
    psi,
)

COUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=12)


def test_the_index_is_the_textbook_sum():
    # The shares 0.5, 0.3 and 0.2 are compared with 0.4, 0.3 and 0.3.
    expected = 0.1 * math.log(0.5 / 0.4) + 0.1 * math.log(0.3 / 0.2)
    assert psi([50, 30, 20], [40, 30, 30], smoothing=0) == pytest.approx(expected)
    assert psi([50_000, 30_000, 20_000], [4_000, 3_000, 3_000]) == pytest.approx(expected, abs=1e-3)


def test_relevant_drift_is_above_the_thresholds_and_irrelevant_drift_below():
    same = [1000] * 10
    assert psi(same, [1000 + 30 * (-1) ** i for i in range(10)]) < WATCH_PSI
    assert WATCH_PSI < psi(same, [500 + 110 * i for i in range(10)]) < DRIFT_PSI
    assert psi(same, [i * i * 30 for i in range(10)]) > DRIFT_PSI


@settings(deadline=None)
@given(COUNTS)
def test_the_index_is_finite_symmetric_and_never_negative(pairs):
    old, new = zip(*pairs, strict=True)
    found = psi(old, new)
    assert math.isfinite(found)
    assert found >= 0
    assert found == pytest.approx(psi(new, old), abs=1e-12)
    assert psi(old, old) == 0
    assert psi([0, *old], [0, *new]) == pytest.approx(found, abs=1e-12), (
        "a bin that nobody is in says nothing"
    )


def test_an_empty_bin_counts_and_gives_a_finite_index():
    assert DRIFT_PSI < psi([1000, 0], [500, 500]) < math.inf
    assert psi([1000, 0], [500, 500]) > psi([1000, 100], [500, 500])


def test_an_empty_sample_shows_no_drift():
    assert psi([0, 0], [3, 4]) == psi([], []) == chance_psi([0], [3]) == chance_psi([], []) == 0


@pytest.mark.parametrize("users", [40, 1000])
def test_two_samples_of_one_distribution_stay_below_the_limit_of_chance(users):
    rng = np.random.default_rng(users)
    spread = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05])
    above = [
        psi(old, new) > chance_psi(old, new)
        for old, new in zip(*(rng.multinomial(users, spread, 1000) for _ in range(2)), strict=True)
    ]
    assert 0.02 <= np.mean(above) <= 0.07
    assert chance_psi([4] * 10, [4] * 10) > DRIFT_PSI > WATCH_PSI > chance_psi([1000] * 10, [1000] * 10)


def bin_counts(frame):
    return {row["bin"]: (row["old"], row["new"]) for row in frame.collect()}


def frame_of(spark, *values):
    return spark.createDataFrame([(v,) for v in values], "x double")


def test_octaves_are_counted_by_hand(spark):
    old, new = frame_of(spark, 1.0, 1.9, 2.0, 7.0, 1024.0), frame_of(spark, 0.0, 8.0, None, 3.0)
    assert bin_counts(by_octave(old, new, "x")) == {
        0: (2, 0),
        1: (1, 1),
        2: (1, 0),
        10: (1, 0),
        -1: (0, 1),
        3: (0, 1),
        UNKNOWN: (0, 1),
    }


def test_quantile_bins_hold_a_tenth_of_the_old_values_and_any_share_of_the_new(spark):
    old = spark.range(1000).selectExpr("cast(id as double) as x")
    new = spark.range(500, 1500).selectExpr("cast(id as double) as x")
    found = bin_counts(by_quantile(old, new, "x"))
    assert set(found) == set(range(10))
    assert [found[i][0] for i in range(10)] == pytest.approx([100] * 10, abs=2)
    assert [found[i][1] for i in range(10)] == pytest.approx([0] * 5 + [100] * 4 + [600], abs=2)
    same = bin_counts(by_quantile(old, old, "x")).values()
    assert psi(*zip(*same, strict=True)) == 0


def test_values_that_are_all_alike_and_nulls_are_bins_too(spark):
    old, new = frame_of(spark, *[5.0] * 20, None), frame_of(spark, 4.0, 5.0, 6.0, None, None)
    assert bin_counts(by_quantile(old, new, "x")) == {0: (20, 2), 1: (0, 1), UNKNOWN: (1, 2)}
    assert bin_counts(by_quantile(old.limit(0), new, "x")) == {0: (0, 3), UNKNOWN: (0, 2)}


def test_bins_do_not_depend_on_the_partitions(spark):
    old = spark.range(1000).selectExpr("cast(id % 97 as double) as x")
    new = spark.range(800).selectExpr("cast(id % 89 as double) as x")
    assert bin_counts(by_quantile(old.repartition(5), new.repartition(3), "x")) == bin_counts(
        by_quantile(old.coalesce(1), new.coalesce(1), "x")
    )
