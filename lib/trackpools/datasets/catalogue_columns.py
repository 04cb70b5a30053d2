"""Spark expressions for columns of the catalogue, which several importers use."""

from pyspark.sql import Column
from pyspark.sql import functions as F

SEPARATOR = "\x1f"


def normalise(text: Column) -> Column:
    """Return text in lower case, trimmed, with each run of white space as one blank; null becomes empty."""
    return F.lower(F.trim(F.regexp_replace(F.coalesce(text, F.lit("")), r"[\s\p{Z}]+", " ")))


def name_id(*names: Column) -> Column:
    """Return an id for an item that has none: `name:` and the SHA-256 of its normalised names.

    The id is null if every name is blank. The same artist and title give the same id in every importer, so
    that logs of different importers can be joined.
    """
    parts = [normalise(name) for name in names]
    return F.when(
        F.concat(*parts) != "", F.concat(F.lit("name:"), F.sha2(F.concat_ws(SEPARATOR, *parts), 256))
    )


def array_of_one(value: Column) -> Column:
    """Return an array with one value; null for null."""
    return F.when(value.isNotNull(), F.array(value))


def artist_ids(own_id: Column | None, name: Column) -> Column:
    """Return a column `artist_ids` with the main artist only: the given id, else an id from the name.

    Args:
        own_id: the artist's id; None if the input has no such column.
        name: the artist's name.
    """
    made = name_id(name)
    return array_of_one(made if own_id is None else F.coalesce(own_id, made))


def year_of(text: Column) -> Column:
    """Return the year, 1000 to 2999, at the start of a text such as `2019-06-14`; null if there is none."""
    return F.nullif(F.regexp_extract(text, r"\A([12]\d{3})(-|\z)", 1), F.lit("")).try_cast("int")
