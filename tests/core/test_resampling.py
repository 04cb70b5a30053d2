"""Intervals that hold what they promise, tests that are as often wrong as they say, equal answers whatever the partitions."""

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy import stats

from trackpools.core.resampling import drawn, holm, of_values, resampled, total


def test_an_interval_of_95_percent_holds_the_truth_95_times_in_a_hundred():
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(1000):
        low, high = of_values(rng.beta(0.5, 2.0, 300), seed=trial, draws=400).interval()
        held += low[0] <= 0.2 <= high[0]
    assert 0.93 <= held / 1000 <= 0.97


def test_no_difference_is_found_as_often_as_the_level_says_and_a_real_one_nearly_always():
    rng = np.random.default_rng(2)
    same = [of_values(rng.normal(0, 1, 200), seed=trial, draws=400).p_value()[0] for trial in range(600)]
    assert 0.03 <= np.mean(np.array(same) < 0.05) <= 0.075
    assert stats.kstest(same, "uniform").pvalue > 0.001
    assert (
        np.mean(
            [
                of_values(rng.normal(0.3, 1, 200), seed=trial, draws=400).p_value()[0] < 0.05
                for trial in range(100)
            ]
        )
        > 0.9
    )


def test_weights_are_poisson_and_signs_are_fair():
    weights, signs = drawn(np.arange(3000), 200, 7)
    counts = np.bincount(weights.ravel().astype(int))
    np.testing.assert_allclose(counts[:5] / weights.size, stats.poisson.pmf(range(5), 1), atol=0.003)
    assert abs(signs.mean()) < 0.005
    assert abs(np.corrcoef(weights.ravel(), signs.ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(weights[0], weights[1])[0, 1]) < 0.08
    assert not np.array_equal(weights, drawn(np.arange(3000), 200, 8)[0])


@pytest.mark.parametrize("partitions", [1, 3, 7])
def test_spark_gives_what_the_array_gives_whatever_the_partitions(spark, partitions):
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.1, 1, 500), rng.random(500)
    rows = spark.createDataFrame(
        [(u, float(a[u]), None if u % 5 == 0 else float(b[u])) for u in range(500)],
        "user_idx int, a double, b double",
    )
    found = total(resampled(rows.repartition(partitions), ["a", "b"], draws=300, seed=4).toArrow(), 2)
    expected = of_values(a, seed=4, draws=300)
    np.testing.assert_allclose(found.draws[:, 0], expected.draws[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.flips[:, 0], expected.flips[:, 0], atol=1e-12)
    assert found.users.tolist() == [500, 400]
    assert found.mean[1] == pytest.approx(b[np.arange(500) % 5 != 0].mean())
    weights, _ = drawn(np.arange(500), 300, 4)
    some = np.arange(500) % 5 != 0
    np.testing.assert_allclose(
        found.draws[:, 1], weights[:, some] @ b[some] / weights[:, some].sum(axis=1), rtol=1e-12
    )


def test_nobody_is_no_answer_and_no_crash(spark):
    empty = spark.createDataFrame([], "user_idx int, a double")
    found = total(resampled(empty, ["a"], draws=10).toArrow(), 1)
    assert (found.users.tolist(), found.mean.tolist()) == ([0], [0])
    nulls = total(
        resampled(
            spark.range(3).select(F.col("id").alias("user_idx"), F.lit(None).cast("double").alias("a")),
            ["a"],
            draws=10,
        ).toArrow(),
        1,
    )
    assert nulls.users.tolist() == [0]


def test_many_tests_are_corrected_as_holm_says():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
