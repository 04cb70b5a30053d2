"""Read the times of raw log rows.

A time is a text in ISO 8601, a timestamp, or a number of seconds, milliseconds or microseconds since 1970.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.core.log.number_parsing import parse_number

YEAR_10000_US = 253_402_300_800_000_000  # Python and Parquet readers support only times before it
ISO_8601 = r"\A\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?\z"
PLAIN_TIME = r"\A\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})\z"
HAS_ZONE = r"(Z|UTC|:\d{2}(\.\d+)? ?[+-]\d{2}(:?\d{2})?)\z"
EPOCH_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}


def epoch_micros(value: Column, unit: str) -> Column:
    """Convert an epoch number to microseconds since 1970 (long).

    A time after the year 9999 becomes the start of the year 10000, and a time before −10¹⁸ µs becomes −10¹⁸
    µs, so that no number overflows.

    Args:
        value: the number of units since 1970.
        unit: `s`, `ms` or `us`; for any other value, the unit is guessed from the size of the number.
    """
    size = F.abs(value)
    # Seconds reach 1e11, and milliseconds 1e14, only in the year 5138. Milliseconds reached 1e11, and
    # microseconds 1e14, already in 1973. So the units of logs after 1973 never overlap.
    factor = (
        F.lit(EPOCH_UNITS[unit])
        if unit in EPOCH_UNITS
        else F.when(size < 1e11, F.lit(1e6)).when(size < 1e14, F.lit(1e3)).otherwise(F.lit(1.0))
    )
    micros = value * factor
    return (
        F.when(micros >= YEAR_10000_US, F.lit(YEAR_10000_US))
        .when(micros <= -1e18, F.lit(-(10**18)))
        .otherwise(F.round(micros).try_cast("long"))
    )


def time_micros(name: str, kind: T.DataType, unit: str) -> Column:
    """Convert a time column of any accepted type to microseconds since 1970 (long).

    The result is null if the time cannot be read. A time without a zone is read as UTC.

    Args:
        name: the name of the column.
        kind: the type of the column.
        unit: the unit of numbers; see `epoch_micros`.
    """
    if isinstance(kind, T.TimestampType):
        return F.unix_micros(name)
    if isinstance(kind, T.TimestampNTZType):
        # A cast would use the time zone of the session.
        return F.timestamp_diff("MICROSECOND", F.lit("1970-01-01").cast("timestamp_ntz"), F.col(name))
    from_number = epoch_micros(parse_number(name, kind).value, unit)
    if isinstance(kind, T.NumericType):
        return from_number
    text = F.trim(F.col(name).cast("string"))
    # Spark parses neither a zone without minutes, such as +01, nor a time without seconds before a zone. So
    # the minutes of the zone and the seconds of the time are added.
    zoned = F.regexp_replace(
        F.when(text.rlike(HAS_ZONE), text).otherwise(F.concat(text, F.lit("Z"))), r"([+-]\d{2})\z", "$1:00"
    )
    iso = F.regexp_replace(zoned, r"\A(.{11}\d{2}:\d{2})(?!:)", "$1:00")
    plain = F.when(text.rlike(PLAIN_TIME), F.unix_micros(text.try_cast("timestamp")))
    return plain.when(text.rlike(ISO_8601), F.unix_micros(iso.try_cast("timestamp"))).otherwise(from_number)
