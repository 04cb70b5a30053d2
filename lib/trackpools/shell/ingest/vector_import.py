"""Import vectors from outside trackpools into the table `vectors`.

The vectors are read from tables, or computed from the texts of the catalogue by a model in a folder.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.config import Config
from trackpools.core.log.quarantine import id_reasons, reason
from trackpools.datasets.events import detect_format
from trackpools.errors import ConfigError, InputError, QualityError
from trackpools.optional_packages import import_optional
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.store import Store
from trackpools.tables import TRACKS, VECTORS

TEXTS_AT_ONCE = 4096  # texts in one call of the model
NUMBERS = (T.FloatType, T.DoubleType)


def import_vectors(store: Store, config: Config, tracks: str, users: str | None) -> dict[str, int]:
    """Replace all rows of `vectors` by the vectors in one or two Delta or Parquet tables.

    Args:
        store: holds the table `vectors`.
        config: the configuration; `ingest.columns` may give other names for the columns below.
        tracks: path of a table with `track_id` and `vector`.
        users: path of a table with `user_id` and `vector`. If None, no vectors of users are stored; pools then
            use the mean vector of a user's recordings.

    Returns:
        Kind (`track` or `user`) → number of accepted rows, and reason → number of rows refused for it.

    Raises:
        InputError: if a table lacks a column, or if a column has another type.
        QualityError: if more than `ingest.max_rejected_fraction` of the rows are refused; nothing is written.
    """
    parts = [_read(store, config, tracks, "track"), *([_read(store, config, users, "user")] if users else [])]
    return _write_valid_rows(store, config, parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1]))


def import_text_vectors(store: Store, config: Config, model: str) -> dict[str, int]:
    """Replace all rows of `vectors` by vectors that a model2vec model computes for all tracks.

    The model reads one text for each track: its tags, artist names and title.

    Args:
        store: holds the tables `tracks` and `vectors`.
        config: the configuration.
        model: folder of the model; every executor must be able to read it.

    Returns:
        `track` → number of vectors, and reason → number of tracks refused for it.

    Raises:
        ConfigError: if model2vec is not installed, if the folder holds no model, or if the length of the
            model's vectors is not `sources.vectors.length`.
        QualityError: if more than `ingest.max_rejected_fraction` of the rows are refused; nothing is written.
    """
    if not Path(model).is_dir():
        raise ConfigError(
            f"there is no folder {model[:200]!r}; give a folder to which a model2vec model was saved (nothing is downloaded)"
        )
    found = len(_encoder(model)(["a"])[0])
    if found != config.sources.vectors.length:
        raise ConfigError(
            f"the model computes vectors of {found} numbers, but sources.vectors.length is {config.sources.vectors.length}; set it to {found}"
        )
    store.create(TRACKS)
    words = F.concat_ws(
        ", ",
        F.array_distinct(
            F.concat(
                *(F.coalesce(name, F.array().cast("array<string>")) for name in ("tags", "artist_names"))
            )
        ),
        "title",
    )
    texts = store.read(TRACKS.name).select(
        F.lit("track").alias("of"), F.col("track_id").alias("id"), words.alias("text")
    )
    return _write_valid_rows(
        store, config, texts.mapInArrow(_encode(model), "of string, id string, vector array<float>")
    )


def _encoder(model: str) -> Callable[[list[str]], Any]:
    """Load a model2vec model, and return a function from a list of texts to an array [texts, length].

    Raises:
        ConfigError: if model2vec is not installed or the folder holds no model.
    """
    model2vec = import_optional(
        "model2vec",
        "the package model2vec, which computes vectors of texts, is missing; install it: pip install 'trackpools[text]'",
    )
    try:
        loaded = model2vec.StaticModel.from_pretrained(model)
    except Exception as error:
        raise ConfigError(
            f"the folder {model[:200]!r} contains no model that model2vec can load",
            [f"{type(error).__name__}: {error}"[:300]],
        ) from error
    return lambda texts: loaded.encode(texts, use_multiprocessing=False)


def _encode(model: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a function for `mapInArrow`, which turns rows `of, id, text` into rows `of, id, vector`."""

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        encode = _encoder(model)
        for batch in batches:
            for at in range(0, batch.num_rows, TEXTS_AT_ONCE):
                part = batch.slice(at, TEXTS_AT_ONCE)
                made = np.asarray(encode([text or "" for text in part["text"].to_pylist()]), np.float32)
                ends = pa.array(np.arange(0, made.size + 1, made.shape[1], dtype=np.int32))
                yield pa.RecordBatch.from_arrays(
                    [part["of"], part["id"], pa.ListArray.from_arrays(ends, pa.array(made.ravel()))],
                    ["of", "id", "vector"],
                )

    return run


