"""Tests of the market masks: what a market bars, looked up by recording, is what the cards say."""

import numpy as np
import pytest

from builders import rows
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up, mask_of_cards

DOWN, RIGHTS, EXPLICIT = 1, 2, 4
# recording → how its card differs from a faultless one; there are gaps between the cards
CARDS = {
    0: {},
    1: {"available": False},
    5: {"track_id": None, "clean_track_id": None},
    6: {"clean_track_id": None},
    9: {"available": False, "track_id": None},
    70_000: {},
}


@pytest.fixture(scope="module")
def mask(spark):
    """Return the mask of the cards, in another order than by recording, and `withheld` by rule."""
    cards = [
        {"recording_idx": r, "market": "SE", "available": True, "track_id": "t", "clean_track_id": "c"} | more
        for r, more in reversed(CARDS.items())
    ]
    bars, withheld = mask_of_cards(rows(spark, "track_cards", *cards).toArrow())
    return bars, dict(zip(eligibility.RULES, withheld.tolist(), strict=True))


def test_every_card_is_found_and_recordings_without_one_are_unknown(mask):
    wanted = np.array([0, 1, 5, 6, 9, 70_000, 2, 70_001, 10**9])
    known = [0, DOWN, RIGHTS | EXPLICIT, EXPLICIT, DOWN | RIGHTS, 0]
    assert look_up(mask[0], wanted).tolist() == known + [eligibility.NO_CARD] * 3


def test_withheld_recordings_are_counted_under_the_first_rule(mask):
    counted = {"taken_down": 2, "rights": 1, "explicit": 1}
    assert mask[1] == dict.fromkeys(eligibility.RULES, 0) | counted


def test_a_market_without_cards_bars_everything(spark):
    bars, _ = mask_of_cards(rows(spark, "track_cards").toArrow())
    assert look_up(bars, np.arange(3)).tolist() == [eligibility.NO_CARD] * 3
