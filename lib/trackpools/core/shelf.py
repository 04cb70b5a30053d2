"""The shelf: what tasks look up of any recording, as arrays by its number; it reaches every task once, with the first row it reads."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.packing import values

STRIPE = 65_536  # recordings of a binary; nothing depends on it
TAGS = 4  # tags that a recording is told apart by
AXES = 16  # of its sketch
MOST_TAGS = 2**31 - 1001  # what is above is for other charts, see sources/keys.py
Array = NDArray[Any]
# numbers a recording: type, and how many
COLUMNS: Mapping[str, tuple[Any, int]] = {
    "song": (np.int32, 1), "artist": (np.int32, 1), "album": (np.int32, 1), "listeners": (np.int32, 1), "released": (np.int32, 1), "tags": (np.int32, TAGS),
    "decade": (np.uint8, 1), "tempo": (np.uint8, 1), "group": (np.uint8, 1), "marks": (np.uint8, 1), "sketch": (np.int8, AXES),
}
INFLATED, FUNCTIONAL, KNOWN = 1, 2, 4  # marks
OWN = ("song", "artist", "album")  # of a recording that nobody knows: its own number
UNRELEASED = -(2**31)  # day of release that nobody knows


@dataclass(frozen=True)
class Shelf:
    """Facts of recordings, a row each by recording_idx: see `tables.RECORDING_FACTS`.

    Attributes:
        song, artist, album, listeners: int32; of a recording that nobody knows its own number, and no listeners.
        released: int32, days since 1970, or UNRELEASED.
        tags: int32 [n, 4], hashes above 0; 0 where it has no more.
        decade: uint8, 1 for the 1900s, 13 for the 2020s; 0 is unknown.
        tempo, group: uint8, tempo band and tag group from 1; 0 is unknown.
        marks: uint8, bitmap of INFLATED, FUNCTIONAL and KNOWN.
        sketch: int8 [n, 16], zeros where it has no factors.
    """

    song: Array
    artist: Array
    album: Array
    listeners: Array
    released: Array
    tags: Array
    decade: Array
    tempo: Array
    group: Array
    marks: Array
    sketch: Array

    def __len__(self) -> int:
        return len(self.song)

    @staticmethod
    def blank(size: int) -> "Shelf":
        """Of so many recordings that nobody knows."""
        made = {name: np.zeros((size, width) if width > 1 else size, kind) for name, (kind, width) in COLUMNS.items()}
        made |= {name: np.arange(size, dtype=np.int32) for name in OWN} | {"released": np.full(size, UNRELEASED, np.int32)}
        return Shelf(**made)

    @staticmethod
    def of(stripes: Any) -> "Shelf":
        """From an Arrow array `struct<stripe int, places binary, …>` of `packed_shelf`."""
        numbers = np.asarray(stripes.field("stripe")) if len(stripes) else np.empty(0, np.int32)
        made = Shelf.blank((int(numbers.max()) + 1) * STRIPE if len(numbers) else 0)
        for row, number in enumerate(numbers):
            at = number * STRIPE + values(stripes.field("place").slice(row, 1), np.int32)
            for name, (kind, width) in COLUMNS.items():
                told = values(stripes.field(name).slice(row, 1), kind)
                getattr(made, name)[at] = told.reshape(-1, width) if width > 1 else told
        return made

    def at(self, recordings: Array) -> "Shelf":
        """The rows of these recordings; blank beyond the end of the shelf."""
        beyond = recordings >= len(self)
        if not beyond.any():
            return Shelf(**{f.name: getattr(self, f.name)[recordings] for f in fields(self)})
        known = Shelf(**{f.name: getattr(self, f.name)[np.where(beyond, 0, recordings)] for f in fields(self)}) if len(self) else Shelf.blank(len(recordings))
        blank = Shelf.blank(len(recordings))
        for f in fields(self):
            getattr(known, f.name)[beyond] = getattr(blank, f.name)[beyond]
        for name in OWN:
            getattr(known, name)[beyond] = recordings[beyond]
        return known


def packed_shelf(facts: DataFrame) -> DataFrame:
    """One row `shelf array<struct<stripe, place, …>>` of `recording_facts`: a binary a column and stripe, each in the order of `place`."""
    stripe = F.floor(F.col("recording_idx") / STRIPE).cast("int").alias("stripe")
    rows = facts.select(stripe, F.pmod("recording_idx", F.lit(STRIPE)).cast("int").alias("place"), *codes())
    schema = ", ".join(["stripe int", "place binary", *(f"{name} binary" for name in COLUMNS)])
    packed = rows.groupBy("stripe").applyInArrow(_pack, schema)
    return packed.groupBy().agg(F.array_sort(F.collect_list(F.struct("stripe", "place", *COLUMNS))).alias("shelf"))


def tag_code(tag: Column) -> Column:
    """A tag as a number above 0, int: its CRC-32, which needs no JVM either; two tags share one once in two billion."""
    return (F.pmod(F.crc32(tag), F.lit(MOST_TAGS)) + 1).cast("int")


def code_of_tag(tag: str) -> int:
    """The same, of one tag."""
    return zlib.crc32(tag.encode()) % MOST_TAGS + 1


def codes() -> list[Column]:
    """The columns of COLUMNS from those of `recording_facts`; `tags` and `sketch` as binary."""
    marks = (
        F.lit(KNOWN) + F.when(F.col("inflated"), INFLATED).otherwise(0) + F.when(F.col("functional").isNotNull(), FUNCTIONAL).otherwise(0)
    )
    decade = F.when(F.col("decade").between(1900, 2150), F.floor((F.col("decade") - 1900) / 10) + 1).otherwise(0)
    padded = F.slice(F.concat(F.transform(F.coalesce("tags", F.array().cast("array<string>")), tag_code), F.array_repeat(F.lit(0), TAGS)), 1, TAGS)
    return [
        *(F.col(name) for name in ("song", "artist", "album", "listeners")),
        F.coalesce(F.unix_date("released"), F.lit(UNRELEASED)).alias("released"), padded.alias("tags"),
        decade.cast("short").alias("decade"), (F.coalesce("tempo_band", F.lit(-1)) + 1).cast("short").alias("tempo"),
        F.coalesce("tag_group", F.lit(0)).cast("short").alias("group"), marks.cast("short").alias("marks"), F.col("sketch"),
    ]


def _pack(rows: Any) -> Any:
    made = {"stripe": rows["stripe"][:1], "place": pa.array([np.asarray(rows["place"], np.int32).tobytes()], pa.binary())}
    for name, (kind, width) in COLUMNS.items():
        column = rows[name].combine_chunks()
        if name == "sketch":
            data = b"".join(one.as_py() or bytes(AXES) for one in column)
        else:
            data = np.asarray(column.flatten() if width > 1 else column, kind).tobytes()
        made[name] = pa.array([data], pa.binary())
    return pa.table(made)


def with_shelf(rows: DataFrame, shelf: DataFrame) -> DataFrame:
    """The rows with `shelf`, of `packed_shelf`: filled in the first row of every partition and null in all others.

    What comes next must read partitions as they are: a task keeps the shelf of its first row, see `Reader`.
    """
    place = F.monotonically_increasing_id().bitwiseAND(F.lit(2**33 - 1))  # the row's number in its partition
    lead = F.when(place == 0, F.lit(0)).alias("_lead")
    one = shelf.select("shelf", F.lit(0).alias("_lead"))
    return rows.select("*", lead).join(F.broadcast(one), "_lead", "left").drop("_lead")


class Reader:
    """The shelf of a task: that of the first row it was shown."""

    def __init__(self) -> None:
        self._shelf: Shelf | None = None

    def of(self, row: Any) -> Shelf:
        """The shelf, given a batch of one row with the column `shelf`.

        Raises:
            ValueError: where the first row has none: rows were moved after `with_shelf`.
        """
        told = row["shelf"]
        if told.null_count == 0:
            self._shelf = Shelf.of(told.flatten())
        if self._shelf is None:
            raise ValueError("the first row of a task brought no shelf; nothing may move rows between with_shelf and mapInArrow")
        return self._shelf
