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
    "song": (np.int32, 1),
    "artist": (np.int32, 1),
    "album": (np.int32, 1),
    "listeners": (np.int32, 1),
    "released": (np.int32, 1),
    "tags": (np.int32, TAGS),
    "decade": (np.uint8, 1),
    "tempo": (np.uint8, 1),
    "group": (np.uint8, 1),
    "band": (np.uint8, 1),
    "marks": (np.uint8, 1),
    "sketch": (np.int8, AXES),
}
FACTS = (
    "recording_idx",
    "song",
    "artist",
    "album",
    "listeners",
    "released",
    "tags",
    "decade",
    "tempo_band",
    "tag_group",
    "popularity_band",
    "inflated",
    "functional",
    "sketch",
)
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
        tempo, group, band: uint8, tempo band, tag group and popularity band from 1; 0 is unknown.
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
    band: Array
    marks: Array
    sketch: Array

    def __len__(self) -> int:
        return len(self.song)

    @staticmethod
    def blank(size: int) -> "Shelf":
        """Of so many recordings that nobody knows."""
        made = {
            name: np.zeros((size, width) if width > 1 else size, kind)
            for name, (kind, width) in COLUMNS.items()
        }
        made |= {name: np.arange(size, dtype=np.int32) for name in OWN} | {
            "released": np.full(size, UNRELEASED, np.int32)
        }
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

    @staticmethod
    def of_table(facts: Any) -> "Shelf":
        """From an Arrow table of `recording_facts`."""
        idx = np.asarray(facts["recording_idx"], np.int64)
        made = Shelf.blank(int(idx.max(initial=-1)) + 1)
        for name, told in codes(facts).items():
            getattr(made, name)[idx] = told
        return made

    def at(self, recordings: Array) -> "Shelf":
        """The rows of these recordings; blank beyond the end of the shelf."""
        beyond = recordings >= len(self)
        if not beyond.any():
            return Shelf(**{f.name: getattr(self, f.name)[recordings] for f in fields(self)})
        known = (
            Shelf(**{f.name: getattr(self, f.name)[np.where(beyond, 0, recordings)] for f in fields(self)})
            if len(self)
            else Shelf.blank(len(recordings))
        )
        blank = Shelf.blank(len(recordings))
        for f in fields(self):
            getattr(known, f.name)[beyond] = getattr(blank, f.name)[beyond]
        for name in OWN:
            getattr(known, name)[beyond] = recordings[beyond]
        return known


def packed_shelf(facts: DataFrame) -> DataFrame:
    """One row `shelf array<struct<stripe, place, …>>` of `recording_facts`: a binary a column and stripe, each in the order of `place`."""
    stripe = F.floor(F.col("recording_idx") / STRIPE).cast("int").alias("stripe")
    schema = ", ".join(["stripe int", "place binary", *(f"{name} binary" for name in COLUMNS)])
    packed = facts.select(stripe, *FACTS).groupBy("stripe").applyInArrow(_pack, schema)
    return packed.groupBy().agg(
        F.array_sort(F.collect_list(F.struct("stripe", "place", *COLUMNS))).alias("shelf")
    )


def tag_code(tag: Column) -> Column:
    """A tag as a number above 0, int: its CRC-32, which needs no JVM either; two tags share one once in two billion."""
    return (F.pmod(F.crc32(tag), F.lit(MOST_TAGS)) + 1).cast("int")


def code_of_tag(tag: str) -> int:
    """The same, of one tag."""
    return zlib.crc32(tag.encode()) % MOST_TAGS + 1


def codes(facts: Any) -> dict[str, Array]:
    """The columns of COLUMNS from an Arrow table of `recording_facts`, in its order."""

    def numbers(name: str, blank: int) -> Any:
        if name not in facts.schema.names:  # of a release that was made before there was such a column
            return np.full(len(facts), blank)
        return np.asarray(facts[name].fill_null(blank), np.int64)

    decade = numbers("decade", 0)
    marks = (
        KNOWN
        + INFLATED * np.asarray(facts["inflated"].cast(pa.int8()))
        + FUNCTIONAL * np.asarray(facts["functional"].is_valid().cast(pa.int8()))
    )
    made = {name: np.asarray(facts[name]) for name in ("song", "artist", "album", "listeners")} | {
        "released": np.asarray(facts["released"].cast(pa.int32()).fill_null(UNRELEASED)),
        "tags": _tags(facts["tags"]),
        "decade": np.where((decade >= 1900) & (decade <= 2150), (decade - 1900) // 10 + 1, 0),
        "tempo": numbers("tempo_band", -1) + 1,
        "group": numbers("tag_group", 0),
        "band": numbers("popularity_band", -1) + 1,
        "marks": marks,
        "sketch": _sketches(facts["sketch"]),
    }
    return {name: made[name].astype(kind) for name, (kind, _) in COLUMNS.items()}


def _tags(column: Any) -> Array:
    """Codes [rows, TAGS] of lists of tags, 0 behind them."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    sizes = np.asarray(lists.value_lengths().fill_null(0), np.int64)
    told = lists.flatten().dictionary_encode()
    names = np.array([code_of_tag(tag) for tag in told.dictionary.to_pylist()], np.int32)
    row, place = (
        np.repeat(np.arange(len(sizes)), sizes),
        np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes),
    )
    made = np.zeros((len(sizes), TAGS), np.int32)
    some = place < TAGS
    made[row[some], place[some]] = names[np.asarray(told.indices)[some]]
    return made


def _sketches(column: Any) -> Array:
    known = np.asarray(column.is_valid())
    made = np.zeros((len(known), AXES), np.int8)
    made[known] = values(column.drop_null(), np.int8).reshape(-1, AXES)
    return made


def _pack(rows: Any) -> Any:
    made = {"place": np.asarray(rows["recording_idx"]) % STRIPE} | codes(rows)
    kinds = {"place": np.int32} | {name: kind for name, (kind, _) in COLUMNS.items()}
    return pa.table(
        {"stripe": rows["stripe"][:1]}
        | {name: pa.array([data.astype(kinds[name]).tobytes()], pa.binary()) for name, data in made.items()}
    )


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
            raise ValueError(
                "the first row of a task brought no shelf; nothing may move rows between with_shelf and mapInArrow"
            )
        return self._shelf
