"""Keys of charts: one whole number from market, explicit policy and what is charted; the same in Spark and in NumPy."""

import zlib
from typing import Any

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.core.shelf import MOST_TAGS

EVERYTHING = 0  # what a chart may be of: all, a tag by its code, a decade
DECADES = MOST_TAGS + 1  # and so many after 1900


def market_code(market: Column) -> Column:
    """CRC-32 of its name, long."""
    return F.crc32(market)


def code_of_market(market: str) -> int:
    """The same, of one name."""
    return zlib.crc32(market.encode())


def chart_key(market: Column, clean: Column, what: Column) -> Column:
    """Long: 32 bits of market, one of policy, 31 of what."""
    policy = F.shiftleft(clean.cast("long"), 31)
    return F.shiftleft(market_code(market), 32).bitwiseOR(policy).bitwiseOR(what.cast("long"))


def chart_keys(market: Any, clean: Any, what: Any) -> Any:
    """The same, of arrays."""
    return (
        (np.asarray(market, np.int64) << 32)
        | (np.asarray(clean, np.int64) << 31)
        | np.asarray(what, np.int64)
    )
