"""Tests of training on a sample: all users and recordings get factors, as if trained on the whole."""

import numpy as np
import pytest

from trackpools.config import ENGINES
from trackpools.core.als import reference
from trackpools.errors import InputError
from trackpools.shell.training.train import train
from worlds import Blocks

SCHEMA = "user_idx int, recording_idx int, positive double, negative double"
USERS, RECORDINGS, RANK = 80, 40, 5


@pytest.fixture(scope="module")
def evidence():
    rng = np.random.default_rng(4)
    chance = 0.6 / np.arange(1, RECORDINGS + 1) ** 0.4
    positive = np.where(
        rng.random((USERS, RECORDINGS)) < chance, rng.gamma(1.0, 2.0, (USERS, RECORDINGS)), 0.0
    )
    positive[:, 0] = 1.0
    return positive


@pytest.fixture
def training(spark, evidence):
    return spark.createDataFrame(
        [(int(u), int(i), float(evidence[u, i]), 0.0) for u, i in zip(*np.nonzero(evidence), strict=True)],
        SCHEMA,
    )


@pytest.mark.parametrize(
    ("engine", "stripes"), [*((engine, 2**28) for engine in ENGINES), ("blocked", 4 * RANK * 7)]
)
def test_users_and_recordings_outside_the_sample_are_folded_in_from_the_whole_history(
    training, config, tmp_path, evidence, engine, stripes
):
    kept_in = (f"train.stripe_bytes={stripes}", f"train.checkpoint_dir={tmp_path}")
    settings = [
        *kept_in,
        f"train.engine={engine}",
        f"train.rank={RANK}",
        "train.reg=0.5",
        "train.alpha=2",
        "train.iterations=3",
        "train.user_steps=0",
        "train.blocks=2",
    ]
    whole = config(*settings).train
    part = config(*settings, "train.user_fraction=0.5", "train.play_coverage=0.8").train
    held = []
    fit = train(training, part, None, lambda frame: held.append(frame) or frame)
    assert 0.3 * USERS < fit.trained.users < 0.7 * USERS
    assert fit.trained.recordings < RECORDINGS
    # The sample and the users are read more than once, and so are recordings that the driver does not hold.
    assert len(held) == (2 if stripes == 2**28 else 3)
    users = {row["idx"]: row["factors"] for row in fit.users.collect()}
    recordings = {row["idx"]: row["factors"] for row in fit.recordings.collect()}
    assert sorted(users) == list(range(USERS))
    assert sorted(recordings) == list(range(RECORDINGS))

    # The most played recordings are trained on. Against their factors every user is at the optimum, and so is
    # every other recording against the users.
    weight = evidence.sum(axis=0)
    trained = sorted(sorted(recordings, key=lambda i: -weight[i])[: fit.trained.recordings])
    of = reference.problem(
        evidence[:, trained], np.zeros((USERS, len(trained))), alpha=2.0, beta=0.0, reg=0.5, nu=whole.exponent
    )
    x = np.array([users[u] for u in range(USERS)])
    y = np.array([recordings[i] for i in trained])
    assert x == pytest.approx(reference.user_half_step(y.astype(float), of), rel=1e-3, abs=1e-4)
    everything = reference.problem(
        evidence, np.zeros_like(evidence), alpha=2.0, beta=0.0, reg=0.5, nu=whole.exponent
    )
    late = [i for i in range(RECORDINGS) if i not in trained]
    folded = reference.recording_half_step(x.astype(float), everything)[late]
    assert np.array([recordings[i] for i in late]) == pytest.approx(folded, rel=1e-3, abs=1e-4)


def test_half_the_users_are_enough_to_find_what_the_other_half_has_not_heard(spark, config):
    world = Blocks()
    train_part = config(
        "train.engine=blocked", "train.rank=4", "train.user_fraction=0.5", "train.blocks=2"
    ).train
    fit = train(world.training(spark), train_part)
    assert fit.trained.users < 0.8 * world.users
    y = np.array([row["factors"] for row in fit.recordings.orderBy("idx").collect()])
    for row in fit.users.collect():
        unheard = [r for r in range(world.recordings) if r not in world.heard(row["idx"])]
        best = sorted(unheard, key=lambda r: -float(np.dot(row["factors"], y[r])))[: world.hidden]
        assert set(best) == world.unheard(row["idx"])


def test_a_sample_without_users_is_refused(training, config):
    with pytest.raises(InputError, match="no interactions"):
        train(training, config("train.user_fraction=0.000001").train)
