"""Tests of both engines against the NumPy reference of their common objective.

They compare the loss, negative evidence and seeds, and check what is refused.
"""

import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trackpools.config import ENGINES
from trackpools.config.loading import load_config
from trackpools.core.als import reference
from trackpools.errors import ConfigError, InputError
from trackpools.shell.training.train import final_loss, preflight, train
from worlds import Blocks

SCHEMA = "user_idx int, recording_idx int, positive double, negative double"
USERS, RECORDINGS, RANK, ITERATIONS, ALPHA, BETA, REG = (
    60,
    45,
    6,
    15,
    4.0,
    3.0,
    {"implicit": 2.0, "mllib": 0.05, "blocked": 0.05},
)
NU = {"implicit": 0.0, "mllib": 1.0, "blocked": 1.0}


def evidence():
    """Return (w⁺, w⁻) of shape [users, recordings], with tastes of rank 4 and some skipped pairs.

    Every user and every recording has a positive.
    """
    rng = np.random.default_rng(11)
    taste = rng.gamma(0.5, 1.0, (USERS, 4)) @ rng.gamma(0.5, 1.0, (4, RECORDINGS))
    positive = np.where(taste > np.quantile(taste, 0.85), np.log1p(rng.gamma(1.0, 3.0, taste.shape)), 0.0)
    positive[np.arange(USERS), np.arange(USERS) % RECORDINGS] = 0.5
    negative = np.where(rng.random(taste.shape) < 0.06, np.log1p(rng.gamma(1.0, 2.0, taste.shape)), 0.0)
    return positive, negative


def frame(spark, positive, negative, *, seed=0, partitions=3):
    """Return the training set as a frame with shuffled rows."""
    pairs = [
        (int(u), int(i), float(positive[u, i]), float(negative[u, i]))
        for u, i in zip(*np.nonzero(positive + negative), strict=True)
    ]
    order = np.random.default_rng(seed).permutation(len(pairs))
    return spark.createDataFrame([pairs[n] for n in order], SCHEMA).repartition(partitions)


def settings_of(config, engine, *more, beta=BETA):
    return config(
        f"train.engine={engine}",
        f"train.rank={RANK}",
        f"train.reg={REG[engine]}",
        f"train.alpha={ALPHA}",
        f"train.beta={beta}",
        f"train.iterations={ITERATIONS}",
        "train.blocks=2",
        f"train.checkpoint_dir={Path(tempfile.gettempdir()) / 'trackpools-tests'}",
        *more,
    ).train


@pytest.fixture(scope="module")
def fitted(spark):
    """Fit the evidence once for each `fitted(engine, beta)`; return `(training, train section, fit)`."""

    @cache
    def fit(engine, beta):
        training, given = (
            frame(spark, *evidence()),
            settings_of(lambda *settings: load_config(settings=settings), engine, beta=beta),
        )
        made = train(training, given)
        return training, given, replace(made, users=made.users.cache(), recordings=made.recordings.cache())

    return fit


def matrix(side, n):
    out = np.full((n, RANK), np.nan)
    for row in side.collect():
        out[row["idx"]] = row["factors"]
    return out


def loss_by_half_steps(of, seed):
    """Return the loss from a random start after as many exact half-steps as the engines do."""
    y = np.random.default_rng(seed).normal(size=(of.p.shape[1], RANK)) / math.sqrt(RANK)
    for _ in range(ITERATIONS):
        x = reference.user_half_step(y, of)
        y = reference.recording_half_step(x, of)
    return reference.loss(x, y, of)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("beta", [0.0, BETA])
