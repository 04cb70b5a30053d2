"""Tests of the bootstrap: coverage of intervals, error rates of tests, independence of partitions."""

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy import stats

from trackpools.core.evaluation.bootstrap import (
    combine_sums,
    draw_weights,
    holm_correction,
    resample,
    resample_values,
)


def test_an_interval_of_95_percent_holds_the_truth_95_times_in_a_hundred():
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(1000):
        low, high = resample_values(rng.beta(0.5, 2.0, 300), seed=trial, draws=400).interval()
        held += low[0] <= 0.2 <= high[0]
    assert 0.93 <= held / 1000 <= 0.97


def test_a_missing_difference_is_found_at_the_level_and_a_real_one_nearly_always():
    rng = np.random.default_rng(2)
    same = [
        resample_values(rng.normal(0, 1, 200), seed=trial, draws=400).p_value()[0] for trial in range(600)
    ]
    assert 0.03 <= np.mean(np.array(same) < 0.05) <= 0.075
    assert stats.kstest(same, "uniform").pvalue > 0.001
    assert (
        np.mean(
            [
                resample_values(rng.normal(0.3, 1, 200), seed=trial, draws=400).p_value()[0] < 0.05
                for trial in range(100)
            ]
        )
        > 0.9
    )


def test_weights_are_poisson_and_signs_are_fair():
    weights, signs = draw_weights(np.arange(3000), 200, 7)
    counts = np.bincount(weights.ravel().astype(int))
    np.testing.assert_allclose(counts[:5] / weights.size, stats.poisson.pmf(range(5), 1), atol=0.003)
    assert abs(signs.mean()) < 0.005
    assert abs(np.corrcoef(weights.ravel(), signs.ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(weights[0], weights[1])[0, 1]) < 0.08
    assert not np.array_equal(weights, draw_weights(np.arange(3000), 200, 8)[0])


@pytest.mark.parametrize("partitions", [1, 3, 7])
def test_spark_gives_what_the_array_gives_whatever_the_partitions(spark, partitions):
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.1, 1, 500), rng.random(500)
    rows = spark.createDataFrame(
        [(u, float(a[u]), None if u % 5 == 0 else float(b[u])) for u in range(500)],
        "user_idx int, a double, b double",
    )
    found = combine_sums(resample(rows.repartition(partitions), ["a", "b"], draws=300, seed=4).toArrow(), 2)
    expected = resample_values(a, seed=4, draws=300)
    np.testing.assert_allclose(found.draws[:, 0], expected.draws[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.flips[:, 0], expected.flips[:, 0], atol=1e-12)
    assert found.users.tolist() == [500, 400]
    assert found.mean[1] == pytest.approx(b[np.arange(500) % 5 != 0].mean())
    weights, _ = draw_weights(np.arange(500), 300, 4)
    some = np.arange(500) % 5 != 0
    np.testing.assert_allclose(
        found.draws[:, 1], weights[:, some] @ b[some] / weights[:, some].sum(axis=1), rtol=1e-12
    )


def test_no_users_give_no_answer_and_no_error(spark):
    empty = spark.createDataFrame([], "user_idx int, a double")
    found = combine_sums(resample(empty, ["a"], draws=10).toArrow(), 1)
    assert (found.users.tolist(), found.mean.tolist()) == ([0], [0])
    nulls = combine_sums(
        resample(
            spark.range(3).select(F.col("id").alias("user_idx"), F.lit(None).cast("double").alias("a")),
            ["a"],
            draws=10,
        ).toArrow(),
        1,
    )
    assert nulls.users.tolist() == [0]


def test_many_tests_are_corrected_as_holm_says():
    assert holm_correction([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm_correction([0.5, 0.9]) == [1.0, 1.0]
    assert holm_correction([]) == []
