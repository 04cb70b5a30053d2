"""Tests of the off-policy estimates: simulated logs with a known truth, and rows that must not count."""

import math

import numpy as np
import pyarrow as pa
import pytest

from trackpools.core.evaluation.bootstrap import BootstrapResult, combine_sums, draw_weights, resample
from trackpools.core.evaluation.off_policy import COLUMNS, estimate, user_sums

SCHEMA = "user_idx int, recording_idx int, propensity float, target double, reward double"
BASE = np.array(
    [0.1, 0.2, 0.3, 0.4, 0.6, 0.05, 0.15, 0.25]
)  # the mean reward of one exposure, for each of eight recordings
LOGGING = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
POLICIES = {
    "as logged": LOGGING,
    "uniform": np.full(8, 0.125),
    "the best": np.array([0.0, 0.02, 0.03, 0.15, 0.8, 0.0, 0.0, 0.0]),
    "the worst": np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0]),
}
LOGS, USERS = 100, 200


def simulate_log(seed, logs=LOGS, users=USERS, most=5):
    """Return arrays (user, shown, reward) of `logs × users` users with 1 to `most` exposures each.

    Each user likes all recordings a little more or a little less than the mean.
    """
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(logs * users), rng.integers(1, most + 1, logs * users))
    shown = rng.choice(8, len(user), p=LOGGING)
    bent = rng.uniform(-0.05, 0.05, logs * users)[user]  # has mean 0, so the truth stays Σ target × base
    return user, shown, (rng.random(len(user)) < BASE[shown] + bent).astype(float)


def exposure_frame(spark, user, shown, reward, policy):
    columns = (
        user.astype(np.int32),
        shown.astype(np.int32),
        LOGGING[shown].astype(np.float32),
        policy[shown],
        reward,
    )
    names = ("user_idx", "recording_idx", "propensity", "target", "reward")
    return spark.createDataFrame(pa.table(dict(zip(names, columns, strict=True))))


def bootstrap_of_array(values, draws, seed):
    """Return the `BootstrapResult` of an array [users, columns], computed without Spark."""
    weights, _ = draw_weights(np.arange(len(values)), draws, seed)
    users = np.full(values.shape[1], float(len(values)))
    return BootstrapResult(
        users,
        values.mean(axis=0),
        weights @ values / weights.sum(axis=1, keepdims=True),
        np.zeros((draws, values.shape[1])),
    )


@pytest.fixture(scope="module")
def answers(spark):
    """Return {policy: the estimates of 100 logs}.

    The logs have different users, so one Spark job sums all of them.
    """
    user, shown, reward = simulate_log(1)
    found = {}
    for name, policy in POLICIES.items():
        table = (
            user_sums(exposure_frame(spark, user, shown, reward, policy))
            .toPandas()
            .sort_values("user_idx")[list(COLUMNS)]
            .to_numpy()
        )
        assert len(table) == LOGS * USERS
        found[name] = [
            estimate(bootstrap_of_array(part, draws=300, seed=trial))
            for trial, part in enumerate(np.split(table, LOGS))
        ]
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_an_interval_of_95_percent_holds_the_truth_of_every_policy(answers, name):
    truth = POLICIES[name] @ BASE
    for kind in ("ips", "snips"):
        held = np.mean(
            [one.low <= truth <= one.high for one in (getattr(answer, kind) for answer in answers[name])]
        )
        assert 0.90 <= held <= 0.99, (kind, held)


@pytest.mark.parametrize("name", POLICIES)
def test_the_mean_of_many_logs_is_the_truth(answers, name):
    truth = POLICIES[name] @ BASE
    ips = np.array([answer.ips.value for answer in answers[name]])
    assert abs(ips.mean() - truth) < 3.5 * ips.std() / math.sqrt(LOGS)
    snips = np.array([answer.snips.value for answer in answers[name]])
    assert snips.mean() == pytest.approx(truth, abs=0.01)
    assert np.mean([answer.mean_weight for answer in answers[name]]) == pytest.approx(1, abs=0.02)


def test_the_ratio_is_steadier_where_weights_are_uneven(answers):
    ips, snips = (
        np.std([getattr(answer, kind).value for answer in answers["the best"]]) for kind in ("ips", "snips")
    )
    assert snips < ips


def test_a_better_policy_is_found_to_be_better_and_a_worse_one_worse(answers):
    assert np.mean([answer.gain.low > 0 for answer in answers["the best"]]) > 0.95
    assert np.mean([answer.gain.high < 0 for answer in answers["the worst"]]) > 0.95


