"""Read numbers of raw log rows."""

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

# The pattern is stricter than Spark's cast, which also accepts 1d and 0x1p3.
NUMBER = r"\A[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\z"


@dataclass(frozen=True)
class ParsedNumber:
    """What was read from a column of numbers, as three columns.

    Attributes:
        value: the number (double); null if it is missing, infinite, NaN or not a number.
        nan: whether the given value is NaN.
        wrong: whether a value is given that is infinite or not a number; false for NaN.
    """

    value: Column
    nan: Column
    wrong: Column


def parse_number(name: str, kind: T.DataType) -> ParsedNumber:
    """Read a string or numeric column as finite doubles.

    Args:
        name: name of the column.
        kind: type of the column.
    """
    if isinstance(kind, T.NumericType):
        value = F.col(name).cast("double")
    else:
        text = F.trim(F.col(name).cast("string"))
        value = F.when(text.rlike(NUMBER), text.try_cast("double")).when(
            F.lower(text) == "nan", F.lit(float("nan"))
        )
    infinite = F.abs(value) == float("inf")
    return ParsedNumber(
        F.when(~(F.isnan(value) | infinite), value),
        F.coalesce(F.isnan(value), F.lit(False)),
        F.col(name).isNotNull() & (value.isNull() | F.coalesce(infinite, F.lit(False))),
    )
