"""Tests of the promotion gates.

Equal models pass at the nominal rate, a model with a planted gain passes, a worse model does not, and a model
that loses in one slice does not.
"""

import numpy as np
import pytest

from trackpools.config.loading import load_config
from trackpools.core.evaluation.bootstrap import resample_values
from trackpools.core.evaluation.promotion_gates import PairedMetric, evaluate_gates

FINE = {"coverage_ratio": 1.0, "overlap": 0.6, "rights_violations": 0}


def paired_metric(name, champion, challenger, level=0.95, seed=1):
    found = resample_values(challenger - champion, seed=seed)
    low, high = found.interval(level)
    return PairedMetric(
        name, len(champion), champion.mean(), challenger.mean(), float(low[0]), float(high[0])
    )


def recalls(rng, users, lift=0.0):
    """Return the recalls (champion, challenger) of users who differ more than the models do."""
    taste = rng.beta(2, 3, users)
    return np.clip(taste + rng.normal(0, 0.1, users), 0, 1), np.clip(
        taste + lift + rng.normal(0, 0.1, users), 0, 1
    )


def gates_by_name(config, overall, parts=(), of_lists=FINE):
    return {gate.name: gate for gate in evaluate_gates(config, overall, list(parts) or [overall], of_lists)}


@pytest.fixture(scope="module")
def config():
    return load_config().promote


@pytest.mark.soak
def test_equal_models_pass_at_the_nominal_rate(config):
    rng = np.random.default_rng(8)
    passed = sum(
        gates_by_name(config, paired_metric("all", *recalls(rng, 500), seed=i))["effect"].passed
        for i in range(1000)
    )
    assert 12 <= passed <= 40  # 25 of 1,000 are expected at 2.5 %; the bounds are ± 3 standard deviations


@pytest.mark.parametrize(("lift", "passes"), [(0.02, True), (-0.02, False)])
def test_a_planted_difference_is_seen(config, lift, passes):
    rng = np.random.default_rng(9)
    found = [gates_by_name(config, paired_metric("all", *recalls(rng, 3000, lift))) for _ in range(20)]
    assert sum(all(gate.passed for gate in one.values()) for one in found) == (20 if passes else 0)


def test_a_slice_that_gets_worse_stops_the_promotion(config):
    rng = np.random.default_rng(10)
    overall = paired_metric("all", *recalls(rng, 5000, 0.02))
    parts = [
        paired_metric("market=SE", *recalls(rng, 1000, 0.03)),
        paired_metric("rung=declared", *recalls(rng, 1000, -0.1)),
        paired_metric("market=NO", *recalls(rng, 50, -0.3)),
    ]
    found = gates_by_name(config, overall, parts)
    assert (found["effect"].passed, found["worst_slice"].passed) == (True, False)
    assert "rung=declared" in found["worst_slice"].said
    assert "1 slices with fewer than 200 users are not judged" in found["worst_slice"].said
    assert gates_by_name(config, overall, parts[:1])["worst_slice"].passed
    nobody = gates_by_name(config, overall, parts[2:])["worst_slice"]
    assert (nobody.passed, "no slice has at least 200 users" in nobody.said) == (False, True)


@pytest.mark.parametrize(
    ("name", "value"), [("coverage_ratio", 0.5), ("overlap", 0.01), ("rights_violations", 1)]
)
def test_each_hard_gate_fails_alone(config, name, value):
    found = gates_by_name(
        config,
        paired_metric("all", *recalls(np.random.default_rng(11), 3000, 0.05)),
        of_lists=FINE | {name: value},
    )
    assert [gate.name for gate in found.values() if not gate.passed] == [name]
