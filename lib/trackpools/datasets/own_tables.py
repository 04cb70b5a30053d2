"""Your own catalogue, profiles and acts: a file of `tracks`, `users` or `signals` with your column names becomes rows of that table."""

from collections.abc import Mapping

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue import artist_ids, one
from trackpools.datasets.events import detect_format
from trackpools.datasets.files import ignored, not_whole, quoted, unreadable
from trackpools.datasets.reading import FORMS, Read, form, read_as
from trackpools.errors import InputError
from trackpools.table import Table
from trackpools.tables import SIGNALS, TRACKS, USERS

NEEDED = {
    TRACKS.name: ("track_id",),
    USERS.name: ("user_id",),
    SIGNALS.name: ("user_id", "track_id", "kind", "at"),
}


def tracks(spark: SparkSession, path: str, config: Config) -> Imported:
    """A catalogue; grain: one row a track. Only the columns that the file has are changed; `artist` and `artist_id` may stand for lists of one.

    Raises:
        InputError: where it cannot be read, has no `track_id`, or none of the other columns; see `_columns` too.
    """
    frame, theirs = _read(spark, path, config, TRACKS, ("artist", "artist_id"))
    made, notes = _columns(frame, theirs, TRACKS, config)
    if "artist" in theirs and "artist_names" not in theirs:
        made["artist_names"] = one(F.col(quoted(theirs["artist"])).cast("string"))
    if "artist_ids" not in made and ("artist_names" in made or "artist_id" in theirs):
        own = F.col(quoted(theirs["artist_id"])).cast("string") if "artist_id" in theirs else None
        first = (
            F.try_element_at(made["artist_names"], F.lit(1))
            if "artist_names" in made
            else F.lit(None).cast("string")
        )
        made["artist_ids"] = artist_ids(own, first)
    return Imported(None, tracks=_select(frame, made), notes=notes)


def users(spark: SparkSession, path: str, config: Config) -> Imported:
    """Profiles; grain: one row a user. Only the columns that the file has are changed."""
    frame, theirs = _read(spark, path, config, USERS)
    made, notes = _columns(frame, theirs, USERS, config)
    return Imported(None, users=_select(frame, made), notes=notes)


def signals(spark: SparkSession, path: str, config: Config) -> Imported:
    """Likes, dislikes, saves, blocks and undos; grain: one act."""
    frame, theirs = _read(spark, path, config, SIGNALS)
    made, notes = _columns(frame, theirs, SIGNALS, config)
    return Imported(None, signals=_select(frame, made), notes=notes)


def _select(frame: DataFrame, made: Mapping[str, Column]) -> DataFrame:
    return frame.select(*(column.alias(name) for name, column in made.items()))


def _read(
    spark: SparkSession, path: str, config: Config, table: Table, more: tuple[str, ...] = ()
) -> tuple[DataFrame, dict[str, str]]:
    """The file, and of our columns which of its are meant."""
    kind = detect_format(spark, path) if config.ingest.format == "auto" else config.ingest.format
    try:
        reader = spark.read.format(kind)
        frame = (
            reader.option("header", True).option("sep", config.ingest.separator) if kind == "csv" else reader
        ).load(path)
    except (PySparkException, Py4JJavaError) as error:
        raise unreadable(path, kind, error) from error
    ours = (*table.schema.names, *more)
    told = {name: config.ingest.columns.get(name, name) for name in ours}
    theirs = {name: column for name, column in told.items() if column in frame.columns}
    missing = [
        f"{name} (as {told[name]})" if told[name] != name else name
        for name in NEEDED[table.name]
        if name not in theirs
    ]
    wrong = [
        f"{name} (as {told[name]})"
        for name in ours
        if name in config.ingest.columns and name not in theirs and name not in NEEDED[table.name]
    ]
    mapped = config.ingest.columns.items()
    wrong += [
        f"{name} in {table.name}, to which {column} is mapped"
        for name, column in mapped
        if name not in ours and column in frame.columns
    ]
    if missing or wrong or len(theirs) == len(NEEDED[table.name]) == 1:
        problems = [f"no column {one}" for one in (*missing, *wrong)] or [
            f"no column but {', '.join(theirs)}; ours are {', '.join(ours)}"
        ]
        raise InputError(
            f"{path} does not fit {table.name}; it has {', '.join(frame.columns[:50])}; map yours by ingest.columns",
            problems,
        )
    return frame, theirs


def _columns(
    frame: DataFrame, theirs: Mapping[str, str], table: Table, config: Config
) -> tuple[dict[str, Column], tuple[str, ...]]:
    """Ours from theirs, and notes on what was ignored, or could not be read and is null therefore.

    Raises:
        InputError: for columns whose type cannot be ours, and where what decides who may hear what (`reading.FORMS`) cannot be read in any row.
    """
    names = [name for name in table.schema.names if name in theirs]
    wanted = {name: table.schema[name].dataType for name in names}
    found = {
        name: read_as(frame, theirs[name], name, wanted[name], config.ingest.time_unit) for name in names
    }
    # a column of nulls has whatever type the writer gave it
    made = {
        name: one_read or Read(F.lit(None).cast(wanted[name]), F.col(quoted(theirs[name])).isNotNull())
        for name, one_read in found.items()
    }
    types, refused, notes = [], [], [*ignored(frame.columns, theirs.values())]
    for name, count, example in _unread(frame, theirs, made):
        told = f"{name} (column {theirs[name]!r}): {count:,} value{'s' * (count != 1)} that cannot be read, such as {example!r:.60}"
        if found[name] is None:
            given = frame.schema[theirs[name]].dataType.simpleString()
            types.append(
                f"{name} (column {theirs[name]!r}) is {given}; it must be {form(name, wanted[name])}"
            )
        elif name in FORMS:
            refused.append(f"{told}; it must be {form(name, wanted[name])}")
        else:
            notes.append(f"{told}: unknown now; it should be {form(name, wanted[name])}")
    if types:
        raise InputError(
            f"the file has columns of types that {table.name} cannot take; convert them, or map other columns",
            types,
        )
    if refused:
        raise InputError(
            f"what {table.name} says of who may hear what must be read, and nothing was imported; convert it, or map other columns",
            refused,
        )
    values = {name: one_read.value for name, one_read in made.items()}
    if "tags" in values and table is TRACKS:
        values["tags"] = F.transform(values["tags"], F.lower)
    return values, tuple(notes)


def _unread(
    frame: DataFrame, theirs: Mapping[str, str], made: Mapping[str, Read]
) -> list[tuple[str, int, str]]:
    """Of each column with values that cannot be read: how many, and one of them; one pass over the file.

    Raises:
        InputError: where it cannot be read to its end.
    """
    asked = [
        measure
        for name, one_read in made.items()
        for measure in (
            F.count_if(one_read.unread).alias(f"{name} count"),
            F.max(F.when(one_read.unread, F.col(quoted(theirs[name])).cast("string"))).alias(
                f"{name} such as"
            ),
        )
    ]
    try:
        row = frame.agg(*asked).collect()[0]
    except (PySparkException, Py4JJavaError) as error:
        refusal = not_whole(error)
        if refusal is None:
            raise
        raise refusal from error
    return [(name, row[f"{name} count"], row[f"{name} such as"]) for name in made if row[f"{name} count"]]
