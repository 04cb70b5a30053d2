"""The class `Table`, which declares one Delta table, and helpers that declare columns and their types."""

from dataclasses import dataclass, field
from typing import Literal

from pyspark.sql import types as T

STRING, INT, LONG, SHORT, BYTE = T.StringType(), T.IntegerType(), T.LongType(), T.ShortType(), T.ByteType()
FLOAT, DOUBLE, BOOL, DATE, TIME, BINARY = (
    T.FloatType(),
    T.DoubleType(),
    T.BooleanType(),
    T.DateType(),
    T.TimestampType(),
    T.BinaryType(),
)


def array(of: T.DataType) -> T.ArrayType:
    """Return an array type whose elements may be null; Delta cannot enforce NOT NULL inside an array."""
    return T.ArrayType(of)


def struct(**columns: T.DataType) -> T.StructType:
    """Return a struct type of nullable fields, in the order given."""
    return T.StructType([T.StructField(name, kind) for name, kind in columns.items()])


def col(name: str, kind: T.DataType, meaning: str) -> T.StructField:
    """Return a column with a comment; `!` at the end of `name` is removed and makes the column NOT NULL."""
    return T.StructField(name.rstrip("!"), kind, not name.endswith("!"), {"comment": meaning})


@dataclass(frozen=True)
class Table:
    """The declaration of one Delta table: what a row is, what identifies a row, and how rows are written.

    Attributes:
        name: the name of the table in the catalog, or of its folder under the root.
        grain: what one row is, in words.
        key: the columns that identify a row.
        mode: how rows are written. `merge` inserts the rows whose key is new; `upsert` does so too, and also
            updates the rows that changed. `overwrite` replaces the whole content in one commit.
            `replace_days` replaces the days that a run recomputes. `hot` is for overlays, to which each
            refresh adds its rows. `append` is for tables to which each filled playlist adds its rows.
        columns: the columns with type and comment.
        unhashed: the columns that are not part of the content hash. In a table of a release, these hold run
            ids, versions and times of the run, so that equal content has equal hashes.
        partitioned_by: the columns whose values divide the data files into partitions.
        cluster_by: the columns of liquid clustering; a table has these or `partitioned_by`, not both.
        checks: name → condition in SQL that Delta enforces on every write.
        properties: further properties of the Delta table, such as its change feed.
        number: the column that holds the number of each key; None if the table does not number its keys. A
            write that would give a number of one key to another key raises `NumberTakenError` and writes
            nothing.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    mode: Literal["merge", "upsert", "overwrite", "replace_days", "hot", "append"]
    columns: tuple[T.StructField, ...]
    unhashed: tuple[str, ...] = ()
    partitioned_by: tuple[str, ...] = ()
    cluster_by: tuple[str, ...] = ()
    checks: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    number: str | None = None

    @property
    def schema(self) -> T.StructType:
        """The columns as a Spark schema."""
        return T.StructType(list(self.columns))

    @property
    def hashed(self) -> tuple[str, ...]:
        """The names of the columns in the content hash: all that are not in `unhashed`."""
        return tuple(c.name for c in self.columns if c.name not in self.unhashed)
