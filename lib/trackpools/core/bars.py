"""What each market bars, one byte a recording: a task looks its candidates up there instead of joining every one of them with a card."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core import rules

STRIPE = 65_536  # recordings; a market of 50 M is one row of 50 MB, made of rows of 64 KB
Bytes = NDArray[np.uint8]


def market_bars(cards: DataFrame) -> DataFrame:
    """`market, withheld array<int>, bars array<struct<stripe int, bytes binary>>`: one row a market.

    Byte i of stripe s is `rules.bars` of recording s·STRIPE + i, or `rules.UNKNOWN`; `withheld` counts, by rule, the recordings that
    it bars first.
    """
    stripe = F.floor(F.col("recording_idx") / STRIPE).cast("int")
    bits = F.struct(F.pmod("recording_idx", F.lit(STRIPE)).alias("place"), rules.bars().alias("bits"))
    rows = cards.groupBy("market", stripe.alias("stripe")).agg(F.collect_list(bits).alias("rows"))
    packed = rows.mapInArrow(_pack, "market string, stripe int, bytes binary")
    stripes = packed.groupBy("market").agg(
        F.array_sort(F.collect_list(F.struct("stripe", "bytes"))).alias("bars")
    )
    first = F.array(*(F.count_if(bound).cast("int") for bound in rules.barred_first()))
    return cards.groupBy("market").agg(first.alias("withheld")).join(stripes, "market")


def _pack(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        packed = []
        for i in range(batch.num_rows):
            rows = batch.column("rows").slice(i, 1).flatten()
            table = np.full(STRIPE, rules.UNKNOWN, np.uint8)
            table[np.asarray(rows.field("place"))] = np.asarray(rows.field("bits"))
            packed.append(table.tobytes())
        yield pa.RecordBatch.from_arrays(
            [batch.column("market"), batch.column("stripe"), pa.array(packed, pa.binary())],
            ["market", "stripe", "bytes"],
        )


def table(stripes: Any) -> Bytes:
    """The bytes by recording idx, from an Arrow array `struct<stripe, bytes>` in order; shorter than the catalogue where it ends in unknowns."""
    if not len(stripes):
        return np.empty(0, np.uint8)
    numbers = np.asarray(stripes.field("stripe"))
    whole = np.full((int(numbers[-1]) + 1, STRIPE), rules.UNKNOWN, np.uint8)
    for number, data in zip(numbers, stripes.field("bytes"), strict=True):
        whole[number] = np.frombuffer(data.as_buffer(), np.uint8)
    return whole.ravel()


def look_up(bars: Bytes, recordings: NDArray[np.int64]) -> Bytes:
    """The byte of each recording, unknown beyond the table's end."""
    found = np.full(len(recordings), rules.UNKNOWN, np.uint8)
    inside = recordings < len(bars)
    found[inside] = bars[recordings[inside]]
    return found


def of_cards(cards: Any) -> tuple[Bytes, NDArray[np.int64]]:
    """The bytes by recording idx and `withheld` of one market, from an Arrow table of its `track_cards`; the twin of `market_bars` without Spark."""
    idx = np.asarray(cards["recording_idx"], np.int64)
    bound = {"taken_down": ~np.asarray(cards["available"].cast(pa.int8())).astype(bool)}
    bound |= {
        name: ~np.asarray(cards[column].is_valid())
        for name, column in (("rights", "track_id"), ("explicit", "clean_track_id"))
    }
    bits = np.add.reduce([bound[name].astype(np.int64) << rules.RULES.index(name) for name in rules.BARS])
    made = np.full(int(idx.max(initial=-1)) + 1, rules.UNKNOWN, np.uint8)
    made[idx] = bits
    lowest = bits & -bits
    return made, np.array(
        [
            np.count_nonzero(lowest == 1 << rule) if name in rules.BARS else 0
            for rule, name in enumerate(rules.RULES)
        ]
    )
