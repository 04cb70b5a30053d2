"""Pack the items of lists and proposals, recordings and scores, into two binary columns.

Spark copies a binary value as a whole, but an array number by number.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from trackpools.core.arrays.packing import binaries, unpack_values
from trackpools.tables import CANDIDATES

PACKED = {"recordings": np.int32, "scores": np.float32}  # both in the order of the items, best first


def pack_items(frame: DataFrame) -> DataFrame:
    """Replace the column `items` by `recordings binary` (int32) and `scores binary` (float32).

    Args:
        frame: a frame with the column `items array<struct<recording int, score float>>`. No item is null.
    """
    kept = [field for field in frame.schema if field.name != "items"]
    schema = T.StructType([*kept, *(T.StructField(name, T.BinaryType()) for name in PACKED)])
    return frame.mapInArrow(_each(_pack, [field.name for field in kept]), schema)


def unpack_items(frame: DataFrame) -> DataFrame:
    """Undo `pack_items` to make a frame readable; the column `items` becomes the last one."""
    kept = [field for field in frame.schema if field.name not in PACKED]
    return frame.mapInArrow(
        _each(_unpack, [field.name for field in kept]), T.StructType([*kept, CANDIDATES.schema["items"]])
    )


def _each(
    change: Callable[[Any], dict[str, Any]], kept: list[str]
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({name: batch[name] for name in kept} | change(batch))

    return run


def _pack(batch: Any) -> dict[str, Any]:
    lists = batch["items"]
    flat, ends = (
        lists.flatten(),
        np.concatenate([[0], np.cumsum(np.asarray(lists.value_lengths(), np.int64))]),
    )
    columns = zip(PACKED.items(), ("recording", "score"), strict=True)
    return {
        name: binaries(np.asarray(flat.field(field), kind), ends * np.dtype(kind).itemsize)
        for (name, kind), field in columns
    }


def _unpack(batch: Any) -> dict[str, Any]:
    recordings, scores = (unpack_values(batch[name], kind) for name, kind in PACKED.items())
    sizes = np.asarray(pc.binary_length(batch["recordings"]), np.int64) // recordings.itemsize
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    items = pa.StructArray.from_arrays([pa.array(recordings), pa.array(scores)], ["recording", "score"])
    return {"items": pa.ListArray.from_arrays(offsets, items)}