def _read(store: Store, config: Config, path: str, of: str) -> DataFrame:
    """Read a table of vectors as `of string, id string, vector array<float>`.

    Args:
        store: gives the Spark session.
        config: the configuration; `ingest.columns` may rename the columns.
        path: path of the table.
        of: `track` or `user`.

    Raises:
        InputError: if the table is neither Delta nor Parquet, or lacks a column, or has one of another type.
    """
    kind = detect_format(store.spark, path) if config.ingest.format == "auto" else config.ingest.format
    if kind not in {"delta", "parquet"}:
        raise InputError(f"vectors must be a table of Delta or Parquet, but {path} is {kind}")
    frame = store.spark.read.format(kind).load(path)
    names = {ours: config.ingest.columns.get(ours, ours) for ours in (f"{of}_id", "vector")}
    problems = [
        f"column {theirs!r} is missing; set ingest.columns.{ours}"
        for ours, theirs in names.items()
        if theirs not in frame.columns
    ]
    if not problems:
        vector = frame.schema[names["vector"]].dataType
        if not (isinstance(vector, T.ArrayType) and isinstance(vector.elementType, NUMBERS)):
            problems.append(
                f"column {names['vector']!r} is {vector.simpleString()}; it must be array<float> or array<double>"
            )
    if problems:
        raise InputError(
            f"{path} does not have the columns of a table of vectors; its columns are: {', '.join(frame.columns)}",
            problems,
        )
    own, vector_column = frame[names[f"{of}_id"]].cast("string"), frame[names["vector"]].cast("array<float>")
    return frame.select(F.lit(of).alias("of"), own.alias("id"), vector_column.alias("vector"))


def _write_valid_rows(store: Store, config: Config, rows: DataFrame) -> dict[str, int]:
    """Write the valid rows to `vectors`, one for each key `of, id`, and return counts.

    Returns:
        Kind (`track` or `user`) → number of valid rows, and reason → number of rows refused for it.
    """
    length = config.sources.vectors.length
    unfit = F.exists("vector", lambda x: x.isNull() | F.isnan(x) | (F.abs(x) == float("inf")))
    rules = [
        *id_reasons("id", config.ingest.max_id_length),
        reason("vector_null", F.col("vector").isNull()),
        reason("vector_not_finite", unfit),
        reason("vector_of_another_length", F.size("vector") != length),
    ]
    with persisted(rows.withColumn("reasons", F.array_compact(F.array(*rules)))) as judged:
        good = F.size("reasons") == 0
        named = judged.select(
            F.explode(F.when(good, F.array("of")).otherwise(F.col("reasons"))).alias("name")
        )
        counts = {row["name"]: row["count"] for row in named.groupBy("name").count().collect()}
        read, bad = judged.agg(F.count(F.lit(1)), F.count_if(~good)).collect()[0]
        if read == 0 or bad / read > config.ingest.max_rejected_fraction:
            problems = [
                f"{name}: {count} rows"
                for name, count in sorted(counts.items())
                if name not in {"track", "user"}
            ]
            raise QualityError(
                f"{bad} of {read} vectors are refused, more than ingest.max_rejected_fraction allows; nothing was imported. "
                f"Check that each vector has {length} numbers, the value of sources.vectors.length",
                problems,
            )
        unique = judged.where(good).groupBy("of", "id").agg(F.min("vector").alias("vector"))
        store.overwrite(VECTORS, unique, {"stage": "import", "importer": "vectors"})
    return counts
