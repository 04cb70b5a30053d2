"""What tasks write into a key-value store: tables in chunks, and of every listener a record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from trackpools.config_kv import KvConfig
from trackpools.core.known import encoded, schema_of
from trackpools.shell import kv
from trackpools.shell.kv import Keys

CHUNKS = "chunk string, rows long, bytes long"
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
                with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
                    writer.write_batch(batch)
                value = sink.getvalue().to_pybytes()
                client.set(self.keys.chunk(table, name), value, exat=self.until)
                yield pa.RecordBatch.from_pydict({"chunk": [name], "rows": [len(batch)], "bytes": [len(value)]})

        return write

    def records(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Write records of batches that are sorted by bucket and have all of each; BUCKETS come out, each once all of it is written and noted as done."""
        client = kv.client(self.config, self.config.load_timeout_s)
        open_bucket = _Bucket(self, client, None)
        first = True
        for batch in batches:
            if first:
                client.set(self.keys.schema, schema_of(batch), exat=self.until)
                first = False
            for bucket, key, record in encoded(batch):
                if bucket != open_bucket.number:
                    yield from open_bucket.closed()
                    open_bucket = _Bucket(self, client, bucket)
                open_bucket.add(key, record)
        yield from open_bucket.closed()


class _Bucket:
    """The bucket that is being written."""

    def __init__(self, target: Target, client: Any, number: int | None) -> None:
        self.target, self.client, self.number = target, client, number
        self.users, self.size, self.sample = 0, 0, b""
        self.pipe = client.pipeline(transaction=False)

    def add(self, key: bytes, record: bytes) -> None:
        name = self.target.keys.record(key)
        self.pipe.set(name, record, exat=self.target.until)
        self.users, self.size, self.sample = self.users + 1, self.size + len(record), self.sample or name
        if self.users % self.target.config.batch == 0:
            self.pipe.execute()

    def closed(self) -> Iterator[Any]:
        if self.number is None:
            return
        self.pipe.execute()
        self.client.hset(self.target.keys.done, f"bucket:{self.number}", f"{self.users} {self.size}")
        yield pa.RecordBatch.from_arrays(
            [pa.array([self.number], pa.int32()), pa.array([self.users], pa.int64()), pa.array([self.size], pa.int64()), pa.array([self.sample], pa.binary())],
            names=["bucket", "users", "bytes", "sample"],
        )
