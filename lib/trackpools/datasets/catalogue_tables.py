"""Import the catalogue, the user profiles and the signals (such as likes) of your own service.

Each importer turns a file, with any column names, into rows of the table `tracks`, `users` or `signals`.
"""

from collections.abc import Mapping

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue_columns import array_of_one, artist_ids
from trackpools.datasets.events import detect_format, read_own_csv
from trackpools.datasets.file_reading import (
    BROKEN,
    ignored_columns,
    quote_name,
    read_failure,
    unreadable_file,
)
from trackpools.datasets.value_parsing import FORMS, ParsedColumn, accepted_form, parse_column
from trackpools.errors import InputError
from trackpools.schema import Table
from trackpools.tables import SIGNALS, TRACKS, USERS

REQUIRED_COLUMNS = {
    TRACKS.name: ("track_id",),
    USERS.name: ("user_id",),
    SIGNALS.name: ("user_id", "track_id", "kind", "at"),
}


def tracks(spark: SparkSession, path: str, config: Config) -> Imported:
    """Read a catalogue, one row for each track.

    The import changes only the columns that the file has. In place of the lists `artist_names` and
    `artist_ids`, the file may have the columns `artist` and `artist_id` with a single artist.

    Raises:
        InputError: if the file cannot be read, has no `track_id`, or no other column of ours; see also
            `_columns`.
    """
    frame, theirs = _read(spark, path, config, TRACKS, ("artist", "artist_id"))
    made, notes = _columns(frame, theirs, TRACKS, config)
    if "artist" in theirs and "artist_names" not in theirs:
        made["artist_names"] = array_of_one(F.col(quote_name(theirs["artist"])).cast("string"))
    if "artist_ids" not in made and ("artist_names" in made or "artist_id" in theirs):
        own = F.col(quote_name(theirs["artist_id"])).cast("string") if "artist_id" in theirs else None
        first = (
            F.try_element_at(made["artist_names"], F.lit(1))
            if "artist_names" in made
            else F.lit(None).cast("string")
        )
        made["artist_ids"] = artist_ids(own, first)
    return Imported(None, tracks=_select(frame, made), notes=notes)


def users(spark: SparkSession, path: str, config: Config) -> Imported:
    """Read user profiles, one row for each user; the import changes only the columns that the file has.

    Raises:
        InputError: if the file cannot be read, has no `user_id`, or no other column of ours; see also
            `_columns`.
    """
    frame, theirs = _read(spark, path, config, USERS)
    made, notes = _columns(frame, theirs, USERS, config)
    return Imported(None, users=_select(frame, made), notes=notes)


def signals(spark: SparkSession, path: str, config: Config) -> Imported:
    """Read signals of users (like, dislike, save, block, undo), one row for each signal.

    Raises:
        InputError: if the file cannot be read or lacks a required column; see also `_columns`.
    """
    frame, theirs = _read(spark, path, config, SIGNALS)
    made, notes = _columns(frame, theirs, SIGNALS, config)
    return Imported(None, signals=_select(frame, made), notes=notes)


def _select(frame: DataFrame, made: Mapping[str, Column]) -> DataFrame:
    return frame.where(F.col(BROKEN).isNull()).select(*(column.alias(name) for name, column in made.items()))


def _load(spark: SparkSession, path: str, kind: str, config: Config) -> DataFrame:
    """Load a file, and return its columns and the column `BROKEN`.

    `BROKEN` is the text of a CSV line that cannot be split into the columns; it is null for every other row.
    """
    if kind == "csv":
        lines, _ = read_own_csv(spark, path, config.ingest, "own tables")
        return lines.select("row.*", F.when(F.col("broken"), F.col("row_text")).alias(BROKEN))
    return spark.read.format(kind).load(path).withColumn(BROKEN, F.lit(None).cast("string"))


def _read(
    spark: SparkSession, path: str, config: Config, table: Table, more: tuple[str, ...] = ()
) -> tuple[DataFrame, dict[str, str]]:
    """Load a file and match its columns to those of a table.

    Args:
        spark: the session.
        path: file or folder.
        config: its `ingest` has the format and the mapping of columns.
        table: the table that is imported.
        more: names of further columns that are accepted.

    Returns:
        The frame of `_load`; and our column name → the file's column name, for every column of ours that the
        file has.

    Raises:
        InputError: if the file cannot be read, or columns are missing or mapped wrongly; the error lists all
            such columns.
    """
    kind = detect_format(spark, path) if config.ingest.format == "auto" else config.ingest.format
    try:
        frame = _load(spark, path, kind, config)
    except (PySparkException, Py4JJavaError) as error:
        raise unreadable_file(path, kind, error) from error
    columns = _columns_of_file(frame)
    ours = (*table.schema.names, *more)
    told = {name: config.ingest.columns.get(name, name) for name in ours}
    theirs = {name: column for name, column in told.items() if column in columns}
    missing = [
        f"{name} (mapped to {told[name]})" if told[name] != name else name
        for name in REQUIRED_COLUMNS[table.name]
        if name not in theirs
    ]
    wrong = [
        f"{name} (mapped to {told[name]})"
        for name in ours
        if name in config.ingest.columns and name not in theirs and name not in REQUIRED_COLUMNS[table.name]
    ]
    mapped = config.ingest.columns.items()
    wrong += [
        f"{name} in table {table.name}, but ingest.columns maps it to {column}"
        for name, column in mapped
        if name not in ours and column in columns
    ]
    if missing or wrong or len(theirs) == len(REQUIRED_COLUMNS[table.name]) == 1:
        problems = [f"there is no column {one}" for one in (*missing, *wrong)] or [
            f"the only column of the file that can be imported is {', '.join(theirs)}; "
            f"the file needs another column of the table, which has {', '.join(ours)}"
        ]
        raise InputError(
            f"the columns of {path} do not match those of table {table.name}; "
            f"the input's columns are: {', '.join(columns[:50])}. Map your columns with ingest.columns",
            problems,
        )
    return frame, theirs


