"""Tests that the positive and negative weights of interactions follow the formulas of `confidence`."""

import datetime as dt
import math

import pytest

from builders import rows
from trackpools.core.log import confidence
from trackpools.errors import ConfigError

AS_OF = dt.datetime(2025, 7, 1, 12, tzinfo=dt.UTC)
KINDS = (
    {"mass": 8.0},
    {"mass": 8.0, "skip_mass": 4.0},
    {"skip_mass": 4.0, "skips": 2},
    {"counted": 9},
    {"rated": 1},
    {"rated": 0},
    {"likes": 1},
    {"likes": -1, "mass": 8.0},
    {"blocked": True, "mass": 8.0, "counted": 3, "rated": 1},
    {"mass": 8.0, "counted": 9, "rated": 1, "likes": 1},
    {},
)


def formula(row, share, saturation):
    """Return (w⁺, w⁻) of one row, computed in plain Python; `share` converts a mass to its value at AS_OF."""
    refused = row.get("blocked", False) or row.get("likes", 0) < 0
    good = (
        math.log1p(row.get("mass", 0.0) * share / saturation)
        + math.log1p(row.get("counted", 0))
        + (row.get("rated") or 0)
        + max(row.get("likes", 0), 0)
    )
    return 0.0 if refused else good, math.log1p(row.get("skip_mass", 0.0) * share / saturation) + refused


@pytest.mark.parametrize(("half_life", "saturation"), [(180.0, 1.0), (30.0, 2.5)])
def test_weights_follow_the_formulas(spark, config, half_life, saturation):
    given = config(
        f"weights.half_life_days={half_life}",
        f"weights.saturation={saturation}",
        "weights.landmark=2025-01-01",
    ).weights
    frame = rows(spark, "interactions", *({"user_idx": i} | row for i, row in enumerate(KINDS)))
    got = (
        frame.select(
            "user_idx", confidence.positive_weight(AS_OF, given), confidence.negative_weight(AS_OF, given)
        )
        .orderBy("user_idx")
        .collect()
    )
    share = 2.0 ** (-181 / half_life)
    for row, (_, positive, negative) in zip(KINDS, got, strict=True):
        assert (positive, negative) == pytest.approx(formula(row, share, saturation), rel=1e-12), row


def test_weights_are_never_null_for_a_row_of_the_table(spark, config):
    given = config().weights
    frame = rows(spark, "interactions", *KINDS).select(
        confidence.positive_weight(AS_OF, given).alias("p"),
        confidence.negative_weight(AS_OF, given).alias("n"),
    )
    assert frame.where("p IS NULL OR n IS NULL OR p < 0 OR n < 0 OR isnan(p) OR isnan(n)").count() == 0


@pytest.mark.parametrize(
    "as_of", [dt.datetime(2022, 9, 28, tzinfo=dt.UTC), dt.datetime(2017, 4, 5, tzinfo=dt.UTC)]
)
def test_a_half_life_too_short_for_float64_is_refused_with_the_arithmetic(config, as_of):
    given = config("weights.half_life_days=1.0", "weights.landmark=2020-01-01").weights
    with pytest.raises(
        ConfigError,
        match=r"half_life_days=1.0, .* 100[1-9][.]0 half-lives .* longer half-life or a nearer landmark",
    ):
        confidence.as_of_factor(as_of, given)


def test_a_thousand_half_lives_are_still_a_number(config):
    given = config("weights.half_life_days=1.0", "weights.landmark=2020-01-01").weights
    assert 0 < confidence.as_of_factor(dt.datetime(2022, 9, 27, tzinfo=dt.UTC), given) < math.inf
