"""Your own catalogue, profiles and acts: a file of `tracks`, `users` or `signals` with your column names becomes rows of that table."""

from collections.abc import Mapping

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue import artist_ids, one
from trackpools.datasets.events import detect_format
from trackpools.datasets.files import ignored, quoted, unreadable
from trackpools.errors import InputError
from trackpools.table import Table
from trackpools.tables import SIGNALS, TRACKS, USERS

LIST = ";"  # between several values in a text: tags, artists
NEEDED = {TRACKS.name: ("track_id",), USERS.name: ("user_id",), SIGNALS.name: ("user_id", "track_id", "kind", "at")}


def tracks(spark: SparkSession, path: str, config: Config) -> Imported:
    """A catalogue; grain: one row a track. Only the columns that the file has are changed; `artist` may stand for `artist_names`.

    Raises:
        InputError: where it cannot be read, has no `track_id`, or none of the other columns.
    """
    frame, theirs = _read(spark, path, config, TRACKS, ("artist",))
    made = _columns(frame, theirs, TRACKS)
    if "artist" in theirs and "artist_names" not in theirs:
        made["artist_names"] = one(F.col(quoted(theirs["artist"])).cast("string"))
    if "artist_names" in made and "artist_ids" not in made:
        made["artist_ids"] = artist_ids(None, F.try_element_at(made["artist_names"], F.lit(1)))
    return Imported(None, tracks=frame.select(*(column.alias(name) for name, column in made.items())), notes=ignored(frame.columns, theirs.values()))


def users(spark: SparkSession, path: str, config: Config) -> Imported:
    """Profiles; grain: one row a user. Only the columns that the file has are changed."""
    frame, theirs = _read(spark, path, config, USERS)
    made = frame.select(*(column.alias(name) for name, column in _columns(frame, theirs, USERS).items()))
    return Imported(None, users=made, notes=ignored(frame.columns, theirs.values()))


def signals(spark: SparkSession, path: str, config: Config) -> Imported:
    """Likes, dislikes, saves, blocks and undos; grain: one act."""
    frame, theirs = _read(spark, path, config, SIGNALS)
    made = frame.select(*(column.alias(name) for name, column in _columns(frame, theirs, SIGNALS).items()))
    return Imported(None, signals=made, notes=ignored(frame.columns, theirs.values()))


def _read(spark: SparkSession, path: str, config: Config, table: Table, more: tuple[str, ...] = ()) -> tuple[DataFrame, dict[str, str]]:
    """The file, and of our columns which of its are meant."""
    kind = detect_format(spark, path) if config.ingest.format == "auto" else config.ingest.format
    try:
        reader = spark.read.format(kind)
        frame = (reader.option("header", True).option("sep", config.ingest.separator) if kind == "csv" else reader).load(path)
    except (PySparkException, Py4JJavaError) as error:
        raise unreadable(path, kind, error) from error
    ours = (*table.schema.names, *more)
    told = {name: config.ingest.columns.get(name, name) for name in ours}
    theirs = {name: column for name, column in told.items() if column in frame.columns}
    missing = [f"{name} (as {told[name]})" if told[name] != name else name for name in NEEDED[table.name] if name not in theirs]
    wrong = [f"{name} (as {told[name]})" for name in ours if name in config.ingest.columns and name not in theirs and name not in NEEDED[table.name]]
    if missing or wrong or len(theirs) == len(NEEDED[table.name]) == 1:
        problems = [f"no column {one}" for one in (*missing, *wrong)] or [f"no column but {', '.join(theirs)}; ours are {', '.join(ours)}"]
        raise InputError(f"{path} does not fit {table.name}; it has {', '.join(frame.columns[:50])}; map yours by ingest.columns", problems)
    return frame, theirs


def _columns(frame: DataFrame, theirs: Mapping[str, str], table: Table) -> dict[str, Column]:
    """Ours from theirs: a value that is none of the type is null, a text of several values is split."""
    kinds = {column.name: column.dataType for column in frame.schema}
    made: dict[str, Column] = {}
    for name in table.schema.names:
        if name in theirs:
            given, wanted = kinds[theirs[name]], table.schema[name].dataType
            column = F.col(quoted(theirs[name]))
            if isinstance(wanted, T.ArrayType) and isinstance(given, T.StringType):
                column = F.filter(F.transform(F.split(column, LIST), lambda each: F.trim(each)), lambda each: each != "")  # noqa: PLW0108 - trim takes a second argument, which transform would give
            made[name] = column.try_cast(wanted)
    if "tags" in made and table is TRACKS:
        made["tags"] = F.transform(made["tags"], F.lower)
    return made
