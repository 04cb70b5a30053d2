"""Estimates that find what a policy earns without running it: simulated logs of known truth, and rows that must not count."""

import math

import numpy as np
import pyarrow as pa
import pytest

from trackpools.core.off_policy import COLUMNS, estimate, sums
from trackpools.core.resampling import Resampled, drawn, resampled, total

SCHEMA = "user_idx int, recording_idx int, propensity float, target double, reward double"
BASE = np.array(
    [0.1, 0.2, 0.3, 0.4, 0.6, 0.05, 0.15, 0.25]
)  # what each of eight recordings earns an exposure
LOGGING = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
POLICIES = {
    "as logged": LOGGING,
    "uniform": np.full(8, 0.125),
    "the best": np.array([0.0, 0.02, 0.03, 0.15, 0.8, 0.0, 0.0, 0.0]),
    "the worst": np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0]),
}
LOGS, USERS = 100, 200


def simulated(seed, logs=LOGS, users=USERS, most=5):
    """Exposures of `logs × users` users, 1 to `most` each, who like all things more or less: (user, shown, reward)."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(logs * users), rng.integers(1, most + 1, logs * users))
    shown = rng.choice(8, len(user), p=LOGGING)
    bent = rng.uniform(-0.05, 0.05, logs * users)[user]  # of mean 0, so the truth stays Σ target × base
    return user, shown, (rng.random(len(user)) < BASE[shown] + bent).astype(float)


def frame(spark, user, shown, reward, policy):
    columns = (
        user.astype(np.int32),
        shown.astype(np.int32),
        LOGGING[shown].astype(np.float32),
        policy[shown],
        reward,
    )
    names = ("user_idx", "recording_idx", "propensity", "target", "reward")
    return spark.createDataFrame(pa.table(dict(zip(names, columns, strict=True))))


def by_array(values, draws, seed):
    """`Resampled` of an array [users, columns], without Spark."""
    weights, _ = drawn(np.arange(len(values)), draws, seed)
    users = np.full(values.shape[1], float(len(values)))
    return Resampled(
        users,
        values.mean(axis=0),
        weights @ values / weights.sum(axis=1, keepdims=True),
        np.zeros((draws, values.shape[1])),
    )


@pytest.fixture(scope="module")
def answers(spark):
    """Policy → the estimates of 100 logs; the sums of all logs are one Spark job, users of different logs being different users."""
    user, shown, reward = simulated(1)
    found = {}
    for name, policy in POLICIES.items():
        table = (
            sums(frame(spark, user, shown, reward, policy))
            .toPandas()
            .sort_values("user_idx")[list(COLUMNS)]
            .to_numpy()
        )
        assert len(table) == LOGS * USERS
        found[name] = [
            estimate(by_array(part, draws=300, seed=trial))
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


def test_spark_draws_what_the_arrays_draw(spark):
    user, shown, reward = simulated(2, logs=1)
    table = sums(frame(spark, user, shown, reward, POLICIES["uniform"]).repartition(3))
    spread = estimate(total(resampled(table, COLUMNS, draws=200, seed=5).toArrow(), len(COLUMNS)))
    held = estimate(
        by_array(table.toPandas().sort_values("user_idx")[list(COLUMNS)].to_numpy(), draws=200, seed=5)
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
    table = sums(spark.createDataFrame(rows, SCHEMA), **how)
    return estimate(total(resampled(table, COLUMNS, draws=50).toArrow(), len(COLUMNS)))


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


def test_what_was_not_randomised_is_counted_and_says_nothing(spark):
    alone, among = answer_of(spark, USED), answer_of(spark, USED + REFUSED + INCOMPLETE)
    assert (among.used, among.refused, among.incomplete, among.certain) == (4, 5, 5, 1)
    assert (alone.users, among.users) == (2, 3)
    # weights 1, 2, 0.5, 0.5
    assert alone.ips.value == among.ips.value == pytest.approx(2 / 4)
    assert alone.snips.value == among.snips.value == pytest.approx(2 / 4)
    assert alone.effective == among.effective == pytest.approx(16 / 5.5)


def test_a_log_without_a_lot_is_no_answer_and_no_crash(spark):
    for rows in (REFUSED, []):
        none = answer_of(spark, rows)
        assert (none.used, none.refused, none.effective) == (0, len(rows), 0)
        assert all(math.isnan(x) for x in (none.ips.value, none.snips.low, none.gain.high, none.mean_weight))


def test_clipped_weights_are_counted_and_no_larger_than_the_clip(spark):
    clipped = answer_of(spark, USED, clip=0.75)
    # weights 0.75, 0.75, 0.5, 0.5
    assert clipped.clipped == 2
    assert clipped.ips.value == pytest.approx(1.75 / 4)
    assert clipped.snips.value == pytest.approx(1.75 / 2.5)
    assert clipped.mean_weight == pytest.approx(2.5 / 4)
    assert answer_of(spark, USED, clip=100).ips.value == answer_of(spark, USED).ips.value
    assert answer_of(spark, USED, clip=100).clipped == 0


def test_what_had_no_chance_shows_in_the_mean_weight(spark):
    # the new policy shows a third recording half of the time, which the log never does
    half = [(u, r, 0.5, 0.25, 1.0) for u in range(20) for r in (1, 2)]
    assert answer_of(spark, half).mean_weight == pytest.approx(0.5)
