"""Tests of the market masks: what a market bars, looked up by recording, is what the cards say.

This holds whatever the size of the catalogue and whatever gaps it has.
"""

import numpy as np
import pyarrow as pa
import pytest

from builders import rows
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import STRIPE, build_market_masks, look_up, unpack_mask

# The cards are in the first, second and fourth stripes; the third has none.
CARDS = {
    0: {},
    1: {"available": False},
    5: {"track_id": None, "clean_track_id": None},
    STRIPE - 1: {"clean_track_id": None},
    STRIPE: {"available": False, "track_id": None},
    3 * STRIPE + 7: {},
}


@pytest.fixture(scope="module")
def found(spark):
    """Return `{market: (bytes by idx, withheld by rule)}` of SE and DE; DE has only the first card."""
    cards = [
        {"recording_idx": r, "market": "SE", "available": True, "track_id": "t", "clean_track_id": "c"} | more
        for r, more in CARDS.items()
    ]
    cards.append(
        {"recording_idx": 0, "market": "DE", "available": True, "track_id": "t", "clean_track_id": None}
    )
    got = build_market_masks(rows(spark, "track_cards", *cards).repartition(3)).toArrow()
    bars = [unpack_mask(got["bars"].combine_chunks().slice(i, 1).flatten()) for i in range(got.num_rows)]
    return {
        market: (one, withheld)
        for market, one, withheld in zip(
            got["market"].to_pylist(), bars, got["withheld"].to_pylist(), strict=True
        )
    }


def test_every_card_is_found_and_recordings_without_one_are_unknown(found):
    bars, _ = found["SE"]
    assert len(bars) == 4 * STRIPE
    wanted = np.array([0, 1, 5, STRIPE - 1, STRIPE, 3 * STRIPE + 7, 2, 2 * STRIPE, 99 * STRIPE])
    down, rights, explicit, unknown = 1, 2, 4, eligibility.NO_CARD
    assert look_up(bars, wanted).tolist() == [
        0,
        down,
        rights | explicit,
        explicit,
        down | rights,
        0,
        unknown,
        unknown,
        unknown,
    ]
    assert look_up(found["DE"][0], np.array([0, 1])).tolist() == [explicit, unknown]


def test_withheld_recordings_are_counted_under_the_first_rule(found):
    assert dict(zip(eligibility.RULES, found["SE"][1], strict=True)) == dict.fromkeys(
        eligibility.RULES, 0
    ) | {"taken_down": 2, "rights": 1, "explicit": 1}
    assert dict(zip(eligibility.RULES, found["DE"][1], strict=True))["explicit"] == 1


def test_a_market_without_cards_bars_everything():
    nothing = pa.array([], pa.struct([("stripe", pa.int32()), ("bytes", pa.binary())]))
    assert look_up(unpack_mask(nothing), np.arange(3)).tolist() == [eligibility.NO_CARD] * 3
