"""A service's own listening log: CSV with a header, JSON lines, Parquet or Delta, with columns mapped by configuration."""

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
from trackpools.datasets.catalogue import artist_ids, one
from trackpools.datasets.files import (
    BROKEN,
    ignored,
    list_files,
    name_of,
    quoted,
    read_csv,
    source,
    unreadable,
)
from trackpools.datasets.reading import INTEGERS, TEXT
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
PEEKED_LINES = 200  # JSON lines looked at for names and types; the rest is judged row by row


def read(spark: SparkSession, path: str, config: Config) -> Imported:
    """Raw rows of a listening log; grain: one row of the input.

    Where a row has a `profile_id`, its user is account/profile.

    A log with `played_at` holds plays; with `ingest.rating_column` ratings; with `plays` and no time counts.

    Raises:
        InputError: listing every column that is missing or of a wrong type, or where the path or format cannot be read.
    """
    ingest = config.ingest
    kind = detect_format(spark, path) if ingest.format == "auto" else ingest.format
    try:
        frame, types = _read(spark, path, kind, ingest)
    except (PySparkException, Py4JJavaError) as error:
        raise unreadable(path, kind, error) from error
    mapping = map_columns(types, ingest, path)
    check_types({name: types[theirs] for name, theirs in mapping.items() if theirs in types}, mapping)
    notes = ignored(types, mapping.values())
    # a JSON line may hold what none of the first ones did
    later = {
        name: name for name in LATER if kind == "json" and name not in mapping and name not in ingest.columns
    }
    return Imported(_raw(frame, mapping | later), notes=notes)


def _read(
    spark: SparkSession, path: str, kind: str, ingest: IngestConfig
) -> tuple[DataFrame, dict[str, T.DataType | None]]:
    """Columns `row` (a struct of the file's), row_text, source, broken; and the types of the file's columns (None: unknown)."""
    if kind == "csv":
        files = data_files(list_files(spark, path), "csv")
        separator = (
            "\t" if ingest.separator == "," and ".tsv" in name_of(files[0]).lower() else ingest.separator
        )
        frame, names = read_csv(spark, files, "events", separator=separator)
        return frame, dict.fromkeys(names, T.StringType())
    if kind == "json":
        return _read_json(spark, data_files(list_files(spark, path), "json"), ingest, path)
    frame = spark.read.format(kind).load(path)
    typed: dict[str, T.DataType | None] = {f.name: f.dataType for f in frame.schema}
    row = F.struct(*(F.col(quoted(name)) for name in frame.columns))
    text = F.to_json(row, {"ignoreNullFields": "false"})
    return frame.select(
        row.alias("row"),
        text.alias("row_text"),
        source("events").alias("source"),
        F.lit(False).alias("broken"),
    ), typed


def data_files(files: Sequence[str], kind: str) -> list[str]:
    """Files with an ending of the format; all of them where none has one, for the format was then set by hand."""
    chosen = [file for file in files if file.lower().endswith(ENDINGS[kind])]
    return chosen or list(files)


def detect_format(spark: SparkSession, path: str) -> str:
    """The format by file ending.

    Raises:
        InputError: where endings say nothing, or several things.
    """
    try:
        _ = spark.read.format("delta").load(path).schema
        return "delta"
    except (PySparkException, Py4JJavaError):
        pass  # it is none, or the listing below says what is wrong with the path
    names = [name_of(file).lower() for file in list_files(spark, path)]
    kinds = sorted(kind for kind, endings in ENDINGS.items() if any(name.endswith(endings) for name in names))
    if len(kinds) != 1:
        got = (
            f"files of formats {', '.join(kinds)}" if kinds else f"endings of {', '.join(sorted(names)[:5])}"
        )
        raise InputError(
            f"the format of {path} is not clear from {got}; set ingest.format to csv, json, parquet or delta, or name one file"
        )
    return kinds[0]


def _read_json(
    spark: SparkSession, files: list[str], ingest: IngestConfig, path: str
) -> tuple[DataFrame, dict[str, T.DataType | None]]:
    """One JSON object a line; a value of a wrong shape (object, list) inside an id makes the line broken."""
    head = [
        row[0].removeprefix("\ufeff")
        for row in spark.read.text(files).where(F.trim("value") != "").limit(PEEKED_LINES).collect()
    ]
    types = peek_json(head)
    if head and not types:
        raise InputError(
            f'{path} holds no JSON lines; each line must be one object such as {{"user_id": "u"}}, not a list over lines',
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
    # a text may start with a bracket too: only then the costly look at the real type
    broken = broken | F.when(nested, _has_nested(wanted)).otherwise(F.lit(False))
    return parsed.select(F.col("json").alias("row"), "row_text", "source", broken.alias("broken")), types


def _has_nested(names: Sequence[str]) -> Column:
    variant = F.try_parse_json("row_text")
    found = F.lit(False)
    for name in names:
        step = name.replace("\\", "\\\\").replace("'", "\\'")
        shape = F.schema_of_variant(F.try_variant_get(variant, f"$['{step}']", "variant"))
        found = found | F.coalesce(shape.rlike(r"\A(OBJECT|ARRAY)"), F.lit(False))
    return found


def peek_json(lines: Sequence[str]) -> dict[str, T.DataType | None]:
    """Names and types over some lines; None for a name that only ever held null; mixed scalars are a string."""
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
    """Our column → theirs, for every column that the file has.

    Raises:
        InputError: listing every required column that is missing and every mapping that leads nowhere.
    """
    astray = [(ours, theirs) for ours, theirs in sorted(ingest.columns.items()) if theirs not in types]
    problems = [
        f"ingest.columns maps {ours} to {theirs!r}, which the input does not have" for ours, theirs in astray
    ]
    strange = [
        (ours, theirs)
        for ours, theirs in sorted(ingest.columns.items())
        if theirs in types and ours not in OURS
    ]
    problems += [
        f"ingest.columns maps {ours} to {theirs!r}; a log of plays has no {ours}, it has {', '.join(OURS)}"
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
                f"ingest.rating_column is {ingest.rating_column!r}, which the input does not have"
            )
    problems += [
        f"column {name} is missing"
        for name in ("user_id", "track_id")
        if name not in mapping and name not in ingest.columns
    ]
    # a log without times must say how much instead of when
    if not {"played_at", "plays", "rating"} & set(mapping) and "played_at" not in ingest.columns:
        problems.append("column played_at is missing (or plays, for a log that holds only counts)")
    if problems:
        has = ", ".join(sorted(types)) or "none"
        raise InputError(
            f"{path} lacks columns; it has {has}. Map yours, for example --set ingest.columns.user_id=YOURS",
            problems,
        )
    return mapping


def check_types(types: Mapping[str, T.DataType | None], mapping: Mapping[str, str]) -> None:
    """Refuse columns whose type cannot hold what they should.

    Raises:
        InputError: listing every such column with its type and what fits.
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
                one(artist).alias("artist_names"),
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
