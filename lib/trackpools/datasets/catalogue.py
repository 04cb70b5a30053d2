"""Column expressions for catalogue facts that several importers share."""

from pyspark.sql import Column
from pyspark.sql import functions as F

SEPARATOR = "\x1f"


def normalised(text: Column) -> Column:
    """Lower case, trimmed, every run of white space one blank; null becomes empty."""
    return F.lower(F.trim(F.regexp_replace(F.coalesce(text, F.lit("")), r"[\s\p{Z}]+", " ")))


def name_id(*names: Column) -> Column:
    """`name:` and the SHA-256 of the normalised names: an id for what has none; null where every name is blank.

    The same artist and title give the same id in every importer, so their logs can be joined.
    """
    parts = [normalised(name) for name in names]
    return F.when(
        F.concat(*parts) != "", F.concat(F.lit("name:"), F.sha2(F.concat_ws(SEPARATOR, *parts), 256))
    )


def one(value: Column) -> Column:
    """An array of one value, or null for null."""
    return F.when(value.isNotNull(), F.array(value))


def artist_ids(given: Column | None, name: Column) -> Column:
    """The main artist's own id, else one from the name."""
    made = name_id(name)
    return one(made if given is None else F.coalesce(given, made))


def year_of(text: Column) -> Column:
    """The year that a text such as `2019-06-14` starts with; null where there is none between 1000 and 2999."""
    return F.nullif(F.regexp_extract(text, r"\A([12]\d{3})(-|\z)", 1), F.lit("")).try_cast("int")
