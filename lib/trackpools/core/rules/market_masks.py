"""Market masks: one byte for each recording, with the rules that bar the recording in a market.

A Spark task looks its candidates up in the mask of a market instead of joining each candidate with a row of
`track_cards`. In Spark, a mask is cut into stripes: pieces for `STRIPE` consecutive recording numbers each.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.arrays.array_types import Uint8Array
from trackpools.core.rules import eligibility

STRIPE = 65_536  # recordings; the mask of 50 M recordings is one row of 50 MB, built from rows of 64 KB


def build_market_masks(cards: DataFrame) -> DataFrame:
    """Build the mask of each market group.

    Args:
        cards: rows of `tables.TRACK_CARDS`.

    Returns:
        One row for each market: `market, withheld array<int>, bars array<struct<stripe int, bytes binary>>`.
        Byte i of stripe s is `eligibility.barred_bits` of recording s·STRIPE + i, or `eligibility.NO_CARD` if
        the recording has no card. `withheld` has one number for each rule of `eligibility.RULES`: the
        recordings for which this rule is the first that binds.
    """
    stripe = F.floor(F.col("recording_idx") / STRIPE).cast("int")
    bits = F.struct(
        F.pmod("recording_idx", F.lit(STRIPE)).alias("place"), eligibility.barred_bits().alias("bits")
    )
    rows = cards.groupBy("market", stripe.alias("stripe")).agg(F.collect_list(bits).alias("rows"))
    packed = rows.mapInArrow(_pack, "market string, stripe int, bytes binary")
    stripes = packed.groupBy("market").agg(
        F.array_sort(F.collect_list(F.struct("stripe", "bytes"))).alias("bars")
    )
    first = F.array(*(F.count_if(bound).cast("int") for bound in eligibility.first_barring_rule()))
    return cards.groupBy("market").agg(first.alias("withheld")).join(stripes, "market")


def _pack(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        packed = []
        for i in range(batch.num_rows):
            rows = batch.column("rows").slice(i, 1).flatten()
            table = np.full(STRIPE, eligibility.NO_CARD, np.uint8)
            table[np.asarray(rows.field("place"))] = np.asarray(rows.field("bits"))
            packed.append(table.tobytes())
        yield pa.RecordBatch.from_arrays(
            [batch.column("market"), batch.column("stripe"), pa.array(packed, pa.binary())],
            ["market", "stripe", "bytes"],
        )


def unpack_mask(stripes: pa.StructArray) -> Uint8Array:
    """Return the mask of a market: uint8, indexed by `recording_idx`.

    The mask ends with the last stripe that holds a card, so it may be shorter than the catalogue.

    Args:
        stripes: value of the column `bars` of `build_market_masks`: Arrow structs `stripe, bytes`, sorted by
            stripe.
    """
    if not len(stripes):
        return np.empty(0, np.uint8)
    numbers = np.asarray(stripes.field("stripe"))
    whole = np.full((int(numbers[-1]) + 1, STRIPE), eligibility.NO_CARD, np.uint8)
    for number, data in zip(numbers, stripes.field("bytes"), strict=True):
        whole[number] = np.frombuffer(data.as_buffer(), np.uint8)
    return whole.ravel()


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
    """Build the mask of one market without Spark; its bytes are those of `build_market_masks`.

    Args:
        cards: Arrow table of the market's rows of `track_cards`.

    Returns:
        The mask (uint8, indexed by `recording_idx`, up to the last card) and `withheld` (int64, one number
        for each rule of `eligibility.RULES`).
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
