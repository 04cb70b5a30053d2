"""What a release knows of one listener, as a fill asks for it: read from tables, or kept as one record in a key-value store; the same either way."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.assemble import bucket_of
from trackpools.core.past import BLANK

FORMAT = 1  # of a record and of what stands around it; readers refuse others
KEY_BYTES = 16
SIZE_BYTES = 4
CODEC = "zstd"
PROFILE = ("market", "explicit_policy", "birth_band", "declared_tags")  # columns of `users`
POOL = ("candidates", "profile", "as_of", "valid_until")  # columns of `pools`
PAST = ("recording_idx", *BLANK)  # columns of `interactions`
VECTORS = ("user_factors", "user_vectors")
RECORD = ("idx", *PROFILE, "past", *POOL, *VECTORS)


@dataclass(frozen=True)
class Known:
    """What is known of a listener.

    Attributes:
        profile: PROFILE of `users`; empty where there is none.
        interactions: Arrow table of PAST, a row a recording that was met.
        vectors: float32 [rank] by name of the table, of those that have one.
        pool: POOL of the row in force, or None; also where it was not asked for.
        note: what is to be said of where it came from.
    """

    idx: int
    profile: Mapping[str, Any]
    interactions: Any
    vectors: Mapping[str, NDArray[np.float32]]
    pool: Mapping[str, Any] | None
    note: str = ""


def key_of(user_id: str) -> bytes:
    """What a record is found by: the head of SHA-256, so that no raw id stands in a key."""
    return hashlib.sha256(user_id.encode()).digest()[:KEY_BYTES]


def _key() -> Column:
    return F.unhex(F.substring(F.sha2("user_id", 256), 1, 2 * KEY_BYTES))


def records(frames: Mapping[str, DataFrame], buckets: int) -> DataFrame:
    """`bucket int, key binary` and RECORD: one row a user of `user_ids`, whether or not there is a pool.

    Args:
        frames: user_ids, users, interactions and pools, and of VECTORS those that the release has.
        buckets: into which users are divided, by the hash of pools.
    """
    past = (
        frames["interactions"]
        .groupBy("user_idx")
        .agg(F.array_sort(F.collect_list(F.struct(*PAST))).alias("past"))
    )
    made = (
        frames["user_ids"]
        .join(frames["users"].select("user_id", *PROFILE), "user_id", "left")
        .join(past, "user_idx", "left")
    )
    made = made.join(frames["pools"].select("user_idx", *POOL), "user_idx", "left")
    for name in VECTORS:
        own = (
            frames[name].select(F.col("idx").alias("user_idx"), F.col("factors").alias(name))
            if name in frames
            else None
        )
        made = (
            made.withColumn(name, F.lit(None).cast("array<float>"))
            if own is None
            else made.join(own, "user_idx", "left")
        )
    return made.select(
        bucket_of(buckets).alias("bucket"), _key().alias("key"), F.col("user_idx").alias("idx"), *RECORD[1:]
    )


def encoded(batch: Any) -> Iterator[tuple[int, bytes, bytes]]:
    """Bucket, key and record of every row of an Arrow batch of `records`.

    A record is its size unpacked (uint32, little-endian) and a row as an Arrow record batch in zstd; the schema, the same for all, is kept once.
    """
    values = batch.select(list(RECORD))
    buckets, keys = batch.column("bucket").to_pylist(), batch.column("key").to_pylist()
    for at, (bucket, key) in enumerate(zip(buckets, keys, strict=True)):
        whole = values.slice(at, 1).serialize()
        yield (
            bucket,
            key,
            whole.size.to_bytes(SIZE_BYTES, "little") + pa.compress(whole, codec=CODEC, asbytes=True),
        )


def schema_of(batch: Any) -> bytes:
    """The schema of the records of a batch, for `decoded`."""
    return bytes(batch.schema.empty_table().select(list(RECORD)).schema.serialize())


def decoded(record: bytes, schema: Any) -> Known:
    """What a record holds.

    Args:
        schema: Arrow schema of `schema_of`.

    Raises:
        pa.ArrowInvalid: for bytes that are no such record.
    """
    size = int.from_bytes(record[:SIZE_BYTES], "little")
    try:
        row = pa.ipc.read_record_batch(
            pa.decompress(record[SIZE_BYTES:], decompressed_size=size, codec=CODEC), schema
        )
    except OSError as error:  # of the codec
        raise pa.ArrowInvalid(str(error)) from None
    past = row.column("past").flatten()
    told = row.select([name for name in RECORD if name != "past"]).to_pylist()[0]
    return Known(
        idx=told["idx"],
        profile={name: told[name] for name in PROFILE},
        interactions=pa.Table.from_arrays(past.flatten(), names=[one.name for one in past.type]),
        vectors={name: np.array(told[name], np.float32) for name in VECTORS if told[name] is not None},
        pool=None if told["candidates"] is None else {name: told[name] for name in POOL},
    )