def _columns_of_file(frame: DataFrame) -> list[str]:
    return [name for name in frame.columns if name != BROKEN]


def _columns(
    frame: DataFrame, theirs: Mapping[str, str], table: Table, config: Config
) -> tuple[dict[str, Column], tuple[str, ...]]:
    """Convert the file's columns to those of a table.

    The columns in `value_parsing.FORMS` are treated strictly, because they decide which tracks a user may hear.

    Returns:
        Our column name → its expression; and notes on columns that were ignored, lines that were left out,
        and values that could not be read and became null.

    Raises:
        InputError: if the type of a column cannot be converted; or if the file has a strict column, and a value
            in it cannot be read or a CSV line cannot be split.
    """
    names = [name for name in table.schema.names if name in theirs]
    wanted = {name: table.schema[name].dataType for name in names}
    found = {
        name: parse_column(frame, theirs[name], name, wanted[name], config.ingest.time_unit) for name in names
    }
    # A column whose values are all null is accepted with any type, because the type has no meaning there.
    made = {
        name: one_read
        or ParsedColumn(F.lit(None).cast(wanted[name]), F.col(quote_name(theirs[name])).isNotNull())
        for name, one_read in found.items()
    }
    columns = _columns_of_file(frame)
    types, refused, notes = [], [], [*ignored_columns(columns, theirs.values())]
    broken, unread = _unread(frame, theirs, made)
    if broken is not None:
        count, example = broken
        told = f"{count:,} line{'s' * (count != 1)} that cannot be split into {len(columns)} columns, such as {example!r:.60}"
        if FORMS.keys() & theirs.keys():
            refused.append(
                f"the file has {told}; each line must have one value for each column, and no line breaks in quoted values"
            )
        else:
            notes.append(f"left out {told}")
    for name, count, example in unread:
        told = f"{name} (column {theirs[name]!r}): {count:,} value{'s' * (count != 1)} cannot be read, such as {example!r:.60}"
        if found[name] is None:
            given = frame.schema[theirs[name]].dataType.simpleString()
            types.append(
                f"{name} (column {theirs[name]!r}) is {given}; it must be {accepted_form(name, wanted[name])}"
            )
        elif name in FORMS:
            refused.append(f"{told}; it must be {accepted_form(name, wanted[name])}")
        else:
            notes.append(f"{told}, and became null; a value must be {accepted_form(name, wanted[name])}")
    if types:
        raise InputError(
            f"some columns of the file have types that table {table.name} cannot take; convert them, or map other columns",
            types,
        )
    if refused:
        raise InputError(
            f"nothing was imported, because some values of {table.name} that decide which tracks a user may hear "
            "cannot be read; correct them, or map other columns",
            refused,
        )
    values = {name: one_read.value for name, one_read in made.items()}
    if "tags" in values and table is TRACKS:
        values["tags"] = F.transform(values["tags"], F.lower)
    return values, tuple(notes)


def _unread(
    frame: DataFrame,
    theirs: Mapping[str, str],
    made: Mapping[str, ParsedColumn],
) -> tuple[tuple[int, str] | None, list[tuple[str, int, str]]]:
    """Count broken lines and unreadable values, in one pass over the file.

    Returns:
        The number of broken lines and an example, or None if there are none; and one tuple for each column with
        unreadable values (broken lines aside): its name, the number of these values, and an example.

    Raises:
        InputError: if the file cannot be read to its end.
    """
    whole = F.col(BROKEN).isNull()
    asked = [F.count(BROKEN).alias("broken"), F.max(BROKEN).alias("line")]
    for name, one_read in made.items():
        unread = whole & one_read.is_unreadable
        example = F.max(F.when(unread, F.col(quote_name(theirs[name])).cast("string")))
        asked += [F.count_if(unread).alias(f"{name} count"), example.alias(f"{name} such as")]
    try:
        row = frame.agg(*asked).collect()[0]
    except (PySparkException, Py4JJavaError) as error:
        refusal = read_failure(error)
        if refusal is None:
            raise
        raise refusal from error
    values = [(name, row[f"{name} count"], row[f"{name} such as"]) for name in made if row[f"{name} count"]]
    return ((row["broken"], row["line"]) if row["broken"] else None), values
