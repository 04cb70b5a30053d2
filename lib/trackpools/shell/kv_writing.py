"""What tasks write into a key-value store: tables in chunks, and of every listener a record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from trackpools.config_kv import KvConfig
from trackpools.core.known import encoded, schema_of
from trackpools.shell import kv
from trackpools.shell.kv import Keys

CHUNKS = "chunk string, rows long"
BUCKETS = "bucket int, users long, bytes long, sample binary"


@dataclass(frozen=True)
class Target:
    """Where an export goes, for tasks: the password is looked up where they run.

    Attributes:
        until: when all of it expires, seconds since 1970.
    """

    config: KvConfig
    keys: Keys
    until: int

    def chunks(self, table: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
        """Write a table, a chunk an Arrow batch; CHUNKS of it come out. A task that is run again writes the same keys."""

        def write(batches: Iterator[Any]) -> Iterator[Any]:
            from pyspark import TaskContext

            client = kv.client(self.config, self.config.load_timeout_s)
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

    def records(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Write records of batches that are sorted by bucket and have all of each; BUCKETS come out, each once all of it is written and noted as done."""
        client = kv.client(self.config, self.config.load_timeout_s)
        for bucket, rows in groupby(self._encoded(client, batches), key=itemgetter(0)):
            yield self._bucket(client, bucket, rows)

    def _encoded(self, client: Any, batches: Iterator[Any]) -> Iterator[tuple[int, bytes, bytes]]:
        """`known.encoded` of all batches; their schema is kept on the way."""
        for number, batch in enumerate(batches):
            if number == 0:
                client.set(self.keys.schema, schema_of(batch), exat=self.until)
            yield from encoded(batch)

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
