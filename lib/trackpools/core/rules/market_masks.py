"""Market masks: one byte for each recording, with the rules that bar the recording in a market.

Sources and rules look their candidates up in the mask of a market, instead of reading rows of `track_cards`.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trackpools.core.arrays.array_types import Uint8Array
from trackpools.core.rules import eligibility


def look_up(bars: Uint8Array, recordings: NDArray[np.int64]) -> Uint8Array:
    """Return the byte of each of the recordings (uint8); `NO_CARD` for those beyond the end of the mask.

    Args:
        bars: uint8, the mask.
        recordings: int64, the `recording_idx` of each recording.
    """
    found = np.full(len(recordings), eligibility.NO_CARD, np.uint8)
    inside = recordings < len(bars)
    found[inside] = bars[recordings[inside]]
    return found


def mask_of_cards(cards: pa.Table) -> tuple[Uint8Array, NDArray[np.int64]]:
    """Build the mask of one market.

    Args:
        cards: Arrow table of the market's rows of `track_cards`.

    Returns:
        The mask: uint8, indexed by `recording_idx`, up to the last card. A byte is the bitmap of the
        `MARKET_RULES` that bind for the card, with bits as in `eligibility.RULES`; the bit `explicit` counts
        only for users who want no explicit tracks. A recording without a card has `eligibility.NO_CARD`. And
        `withheld`: int64, for each rule of `eligibility.RULES` the number of recordings for which it is the
        first that binds.
    """
    idx = np.asarray(cards["recording_idx"], np.int64)
    bound = {"taken_down": ~np.asarray(cards["available"].cast(pa.int8())).astype(bool)}
    bound |= {
        name: ~np.asarray(cards[column].is_valid())
        for name, column in (("rights", "track_id"), ("explicit", "clean_track_id"))
    }
    bits = np.add.reduce(
        [bound[name].astype(np.int64) << eligibility.RULES.index(name) for name in eligibility.MARKET_RULES]
    )
    made = np.full(int(idx.max(initial=-1)) + 1, eligibility.NO_CARD, np.uint8)
    made[idx] = bits
    lowest = bits & -bits
    return made, np.array(
        [
            np.count_nonzero(lowest == 1 << rule) if name in eligibility.MARKET_RULES else 0
            for rule, name in enumerate(eligibility.RULES)
        ]
    )
