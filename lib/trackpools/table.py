"""What a table is: its grain, key, columns and how it may be written; and short ways to write columns."""

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
    """An array; Delta enforces no NOT NULL inside one, so none is promised."""
    return T.ArrayType(of)


def struct(**columns: T.DataType) -> T.StructType:
    """A struct of nullable fields in the order given."""
    return T.StructType([T.StructField(name, kind) for name, kind in columns.items()])


def col(name: str, kind: T.DataType, meaning: str) -> T.StructField:
    """A column; a name that ends in `!` is NOT NULL."""
    return T.StructField(name.rstrip("!"), kind, not name.endswith("!"), {"comment": meaning})


@dataclass(frozen=True)
class Table:
    """One Delta table: what a row is, what identifies it, and how it may be written.

    Attributes:
        mode: `merge` inserts rows whose key is new, `upsert` also updates, `overwrite` replaces the whole
            content in one commit, `replace_days` replaces the days that a run recomputes, `hot` takes the rows of a refresh,
            `append` those of playlists as they are filled.
        hashed: the columns of the content hash; run ids, versions and clocks are never among them.
        cluster_by: columns of liquid clustering; excludes `partitioned_by`.
        checks: name → SQL CHECK that Delta enforces on every write.
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

    @property
    def schema(self) -> T.StructType:
        return T.StructType(list(self.columns))

    @property
    def hashed(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.name not in self.unhashed)
