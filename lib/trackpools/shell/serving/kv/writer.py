"""Write into a key-value store from Spark tasks: tables in chunks, and one record for each user."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from trackpools.config.fills import KvConfig
from trackpools.core.serving.user_record import encode_records, record_schema
from trackpools.shell.serving.kv import redis_client
from trackpools.shell.serving.kv.redis_client import Keys

# What the Spark tasks report: one row for each chunk of a table, or one row for each bucket of users. `bytes`
# is the size of all records of the bucket, and `sample` is the key of one of them.
CHUNKS = "chunk string, rows long"
BUCKETS = "bucket int, users long, bytes long, sample binary"


@dataclass(frozen=True)
class Target:
    """The place where Spark tasks write an export; each task reads the password from its environment.

    Attributes:
        config: the configuration of the key-value store.
        keys: builds the name of each key that the export writes.
        until: when the whole export expires, in seconds since 1970.
    """

    config: KvConfig
    keys: Keys
    until: int

    def chunks(self, table: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
        """Return a function for `mapInArrow` that writes a table, one chunk for each Arrow batch.

        It yields one row with the columns CHUNKS for each chunk. If a task is run again, it writes the same
        keys.
        """

        def write(batches: Iterator[Any]) -> Iterator[Any]:
            from pyspark import TaskContext

            client = redis_client.client(self.config, self.config.load_timeout_s)
            task = TaskContext.get()
            part = task.partitionId() if task else 0
            for number, batch in enumerate(batches):
                name, sink = f"{part}-{number}", pa.BufferOutputStream()
                with pa.ipc.new_stream(
                    sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
                ) as writer:
                    writer.write_batch(batch)
                client.set(self.keys.chunk(table, name), sink.getvalue().to_pybytes(), exat=self.until)
                yield pa.RecordBatch.from_pydict({"chunk": [name], "rows": [len(batch)]})

        return write

    def records(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write the records of Arrow batches, for `mapInArrow`.

        The rows must be sorted by bucket, and all rows of a bucket must be in one task. Once all records of a
        bucket are written and the bucket is marked as complete in the store, one row with the columns BUCKETS
        is yielded for it.
        """
        client = redis_client.client(self.config, self.config.load_timeout_s)
        for bucket, rows in groupby(self._encoded(client, batches), key=itemgetter(0)):
            yield self._bucket(client, bucket, rows)

    def _encoded(self, client: Any, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, bytes, bytes]]:
        """Encode all batches by `user_record.encode_records`; write the schema of the records first."""
        for number, batch in enumerate(batches):
            if number == 0:
                client.set(self.keys.schema, record_schema(batch), exat=self.until)
            yield from encode_records(batch)

    def _bucket(self, client: Any, bucket: int, rows: Iterator[tuple[int, bytes, bytes]]) -> Any:
        users, size, sample = 0, 0, b""
        pipe = client.pipeline(transaction=False)
        for users, (_, key, record) in enumerate(rows, 1):
            name = self.keys.record(key)
            pipe.set(name, record, exat=self.until)
            size, sample = size + len(record), sample or name
            if users % self.config.batch == 0:
                pipe.execute()
        pipe.execute()
        client.hset(self.keys.done, f"bucket:{bucket}", f"{users} {size}")
        columns = [
            pa.array([bucket], pa.int32()),
            pa.array([users], pa.int64()),
            pa.array([size], pa.int64()),
            pa.array([sample], pa.binary()),
        ]
        return pa.RecordBatch.from_arrays(columns, names=["bucket", "users", "bytes", "sample"])
