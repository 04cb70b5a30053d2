"""Vectors of your own into the table `vectors`: brought as tables, or made of the catalogue's texts by a model that lies in a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.config import Config
from trackpools.core.quarantine import id_reasons, reason
from trackpools.datasets.events import detect_format
from trackpools.errors import ConfigError, InputError, QualityError
from trackpools.extras import library
from trackpools.shell.kept import kept
from trackpools.shell.store import Store
from trackpools.tables import TRACKS, VECTORS

TEXTS_AT_ONCE = 4096
NUMBERS = (T.FloatType, T.DoubleType)


def brought(store: Store, config: Config, tracks: str, users: str | None) -> dict[str, int]:
    """Put a pair of tables, Delta or Parquet, in the place of all vectors; rows of each kind, and refused ones by reason.

    `track_id` and `vector`, `user_id` and `vector`, or what `ingest.columns` says instead. Without users, a listener's vector is made of the tracks'.

    Raises:
        InputError: where a table lacks a column or has it of another type.
        QualityError: over `ingest.max_rejected_fraction`; nothing is written.
    """
    parts = [_read(store, config, tracks, "track"), *([_read(store, config, users, "user")] if users else [])]
    return _written(store, config, parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1]))


def of_texts(store: Store, config: Config, model: str) -> dict[str, int]:
    """Put vectors of the catalogue's texts in the place of all vectors, by a model2vec model in a folder that every executor sees.

    Raises:
        ConfigError: where model2vec is not installed or the folder holds no model.
    """
    if not Path(model).is_dir():
        raise ConfigError(
            f"no folder {model[:200]!r}; name one that a model2vec model was saved to (nothing is downloaded)"
        )
    found = len(_encoder(model)(["a"])[0])
    if found != config.sources.vectors.length:
        raise ConfigError(
            f"the model makes vectors of {found} numbers, sources.vectors.length is {config.sources.vectors.length}; set it to {found}"
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
    return _written(
        store, config, texts.mapInArrow(_encode(model), "of string, id string, vector array<float>")
    )


def _encoder(model: str) -> Callable[[list[str]], Any]:
    model2vec = library(
        "model2vec",
        "vectors of texts are made by the package model2vec; install it: pip install 'trackpools[text]'",
    )
    try:
        loaded = model2vec.StaticModel.from_pretrained(model)
    except Exception as error:
        raise ConfigError(
            f"{model[:200]!r} holds no model that model2vec can load",
            [f"{type(error).__name__}: {error}"[:300]],
        ) from error
    return lambda texts: loaded.encode(texts, use_multiprocessing=False)


def _encode(model: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
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
    kind = detect_format(store.spark, path) if config.ingest.format == "auto" else config.ingest.format
    if kind not in {"delta", "parquet"}:
        raise InputError(f"vectors are tables of Delta or Parquet, and {path} is {kind}")
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
        raise InputError(f"{path} holds no vectors; it has {', '.join(frame.columns)}", problems)
    own, vector_column = frame[names[f"{of}_id"]].cast("string"), frame[names["vector"]].cast("array<float>")
    return frame.select(F.lit(of).alias("of"), own.alias("id"), vector_column.alias("vector"))


def _written(store: Store, config: Config, rows: DataFrame) -> dict[str, int]:
    """One row a key; what cannot be a vector is left out and counted by reason."""
    length = config.sources.vectors.length
    unfit = F.exists("vector", lambda x: x.isNull() | F.isnan(x) | (F.abs(x) == float("inf")))
    rules = [
        *id_reasons("id", config.ingest.max_id_length),
        reason("vector_null", F.col("vector").isNull()),
        reason("vector_not_finite", unfit),
        reason("vector_of_another_length", F.size("vector") != length),
    ]
    with kept(rows.withColumn("reasons", F.array_compact(F.array(*rules)))) as judged:
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
                f"{bad} of {read} vectors are refused, and more than ingest.max_rejected_fraction; nothing was imported. "
                f"Are they of {length} numbers, as sources.vectors.length says?",
                problems,
            )
        unique = judged.where(good).groupBy("of", "id").agg(F.min("vector").alias("vector"))
        store.overwrite(VECTORS, unique, {"stage": "import", "importer": "vectors"})
    return counts