def test_an_engine_reaches_the_loss_of_exact_half_steps_on_the_common_objective(fitted, engine, beta):
    """Check that λ, α, β and ν mean the same to each engine and to the objective.

    The starts differ, and rank 6 has more than one minimum. So the loss may differ by 3 % from what six
    starts of the reference reach.
    """
    positive, negative = evidence()
    training, given, fit = fitted(engine, beta)
    users, recordings = fit.users, fit.recordings
    of = reference.problem(positive, negative, alpha=ALPHA, beta=beta, reg=REG[engine], nu=NU[engine])
    x, y = matrix(users, USERS), matrix(recordings, RECORDINGS)
    got = reference.loss(x, y, of)
    reached = [loss_by_half_steps(of, seed) for seed in range(6)]
    best, worst = min(reached), max(reached)
    print(
        f"\n{engine} beta={beta}: loss {got:.2f}; half-steps from 6 starts {best:.2f} to {worst:.2f}; zero factors {(of.c * of.p).sum():.2f}"
    )
    assert got <= 1.03 * worst
    assert got >= 0.97 * best
    assert final_loss(training, users, recordings, given) == pytest.approx(got, rel=1e-6)
    # The result is near a minimum of this very objective: exact half-steps from here hardly lower the loss.
    x2 = reference.user_half_step(y, of)
    assert reference.loss(x2, reference.recording_half_step(x2, of), of) == pytest.approx(got, rel=1e-2)
    if fit.curve:
        assert len(fit.curve) == ITERATIONS
        assert fit.curve == sorted(fit.curve, reverse=True)
        # blocked reports the loss before the last half-steps, implicit after them
        assert fit.curve[-1] == pytest.approx(got, rel=1e-2 if engine == "blocked" else 1e-4)


