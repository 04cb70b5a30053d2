"""Convert columns of imported files to the types of our tables, and find unreadable values.

Some columns have a converter of their own, because a cast by Spark would accept fewer forms.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.core.log.time_parsing import YEAR_10000_US, time_micros
from trackpools.datasets.catalogue_columns import array_of_one, year_of
from trackpools.datasets.file_reading import quote_name

LIST = ";"  # separates several values in one text: tags, artists, countries
TEXT, INTEGERS = (
    (T.StringType, T.VarcharType, T.CharType),
    (T.ByteType, T.ShortType, T.IntegerType, T.LongType),
)
DAYS = (T.DateType, T.TimestampType, T.TimestampNTZType)
# column → the accepted form, for the columns that decide which tracks a user may hear. No default can replace
# an unreadable value in such a column, so one unreadable value stops the import.
FORMS = {
    "available": "true or false",
    "rights": "a list of countries (as a text: DE;SE), or of structs of market, from and until, with days as dates or as YYYY-MM-DD",
    "explicit_policy": "allow or clean",
    "birth_band": "an age or a band of ages such as 16 or 18-24, not a year of birth",
    "kind": "like, dislike, save, block or undo",
    "at": "a time: a timestamp, ISO 8601, or a number since 1970 in ingest.time_unit",
}
TYPE_FORMS: dict[type[T.DataType], str] = {
    T.IntegerType: "a whole number",
    T.LongType: "a whole number",
    T.FloatType: "a number",
    T.BooleanType: "true or false",
}
Special = Callable[[Column, T.DataType], Column | None]


class ParsedColumn(NamedTuple):
    """A converted column.

    Attributes:
        value: the column in our type; null if the value is missing or cannot be read.
        is_unreadable: boolean column, whether the row has a value that cannot be read.
    """

    value: Column
    is_unreadable: Column


def accepted_form(name: str, wanted: T.DataType) -> str:
    """Describe the accepted values of a column, for error messages."""
    return (
        FORMS.get(name)
        or TYPE_FORMS.get(type(wanted))
        or ("a text, or a list of texts" if isinstance(wanted, T.ArrayType) else "a text")
    )


def parse_column(
    frame: DataFrame, column: str, name: str, wanted: T.DataType, unit: str
) -> ParsedColumn | None:
    """Convert a column of a file to one of our columns.

    Args:
        frame: rows of the file.
        column: name of the column in the file.
        name: name of our column.
        wanted: type of our column.
        unit: unit of times that are numbers, see `ingest.time_unit`.

    Returns:
        The converted column; None if the type of the file's column can never be converted.
    """
    given, told = frame.schema[column].dataType, F.col(quote_name(column))
    special = _SPECIAL.get(name)
    value = (
        _time(column, given, unit)
        if name == "at"
        else special(told, given)
        if special
        else _plain(told, given, wanted)
    )
    if value is None:
        return None
    there = told.isNotNull() & (F.trim(told) != "") if isinstance(given, TEXT) else told.isNotNull()
    unread = value.isNull()
    if name == "rights" and isinstance(given, T.ArrayType):
        unread = unread | F.exists(told, lambda each: _bad_days(each, _fields(given)))
    return ParsedColumn(value, F.coalesce(there & unread, F.lit(False)))


def _plain(told: Column, given: T.DataType, wanted: T.DataType) -> Column | None:
    """Convert a column without a converter of its own, by split or cast; None if its type does not fit."""
    if isinstance(wanted, T.ArrayType):
        if isinstance(given, TEXT):
            return _split(told)
        if isinstance(given, T.ArrayType):
            return (
                told.try_cast(wanted)
                if isinstance(given.elementType, (*TEXT, *INTEGERS, T.NullType))
                else None
            )
        return array_of_one(told.cast("string")) if isinstance(given, INTEGERS) else None
    fit = (
        (*TEXT, T.NumericType, T.NullType)
        if isinstance(wanted, T.NumericType)
        else (*TEXT, *INTEGERS, T.BooleanType, T.NullType)
    )
    return told.try_cast(wanted) if isinstance(given, fit) else None


def _split(told: Column) -> Column:
    return F.filter(F.transform(F.split(told, LIST), lambda each: F.trim(each)), lambda each: each != "")  # noqa: PLW0108 - trim takes a second argument, which transform would give


def _time(column: str, given: T.DataType, unit: str) -> Column | None:
    if not isinstance(given, (*TEXT, T.NumericType, T.TimestampType, T.TimestampNTZType)):
        return None
    micros = time_micros(quote_name(column), given, unit)
    return F.timestamp_micros(F.when(micros.between(0, YEAR_10000_US - 1), micros))


def _year(told: Column, given: T.DataType) -> Column | None:
    """Convert a year, a date, or a text that is or starts with a year, to a year."""
    if isinstance(given, DAYS):
        return F.year(told)
    whole = _plain(told, given, T.IntegerType())
    return (
        F.coalesce(whole, year_of(F.trim(told))) if whole is not None and isinstance(given, TEXT) else whole
    )


def _fields(given: T.ArrayType) -> dict[str, T.DataType]:
    """Return field name → type for an array of structs; empty for an array of other elements."""
    return (
        {field.name: field.dataType for field in given.elementType}
        if isinstance(given.elementType, T.StructType)
        else {}
    )


def _rights(told: Column, given: T.DataType) -> Column | None:
    """Convert a text or array of countries, or an array of structs, to structs of market, from and until."""
    if isinstance(given, TEXT):
        return F.transform(_split(told), lambda country: _right(country, None, None))
    if not isinstance(given, T.ArrayType):
        return None
    fields = _fields(given)
    if not fields:
        return (
            F.transform(told, lambda country: _right(country, None, None))
            if isinstance(given.elementType, TEXT)
            else None
        )
    days = [fields.get(day, T.DateType()) for day in ("from", "until")]
    if not isinstance(fields.get("market"), TEXT) or not all(
        isinstance(day, (*TEXT, *DAYS, T.NullType)) for day in days
    ):
        return None
    return F.transform(
        told,
        lambda each: _right(
            each["market"], *(each[day] if day in fields else None for day in ("from", "until"))
        ),
    )


def _right(market: Column, start: Column | None, end: Column | None) -> Column:
    days = [F.lit(None).cast("date") if day is None else day.try_cast("date") for day in (start, end)]
    return F.struct(market.alias("market"), days[0].alias("from"), days[1].alias("until"))


def _bad_days(each: Column, fields: Iterable[str]) -> Column:
    """Return whether a struct has a `from` or `until` that is not a date."""
    bad = F.lit(False)
    for day in sorted({"from", "until"} & set(fields)):
        bad = bad | (each[day].isNotNull() & each[day].try_cast("date").isNull())
    return bad


def _one_of(*words: str) -> Special:
    """Return a converter that accepts only some words, regardless of case and outer blanks."""

    def read(told: Column, given: T.DataType) -> Column | None:
        word = F.lower(F.trim(told))
        return F.when(word.isin(*words), word) if isinstance(given, TEXT) else None

    return read


def _band(told: Column, given: T.DataType) -> Column | None:
    """Return an age or a band of ages as text; null if it has four digits in a row, like a year of birth."""
    band = told.cast("string")
    return F.when(~band.rlike(r"[0-9]{4}"), band) if isinstance(given, (*TEXT, *INTEGERS)) else None


_SPECIAL: dict[str, Special] = {
    "original_year": _year,
    "rights": _rights,
    "birth_band": _band,
    "explicit_policy": _one_of("allow", "clean"),
    "kind": _one_of("like", "dislike", "save", "block", "undo"),
}
