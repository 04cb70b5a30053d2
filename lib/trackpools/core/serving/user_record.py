"""All data of a release about one user, and their encoding as a record of a key-value store.

A fill reads the data of its user from tables or from a key-value store, with the same content.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.pools.batch import bucket_of
from trackpools.core.pools.user_history import INTERACTION_COLUMNS

FORMAT = 1  # version of the format of records and of the data stored beside them; readers refuse others
KEY_BYTES = 16  # length of a record's key
SIZE_BYTES = 4  # length of the uncompressed size at the start of a record
CODEC = "zstd"
PROFILE = ("market", "explicit_policy", "birth_band", "declared_tags")  # columns of `users`
POOL = ("candidates", "profile", "as_of", "valid_until")  # columns of `pools`
PAST = ("recording_idx", *INTERACTION_COLUMNS)  # columns of `interactions`
VECTORS = ("user_factors", "user_vectors")
RECORD = ("idx", *PROFILE, "past", *POOL, *VECTORS)


@dataclass(frozen=True)
class UserRecord:
    """All data of a release about one user.

    Attributes:
        idx: the `user_idx`.
        profile: the columns PROFILE of the user's row of `users`; empty if there is no such row.
        interactions: Arrow table with the columns PAST, one row for each recording of the history.
        vectors: name of a table of VECTORS → the user's vector there, float32 [rank]; without the tables that
            do not hold the user.
        pool: the columns POOL of the pool in force; None if there is no pool or nobody asked for it.
        note: a remark on where the data were read from, for the user of the fill; '' for none.
    """

    idx: int
    profile: Mapping[str, Any]
    interactions: pa.Table
    vectors: Mapping[str, NDArray[np.float32]]
    pool: Mapping[str, Any] | None
    note: str = ""


def record_key(user_id: str) -> bytes:
    """Return the key of a user's record, the first KEY_BYTES of SHA-256, so that no key contains a raw id."""
    return hashlib.sha256(user_id.encode()).digest()[:KEY_BYTES]


def _key() -> Column:
    return F.unhex(F.substring(F.sha2("user_id", 256), 1, 2 * KEY_BYTES))


def records(frames: Mapping[str, DataFrame], buckets: int) -> DataFrame:
    """Return the records of all users as a frame, before they are encoded.

    Args:
        frames: name → table: user_ids, users, interactions, pools, and those of VECTORS that the release
            has.
        buckets: the number of buckets. A hash of `user_idx` assigns each user to one of them, as in the table
            `pools`.

    Returns:
        One row for each user of `user_ids`, with or without a pool: `bucket int, key binary` and the columns
        RECORD.
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


def encode_records(batch: pa.RecordBatch) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (bucket, key, encoded record) for every row of an Arrow batch of `records`.

    An encoded record is its uncompressed size (uint32, little-endian), followed by the row as an Arrow record
    batch compressed with zstd. The schema is the same for all records and is stored once; see
    `record_schema`.
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


def record_schema(batch: pa.RecordBatch) -> bytes:
    """Return the serialized Arrow schema of the records of a batch, for `decode_record`."""
    return bytes(batch.schema.empty_table().select(list(RECORD)).schema.serialize())


def decode_record(record: bytes, schema: pa.Schema) -> UserRecord:
    """Decode a record of `encode_records`.

    Args:
        record: the encoded record.
        schema: the Arrow schema from `record_schema`.

    Raises:
        pa.ArrowInvalid: if the bytes are not a record of this schema.
    """
    size = int.from_bytes(record[:SIZE_BYTES], "little")
    try:
        row = pa.ipc.read_record_batch(
            pa.decompress(record[SIZE_BYTES:], decompressed_size=size, codec=CODEC), schema
        )
    except OSError as error:  # the codec raises OSError for damaged bytes
        raise pa.ArrowInvalid(str(error)) from None
    past = row.column("past").flatten()
    told = row.select([name for name in RECORD if name != "past"]).to_pylist()[0]
    return UserRecord(
        idx=told["idx"],
        profile={name: told[name] for name in PROFILE},
        interactions=pa.Table.from_arrays(past.flatten(), names=[one.name for one in past.type]),
        vectors={name: np.array(told[name], np.float32) for name in VECTORS if told[name] is not None},
        pool=None if told["candidates"] is None else {name: told[name] for name in POOL},
    )