def test_the_policy_that_logged_gets_the_plain_mean_and_no_gain(answers):
    for answer in answers["as logged"]:
        assert answer.ips.value == pytest.approx(answer.logged.value, rel=1e-6)  # propensity is a float32
        assert answer.snips.value == pytest.approx(answer.logged.value, rel=1e-6)
        assert answer.gain.value == pytest.approx(0, abs=1e-6)
        assert answer.effective == pytest.approx(answer.used, rel=1e-6)


def test_spark_draws_the_same_weights_as_the_arrays(spark):
    user, shown, reward = simulate_log(2, logs=1)
    table = user_sums(exposure_frame(spark, user, shown, reward, POLICIES["uniform"]).repartition(3))
    spread = estimate(combine_sums(resample(table, COLUMNS, draws=200, seed=5).toArrow(), len(COLUMNS)))
    held = estimate(
        bootstrap_of_array(
            table.toPandas().sort_values("user_idx")[list(COLUMNS)].to_numpy(), draws=200, seed=5
        )
    )
    for kind in ("ips", "snips", "logged", "gain"):
        one, other = getattr(spread, kind), getattr(held, kind)
        np.testing.assert_allclose(
            [one.value, one.low, one.high], [other.value, other.low, other.high], rtol=1e-9, atol=1e-12
        )
    weights = POLICIES["uniform"][shown] / LOGGING[shown]
    assert (spread.users, spread.used) == (USERS, len(user))
    assert spread.ips.value == pytest.approx(np.mean(weights * reward))
    assert spread.snips.value == pytest.approx(np.sum(weights * reward) / weights.sum())
    assert spread.effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def answer_of(spark, rows, **how):
    table = user_sums(spark.createDataFrame(rows, SCHEMA), **how)
    return estimate(combine_sums(resample(table, COLUMNS, draws=50).toArrow(), len(COLUMNS)))


USED = [(0, 1, 0.5, 0.5, 1.0), (0, 2, 0.25, 0.5, 0.0), (1, 1, 0.5, 0.25, 1.0), (1, 3, 1.0, 0.5, 1.0)]
REFUSED = [
    (0, 4, None, 0.5, 9.0),
    (1, 4, 0.0, 0.5, 9.0),
    (2, 4, -0.5, 0.5, 9.0),
    (2, 5, float("nan"), 0.5, 9.0),
    (2, 6, 1.5, 0.5, 9.0),
]
INCOMPLETE = [
    (0, 7, 0.5, None, 9.0),
    (0, 8, 0.5, 0.5, None),
    (1, 7, 0.5, 2.0, 9.0),
    (1, 8, 0.5, float("nan"), 9.0),
    (1, 9, 0.5, 0.5, float("nan")),
]


def test_exposures_without_randomisation_are_counted_and_not_used(spark):
    alone, among = answer_of(spark, USED), answer_of(spark, USED + REFUSED + INCOMPLETE)
    assert (among.used, among.refused, among.incomplete, among.certain) == (4, 5, 5, 1)
    assert (alone.users, among.users) == (2, 3)
    # the weights are 1, 2, 0.5 and 0.5
    assert alone.ips.value == among.ips.value == pytest.approx(2 / 4)
    assert alone.snips.value == among.snips.value == pytest.approx(2 / 4)
    assert alone.effective == among.effective == pytest.approx(16 / 5.5)


def test_a_log_without_randomisation_gives_no_estimate_and_no_error(spark):
    for rows in (REFUSED, []):
        none = answer_of(spark, rows)
        assert (none.used, none.refused, none.effective) == (0, len(rows), 0)
        assert all(math.isnan(x) for x in (none.ips.value, none.snips.low, none.gain.high, none.mean_weight))


def test_clipped_weights_are_counted_and_no_larger_than_the_clip(spark):
    clipped = answer_of(spark, USED, clip=0.75)
    # the weights are 0.75, 0.75, 0.5 and 0.5
    assert clipped.clipped == 2
    assert clipped.ips.value == pytest.approx(1.75 / 4)
    assert clipped.snips.value == pytest.approx(1.75 / 2.5)
    assert clipped.mean_weight == pytest.approx(2.5 / 4)
    assert answer_of(spark, USED, clip=100).ips.value == answer_of(spark, USED).ips.value
    assert answer_of(spark, USED, clip=100).clipped == 0


def test_recordings_that_the_log_never_shows_lower_the_mean_weight(spark):
    # Half of the time the new policy shows a third recording, which the log never shows.
    half = [(u, r, 0.5, 0.25, 1.0) for u in range(20) for r in (1, 2)]
    assert answer_of(spark, half).mean_weight == pytest.approx(0.5)
