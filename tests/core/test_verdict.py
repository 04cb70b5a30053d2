"""Gates: equal models pass at the nominal rate, a planted better one does, a worse one does not, and a slice left behind stops it."""

import numpy as np
import pytest

from trackpools.core.resampling import of_values
from trackpools.core.verdict import Paired, gates
from trackpools.shell.settings import load_config

FINE = {"coverage_ratio": 1.0, "overlap": 0.6, "rights_violations": 0}


def paired(name, champion, challenger, level=0.95, seed=1):
    found = of_values(challenger - champion, seed=seed)
    low, high = found.interval(level)
    return Paired(name, len(champion), champion.mean(), challenger.mean(), float(low[0]), float(high[0]))


def recalls(rng, users, lift=0.0):
    """Of users who differ more than models do."""
    taste = rng.beta(2, 3, users)
    return np.clip(taste + rng.normal(0, 0.1, users), 0, 1), np.clip(
        taste + lift + rng.normal(0, 0.1, users), 0, 1
    )


def verdict(config, overall, parts=(), of_lists=FINE):
    return {gate.name: gate for gate in gates(config, overall, list(parts) or [overall], of_lists)}


@pytest.fixture(scope="module")
def config():
    return load_config().promote


@pytest.mark.soak
def test_of_equal_models_one_passes_at_the_nominal_rate(config):
    rng = np.random.default_rng(8)
    passed = sum(
        verdict(config, paired("all", *recalls(rng, 500), seed=i))["effect"].passed for i in range(1000)
    )
    assert 12 <= passed <= 40  # of 1,000 at 2.5 %: 25, ± 3 standard deviations


@pytest.mark.parametrize(("lift", "passes"), [(0.02, True), (-0.02, False)])
def test_a_planted_difference_is_seen(config, lift, passes):
    rng = np.random.default_rng(9)
    found = [verdict(config, paired("all", *recalls(rng, 3000, lift))) for _ in range(20)]
    assert sum(all(gate.passed for gate in one.values()) for one in found) == (20 if passes else 0)


def test_a_slice_left_behind_stops_it(config):
    rng = np.random.default_rng(10)
    overall = paired("all", *recalls(rng, 5000, 0.02))
    parts = [
        paired("market=SE", *recalls(rng, 1000, 0.03)),
        paired("rung=declared", *recalls(rng, 1000, -0.1)),
        paired("market=NO", *recalls(rng, 50, -0.3)),
    ]
    found = verdict(config, overall, parts)
    assert (found["effect"].passed, found["worst_slice"].passed) == (True, False)
    assert "rung=declared" in found["worst_slice"].said
    assert "1 slices under 200 users not judged" in found["worst_slice"].said
    assert verdict(config, overall, parts[:1])["worst_slice"].passed
    nobody = verdict(config, overall, parts[2:])["worst_slice"]
    assert (nobody.passed, "no slice has 200 users" in nobody.said) == (False, True)


@pytest.mark.parametrize(
    ("name", "value"), [("coverage_ratio", 0.5), ("overlap", 0.01), ("rights_violations", 1)]
)
def test_what_must_never_be(config, name, value):
    found = verdict(
        config, paired("all", *recalls(np.random.default_rng(11), 3000, 0.05)), of_lists=FINE | {name: value}
    )
    assert [gate.name for gate in found.values() if not gate.passed] == [name]
