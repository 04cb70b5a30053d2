"""Tests of the training sample, and of the fold-in of all users and recordings outside it.

Fold-in brings their factors to the optimum that training on everything would give.
"""

import numpy as np
import pytest

from trackpools.core.als import reference, sample
from trackpools.core.als.fold_in_recordings import fold_in_recordings, grams, groups
from trackpools.core.als.fold_in_users import signed_values

SCHEMA = "user_idx int, recording_idx int, positive double, negative double"


@pytest.fixture(scope="module")
def training(spark):
    """Return a frame in which recording i is played by every (i + 1)th of 400 users."""
    return spark.createDataFrame(
        [(u, i, 1.0 + i % 3, 0.0) for i in range(30) for u in range(0, 400, i + 1)], SCHEMA
    ).cache()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_the_recordings_trained_on_are_the_fewest_that_hold_the_share(training, share):
    weight = {
        row["recording_idx"]: row["w"]
        for row in training.groupBy("recording_idx")
        .agg({"positive": "sum"})
        .withColumnRenamed("sum(positive)", "w")
        .collect()
    }
    kept = {row["recording_idx"] for row in sample.covering(training.repartition(5), share, 1).collect()}
    total, held = sum(weight.values()), sum(weight[i] for i in kept)
    assert held >= share * total * (1 - 1e-9)
    least = min(weight[i] for i in kept)
    assert all(weight[i] <= least for i in set(weight) - kept)
    last_class = {i for i in kept if weight[i] < least * 2 ** (1 / sample.CLASSES)}
    assert sum(weight[i] for i in kept - last_class) < share * total


def test_recordings_of_few_listeners_are_left_to_fold_in(training):
    assert {row["recording_idx"] for row in sample.covering(training, 1.0, 100).collect()} == {0, 1, 2, 3}


def test_the_sample_of_users_depends_on_the_seed_and_on_nothing_else(training, config):
    def users(rows, *settings):
        return {
            row["user_idx"]
            for row in sample.sample_training(rows, config(*settings).train).select("user_idx").collect()
        }

    quarter = users(training, "train.user_fraction=0.25")
    assert 60 < len(quarter) < 140
    assert users(training.repartition(7), "train.user_fraction=0.25") == quarter
    assert quarter < users(training, "train.user_fraction=0.5")
    assert users(training, "train.user_fraction=0.25", "train.seed=1") != quarter


@pytest.mark.parametrize("prior", [True, False])
@pytest.mark.parametrize(("nu", "alpha0"), [(1.0, 0.0), (0.5, 0.1)])
def test_recordings_are_folded_in_to_their_optimum_around_their_artist(spark, config, prior, nu, alpha0):
    users, recordings, rank = 50, 12, 4
    rng = np.random.default_rng(5)
    positive = np.where(rng.random((users, recordings)) < 0.3, rng.gamma(1.0, 2.0, (users, recordings)), 0.0)
    negative = np.where(rng.random((users, recordings)) < 0.1, 1.0, 0.0)
    x, known = (
        rng.normal(size=(users, rank)).astype(np.float32),
        rng.normal(size=(6, rank)).astype(np.float32),
    )
    train = config(
        "train.engine=blocked",
        f"train.nu={nu}",
        f"train.alpha0={alpha0}",
        "train.reg=0.7",
        "train.alpha=2",
        "train.beta=3",
        "train.blocks=3",
    ).train
    rows = [
        (int(u), 10 + int(i), float(positive[u, i]), float(negative[u, i]))
        for u, i in zip(*np.nonzero(positive + negative), strict=True)
    ]
    training = spark.createDataFrame(rows, SCHEMA)
    factors = "idx int, factors array<float>"
    people = spark.createDataFrame([(u, row.tolist()) for u, row in enumerate(x)], factors)
    trained = spark.createDataFrame([(i, row.tolist()) for i, row in enumerate(known)], factors)
    # Recordings 10–13 are by a (0 and 1 are trained), 14–17 by b (2 is trained), 18 by c (none is trained),
    # and 19–21 by no known artist.
    names = {
        0: "a",
        1: "a",
        2: "b",
        3: "d",
        **dict.fromkeys(range(10, 14), "a"),
        **dict.fromkeys(range(14, 18), "b"),
        18: "c",
        19: None,
    }
    artists = spark.createDataFrame(list(names.items()), "recording_idx int, artist string")
    gram = sum(np.frombuffer(row["gram"]).reshape(rank, rank) for row in sorted(grams(people, 3).collect()))
    assert gram == pytest.approx(x.astype(float).T @ x.astype(float), rel=1e-6)

    found = fold_in_recordings(
        signed_values(training, train).repartition(4),
        people,
        trained,
        train,
        artists=artists if prior else None,
        gram=gram,
        n_users=users,
        divided=3,
    )
    drawn = np.zeros((recordings, rank))
    if prior:
        drawn[:4], drawn[4:8] = known[:2].mean(axis=0), known[2]
    of = reference.problem(positive, negative, alpha=2.0, beta=3.0, reg=0.7, nu=nu, alpha0=alpha0)
    penalty = of.penalties()[1]
    wide = x.astype(float)
    for row in found.collect():
        i = row["idx"] - 10
        a = wide.T @ (of.c[:, i, None] * wide) + penalty[i] * np.eye(rank)
        assert row["factors"] == pytest.approx(
            np.linalg.solve(a, wide.T @ (of.c[:, i] * of.p[:, i]) + penalty[i] * drawn[i]), rel=1e-3, abs=1e-5
        )
    assert sorted(row["idx"] for row in found.collect()) == list(range(10, 10 + recordings))


def test_a_group_of_rows_with_factors_fits_a_task():
    assert groups(0, 64, 4) == 4
    assert groups(10**9, 64, 4) * 128 * 2**20 >= 10**9 * 64 * 4
