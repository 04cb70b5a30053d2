"""Keys of charts: one integer that encodes the market, the explicit policy and the subject of a chart.

Each function exists twice, for Spark columns and for Python or NumPy values; both return the same.
"""

import zlib

import numpy as np
from numpy.typing import ArrayLike
from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.core.arrays.array_types import Int64Array
from trackpools.core.arrays.recording_table import MAX_TAG_CODE

# The subject of a chart is EVERYTHING, the code of a tag (1 to MAX_TAG_CODE), or, for a decade, DECADES plus
# the number of decades after the 1900s.
EVERYTHING = 0
DECADES = MAX_TAG_CODE + 1


def market_code(market: Column) -> Column:
    """Return the CRC-32 of the name of a market group, long."""
    return F.crc32(market)


def code_of_market(market: str) -> int:
    """Return the code that `market_code` computes in Spark, for one name."""
    return zlib.crc32(market.encode())


def chart_key(market: Column, clean: Column, what: Column) -> Column:
    """Return the key of a chart, long: 32 bits of market code, 1 bit of policy, 31 bits of subject.

    Args:
        market: name of the market group, string.
        clean: whether the chart holds clean tracks only.
        what: the subject of the chart: EVERYTHING, the code of a tag, or DECADES plus a number of decades.
    """
    policy = F.shiftleft(clean.cast("long"), 31)
    return F.shiftleft(market_code(market), 32).bitwiseOR(policy).bitwiseOR(what.cast("long"))


def chart_keys(market: ArrayLike, clean: ArrayLike, what: ArrayLike) -> Int64Array:
    """Return the keys that `chart_key` computes in Spark, for market codes, policies and subjects; int64."""
    return (
        (np.asarray(market, np.int64) << 32)
        | (np.asarray(clean, np.int64) << 31)
        | np.asarray(what, np.int64)
    )