@pytest.mark.parametrize(
    "engine", ["implicit", pytest.param("mllib", marks=pytest.mark.soak)]
)  # core/als/test_kernels.py compares blocked iteration by iteration
def test_a_converged_engine_ends_at_an_optimum_of_the_reference(spark, config, engine):
    """Check that converged half-steps of the reference gain less than 1/1000 on the engine's factors."""
    positive, negative = evidence()
    fit = train(frame(spark, positive, negative), settings_of(config, engine, "train.iterations=60"))
    of = reference.problem(positive, negative, alpha=ALPHA, beta=BETA, reg=REG[engine], nu=NU[engine])
    y = matrix(fit.recordings, RECORDINGS)
    got = reference.loss(matrix(fit.users, USERS), y, of)
    for _ in range(400):
        x = reference.user_half_step(y, of)
        y = reference.recording_half_step(x, of)
    assert got == pytest.approx(reference.loss(x, y, of), rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_skips_lower_the_score_of_what_was_skipped(fitted, engine):
    positive, negative = evidence()
    only = (negative > 0) & (positive == 0)
    means = []
    for beta in (0.0, BETA):
        fit = fitted(engine, beta)[2]
        means.append((matrix(fit.users, USERS) @ matrix(fit.recordings, RECORDINGS).T)[only].mean())
    assert means[1] < means[0] - 0.01


@pytest.mark.parametrize("engine", ENGINES)
def test_equal_seed_and_shuffled_input_give_equal_factors(spark, config, engine):
    positive, negative = evidence()
    given = settings_of(config, engine, "train.iterations=3")
    fits = [train(frame(spark, positive, negative, seed=n, partitions=n), given) for n in (1, 3, 7)]
    sides = [(matrix(fit.users, USERS), matrix(fit.recordings, RECORDINGS)) for fit in fits]
    assert all(np.isfinite(side).all() for pair in sides for side in pair)
    for users, recordings in sides[1:]:
        assert users.tobytes() == sides[0][0].tobytes()
        assert recordings.tobytes() == sides[0][1].tobytes()
    other = matrix(
        train(
            frame(spark, positive, negative),
            settings_of(config, engine, "train.iterations=3", "train.seed=43"),
        ).users,
        USERS,
    )
    assert other.tobytes() != sides[0][0].tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_recordings_of_the_own_block_score_above_all_others(spark, config, engine):
    world = Blocks()
    given = config(
        f"train.engine={engine}", "train.rank=3", f"train.reg={0.1 if engine == 'implicit' else 0.01}"
    ).train
    fit = train(world.training(spark), given)
    x = {row["idx"]: np.array(row["factors"]) for row in fit.users.collect()}
    y = {row["idx"]: np.array(row["factors"]) for row in fit.recordings.collect()}
    assert (sorted(x), sorted(y)) == (list(range(world.users)), list(range(world.recordings)))
    for u in range(world.users):
        scores = {r: x[u] @ y[r] for r in y}
        others = max(score for r, score in scores.items() if world.block(r) != world.block(u))
        assert min(scores[r] for r in world.unheard(u)) > others + 0.5


BAD = {
    "no interactions": [],
    "weights are zero": [(0, 0, 0.0, 0.0), (1, 1, 0.0, 2.0)],
    "1 weights are NaN or infinite": [(0, 0, math.nan, 0.0), (0, 1, 1.0, 0.0)],
    "2 weights are NaN or infinite": [(0, 0, math.inf, 0.0), (0, 1, 1.0, -math.inf), (1, 1, 1.0, 0.0)],
    "1 weights are negative": [(0, 0, -1.0, 0.0), (0, 1, 1.0, 0.0)],
    "an idx is 2147483648, over int32": [(2**31, 0, 1.0, 0.0)],
}


@pytest.mark.parametrize("problem", list(BAD))
def test_training_that_would_fail_or_get_bad_values_is_refused_before_it_starts(spark, config, problem):
    training = spark.createDataFrame(BAD[problem], SCHEMA.replace("int", "long"))
    with pytest.raises(InputError, match=problem):
        train(training, config().train)


def test_every_problem_is_reported_at_once(spark, config):
    training = spark.createDataFrame(
        [(0, 2**31, math.nan, -1.0), (0, 1, 1.0, 0.0)], SCHEMA.replace("int", "long")
    )
    with pytest.raises(InputError) as refused:
        preflight(training, config("train.implicit_max_interactions=1").train)
    told = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 4
    assert all(
        word in told
        for word in (
            "NaN",
            "negative",
            "over int32",
            "implicit_max_interactions=1; use --set train.engine=blocked",
        )
    )


@pytest.mark.parametrize("reg", ["0", "0.0", "-1.0", "nan", ".inf"])
def test_a_lambda_that_is_not_above_zero_is_refused_by_the_configuration(config, reg):
    with pytest.raises(ConfigError, match=r"train\.reg"):
        config(f"train.reg={reg}")


def test_ten_mllib_iterations_need_no_checkpoint_folder_and_eleven_do(config):
    config("train.engine=mllib", "train.iterations=10")
    with pytest.raises(ConfigError, match="checkpoint_dir"):
        config("train.engine=mllib", "train.iterations=11")


TEN_ITERATIONS = """
from trackpools.shell.training.train import train
from trackpools.shell.spark.session import local_session
from trackpools.config.loading import load_config
from worlds import Blocks
config = load_config(settings=["train.engine=mllib", "train.rank=3", "session.memory=600m"])
spark = local_session(config.session)
print("users", train(Blocks().training(spark), config.train).users.count())
"""


@pytest.mark.soak
def test_the_default_iterations_of_mllib_do_not_overflow_the_stack_of_a_fresh_session():
    """Run in a separate process, where no checkpoint folder of another test is set.

    Such a folder would hide the overflow, and a crash here would end all tests.
    """
    run = subprocess.run(
        [sys.executable, "-c", TEN_ITERATIONS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "users 24" in run.stdout, run.stderr[-2000:]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rank_above_the_data_is_lowered_with_a_warning(spark, config, engine):
    training = spark.createDataFrame([(0, 5, 1.0, 0.0), (3, 5, 1.0, 0.0), (3, 9, 2.0, 0.0)], SCHEMA)
    fit = train(training, config(f"train.engine={engine}", "train.rank=16").train)
    assert fit.rank == 2
    assert fit.warnings == [
        "train.rank was lowered from 16 to 2, because the data has 2 users and 2 recordings"
    ]
    assert {row["idx"]: len(row["factors"]) for row in fit.recordings.collect()} == {5: 2, 9: 2}


@pytest.mark.parametrize("engine", ENGINES)
def test_one_user_with_one_recording_can_be_trained(spark, config, engine):
    fit = train(spark.createDataFrame([(0, 0, 1.0, 0.0)], SCHEMA), config(f"train.engine={engine}").train)
    assert [len(row["factors"]) for side in (fit.users, fit.recordings) for row in side.collect()] == [1, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_user_with_skips_alone_gets_finite_factors(spark, config, engine):
    """Check a user without positives, for whom ν = 1 means no regularisation.

    The objective still has a minimum, at zero.
    """
    rows = [(u, r, 1.0, 0.0) for u in range(6) for r in range(5) if (u + r) % 2] + [
        (6, r, 0.0, 1.0) for r in range(3)
    ]
    fit = train(
        spark.createDataFrame(rows, SCHEMA),
        config(f"train.engine={engine}", "train.rank=2", "train.beta=2.0").train,
    )
    users = {row["idx"]: row["factors"] for row in fit.users.collect()}
    assert 6 in users
    assert np.abs(users[6]).max() < 1e-3
