"""Import the listening log of your own service: CSV with a header, JSON lines, Parquet or Delta.

`ingest.columns` maps our column names to those of the log.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.config import Config, IngestConfig
from trackpools.datasets import Imported
from trackpools.datasets.catalogue_columns import array_of_one, artist_ids
from trackpools.datasets.file_reading import (
    BROKEN,
    ignored_columns,
    list_files,
    name_of,
    quote_name,
    read_csv,
    source,
    unreadable_file,
)
from trackpools.datasets.value_parsing import INTEGERS, TEXT
from trackpools.errors import InputError

ENDINGS = {
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "json": (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz"),
    "parquet": (".parquet",),
}
IDS = ("event_id", "user_id", "profile_id", "track_id", "artist_id")
TEXTS = ("reason_start", "reason_end", "context_type", "content_type", "title", "artist")
TIMES = ("played_at", "received_at")
NUMBERS = ("ms_played", "plays", "rating")
OURS = (*IDS, *TEXTS, *TIMES, *NUMBERS, "private")
# optional fields of JSON lines that are read even if none of the first lines has them
LATER = (
    "event_id",
    "profile_id",
    "received_at",
    "ms_played",
    "reason_start",
    "reason_end",
    "context_type",
    "content_type",
    "private",
)
PEEKED_LINES = 200  # JSON lines that are read for names and types; all other lines are checked row by row


def read(spark: SparkSession, path: str, config: Config) -> Imported:
    """Read the raw rows of a listening log, one row for each row of the input.

    If `ingest.rating_column` is set, the rows are ratings. Otherwise the rows of a log with `played_at` are
    plays, and those of a log without times are counts (column `plays`). If a row has a `profile_id`, the id of
    its user becomes `user_id/profile_id` later, see `core.log.quarantine`.

    Raises:
        InputError: if columns are missing or of a wrong type (the error lists all such columns), or if the
            path or the format cannot be read.
    """
    ingest = config.ingest
    kind = detect_format(spark, path) if ingest.format == "auto" else ingest.format
    try:
        frame, types = _read(spark, path, kind, ingest)
    except (PySparkException, Py4JJavaError) as error:
        raise unreadable_file(path, kind, error) from error
    mapping = map_columns(types, ingest, path)
    check_types({name: types[theirs] for name, theirs in mapping.items() if theirs in types}, mapping)
    notes = ignored_columns(types, mapping.values())
    # A JSON line may have a field that none of the first lines has.
    later = {
        name: name for name in LATER if kind == "json" and name not in mapping and name not in ingest.columns
    }
    return Imported(_raw(frame, mapping | later), notes=notes)


def _read(
    spark: SparkSession, path: str, kind: str, ingest: IngestConfig
) -> tuple[DataFrame, dict[str, T.DataType | None]]:
    """Read a log of a given format.

    Returns:
        The rows, with columns `row` (a struct of the file's columns), `row_text`, `source` and `broken`; and
        the types of the file's columns by name, None if the type is unknown.
    """
    if kind == "csv":
        frame, names = read_own_csv(spark, path, ingest, "events")
        return frame, dict.fromkeys(names, T.StringType())
    if kind == "json":
        return _read_json(spark, data_files(list_files(spark, path), "json"), ingest, path)
    frame = spark.read.format(kind).load(path)
    typed: dict[str, T.DataType | None] = {f.name: f.dataType for f in frame.schema}
    row = F.struct(*(F.col(quote_name(name)) for name in frame.columns))
    text = F.to_json(row, {"ignoreNullFields": "false"})
    return frame.select(
        row.alias("row"),
        text.alias("row_text"),
        source("events").alias("source"),
        F.lit(False).alias("broken"),
    ), typed


def read_own_csv(
    spark: SparkSession, path: str, ingest: IngestConfig, importer: str
) -> tuple[DataFrame, list[str]]:
    """Read the CSV files at or below a path by `file_reading.read_csv`.

    The separator is `ingest.separator`; but if that is a comma and the first file is a `.tsv` file, the
    separator is a tab. All importers of your own files read CSV by this function, so that they read a file
    alike.
    """
    files = data_files(list_files(spark, path), "csv")
    separator = "\t" if ingest.separator == "," and ".tsv" in name_of(files[0]).lower() else ingest.separator
    return read_csv(spark, files, importer, separator=separator)


def data_files(files: Sequence[str], kind: str) -> list[str]:
    """Return the files whose names have an ending of a format.

    If there is none, all files are returned, because then `ingest.format` says that they have this format.
    """
    chosen = [file for file in files if file.lower().endswith(ENDINGS[kind])]
    return chosen or list(files)


def detect_format(spark: SparkSession, path: str) -> str:
    """Detect the format of a path: delta if Spark opens it as a Delta table, else by the files' endings.

    Raises:
        InputError: if the endings fit no format, or several.
    """
    try:
        _ = spark.read.format("delta").load(path).schema
        return "delta"
    except (PySparkException, Py4JJavaError):
        pass  # it is not a Delta table, or the listing below reports what is wrong with the path
    names = [name_of(file).lower() for file in list_files(spark, path)]
    kinds = sorted(kind for kind, endings in ENDINGS.items() if any(name.endswith(endings) for name in names))
    if len(kinds) != 1:
        got = (
            f"its files, which are {', '.join(kinds)}"
            if kinds
            else f"the names {', '.join(sorted(names)[:5])}"
        )
        raise InputError(
            f"the format of {path} is not clear from {got}; set ingest.format to csv, json, parquet or delta, or give the path of one file"
        )
    return kinds[0]


def _read_json(
    spark: SparkSession, files: list[str], ingest: IngestConfig, path: str
) -> tuple[DataFrame, dict[str, T.DataType | None]]:
    """Read files with one JSON object for each line; the results are those of `_read`.

    A line is broken if it is not valid JSON, or if one of our columns has an object or a list as its value.

    Raises:
        InputError: if none of the first lines is a JSON object.
    """
    head = [
        row[0].removeprefix("\ufeff")
        for row in spark.read.text(files).where(F.trim("value") != "").limit(PEEKED_LINES).collect()
    ]
    types = peek_json(head)
    if head and not types:
        raise InputError(
            f'{path} holds no JSON lines; each line must be one object such as {{"user_id": "u"}}; a list over several lines cannot be read',
            [head[0][:120]],
        )
    wanted = sorted(
        {ingest.columns.get(name, name) for name in OURS}
        | ({ingest.rating_column} if ingest.rating_column else set())
    )
    schema = T.StructType([T.StructField(name, T.StringType()) for name in (*wanted, BROKEN)])
    lines = spark.read.text(files).select(
        F.regexp_replace("value", r"\A\x{FEFF}", "").alias("row_text"), source("events").alias("source")
    )
    parsed = lines.where(F.trim("row_text") != "").select(
        "*",
        F.from_json("row_text", schema, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": BROKEN}).alias(
            "json"
        ),
    )
    fields = [F.col("json").getField(name) for name in wanted]
    nested = F.lit(False)
    for field in fields:
        nested = nested | F.coalesce(field.rlike(r"\A[{\[]"), F.lit(False))
    broken = F.col("json").isNull() | F.col("json").getField(BROKEN).isNotNull()
    # A text may start with a bracket too. So the type is checked for values that start with a bracket, and only
    # for these, because the check is costly.
    broken = broken | F.when(nested, _has_nested(wanted)).otherwise(F.lit(False))
    return parsed.select(F.col("json").alias("row"), "row_text", "source", broken.alias("broken")), types


def _has_nested(names: Sequence[str]) -> Column:
    """Return whether any of the named fields of the JSON in `row_text` is an object or an array."""
    variant = F.try_parse_json("row_text")
    found = F.lit(False)
    for name in names:
        step = name.replace("\\", "\\\\").replace("'", "\\'")
        shape = F.schema_of_variant(F.try_variant_get(variant, f"$['{step}']", "variant"))
        found = found | F.coalesce(shape.rlike(r"\A(OBJECT|ARRAY)"), F.lit(False))
    return found


def peek_json(lines: Sequence[str]) -> dict[str, T.DataType | None]:
    """Infer the names and types of fields from some JSON lines.

    Returns:
        Field name → type. The type is None if the field was always null, and string if its types were mixed.
    """
    kinds: dict[str, set[type]] = {}
    for line in lines:
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            for name, item in value.items():
                kinds.setdefault(name, set()).add(type(item))
    known: dict[type, T.DataType] = {
        dict: T.MapType(T.StringType(), T.StringType()),
        list: T.ArrayType(T.StringType()),
        bool: T.BooleanType(),
        int: T.LongType(),
        float: T.DoubleType(),
    }
    types: dict[str, T.DataType | None] = {}
    for name, seen in kinds.items():
        real = seen - {type(None)}
        types[name] = (
            None
            if not real
            else known.get(next(iter(real)), T.StringType())
            if len(real) == 1
            else T.StringType()
        )
    return types


def map_columns(types: Mapping[str, T.DataType | None], ingest: IngestConfig, path: str) -> dict[str, str]:
    """Map our column names to those of the file, for every column of ours that the file has.

    Args:
        types: the file's columns with their types.
        ingest: configuration with the mapping of columns.
        path: the path, for the error message.

    Raises:
        InputError: if required columns are missing, or the mapping names a column that does not exist; the
            error lists all such columns.
    """
    astray = [(ours, theirs) for ours, theirs in sorted(ingest.columns.items()) if theirs not in types]
    problems = [
        f"ingest.columns maps {ours} to {theirs!r}, but the input has no such column"
        for ours, theirs in astray
    ]
    strange = [
        (ours, theirs)
        for ours, theirs in sorted(ingest.columns.items())
        if theirs in types and ours not in OURS
    ]
    problems += [
        f"ingest.columns maps {ours} to {theirs!r}, but a log of plays has no column {ours}; its columns are {', '.join(OURS)}"
        for ours, theirs in strange
    ]
    mapping = {
        name: ingest.columns.get(name, name)
        for name in OURS
        if name != "rating" and ingest.columns.get(name, name) in types
    }
    if ingest.rating_column is not None:
        if ingest.rating_column in types:
            mapping["rating"] = ingest.rating_column
        else:
            problems.append(
                f"ingest.rating_column is {ingest.rating_column!r}, but the input has no such column"
            )
    problems += [
        f"column {name} is missing"
        for name in ("user_id", "track_id")
        if name not in mapping and name not in ingest.columns
    ]
    # A log without times must have counts or ratings instead.
    if not {"played_at", "plays", "rating"} & set(mapping) and "played_at" not in ingest.columns:
        problems.append(
            "column played_at is missing; a log that holds only counts needs the column plays instead"
        )
    if problems:
        has = ", ".join(sorted(types)) or "none"
        raise InputError(
            f"the columns of {path} do not match those of a log of plays; the input's columns are: {has}. "
            "Map your columns, for example with --set ingest.columns.user_id=YOURS",
            problems,
        )
    return mapping


def check_types(types: Mapping[str, T.DataType | None], mapping: Mapping[str, str]) -> None:
    """Check that the type of each column can hold its values.

    Args:
        types: our column name → type in the file; a type of None is unknown and not checked.
        mapping: our column name → the file's column name, for the error message.

    Raises:
        InputError: if a type does not fit; the error lists every such column with its type and the types that
            fit.
    """

    def fits(name: str, kind: T.DataType) -> str | None:
        text = isinstance(kind, (*TEXT, T.NullType))
        if name in IDS:
            return None if text or isinstance(kind, INTEGERS) else "a string or an integer"
        if name in TEXTS:
            return None if text else "a string"
        if name in TIMES:
            return (
                None
                if text or isinstance(kind, (T.TimestampType, T.TimestampNTZType, T.NumericType))
                else "a time, a number or a string"
            )
        if name in NUMBERS:
            return None if text or isinstance(kind, T.NumericType) else "a number"
        return None if text or isinstance(kind, (T.BooleanType, *INTEGERS)) else "true or false"

    wrong = [(name, kind, fits(name, kind)) for name, kind in types.items() if kind is not None]
    problems = [
        f"{name} (column {mapping[name]!r}) is {kind.simpleString()}; it must be {need}"
        for name, kind, need in wrong
        if need
    ]
    if problems:
        raise InputError(
            "the input has columns of a wrong type; convert them, or map other columns", problems
        )


def _raw(frame: DataFrame, mapping: Mapping[str, str]) -> DataFrame:
    """Select the columns of `Imported.plays`, with the struct `track` if the file describes tracks."""
    theirs = {name: F.col("row").getField(column) for name, column in mapping.items()}
    kind = "rating" if "rating" in theirs else "play" if "played_at" in theirs else "count"
    catalogue = {name: theirs.pop(name) for name in ("title", "artist", "artist_id") if name in theirs}
    track: list[Column] = []
    if catalogue:
        artist, identity = catalogue.get("artist", F.lit(None).cast("string")), catalogue.get("artist_id")
        given = None if identity is None else identity.cast("string")
        track = [
            F.struct(
                catalogue.get("title", F.lit(None).cast("string")).alias("title"),
                artist_ids(given, artist).alias("artist_ids"),
                array_of_one(artist).alias("artist_names"),
            ).alias("track")
        ]
    return frame.select(
        *(column.alias(name) for name, column in theirs.items()),
        F.lit(kind).alias("kind"),
        "row_text",
        "source",
        "broken",
        *track,
    )
