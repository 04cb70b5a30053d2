"""Facts about all recordings, as arrays indexed by recording number."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.core.arrays.array_types import Int8Array, Int32Array, IntArray, Uint8Array
from trackpools.core.arrays.packing import unpack_values

TAGS = 4  # at most this many tags of a recording are kept, the first ones
AXES = 16  # numbers in a recording's sketch, its factors compressed by `recording_facts.sketches`
MAX_TAG_CODE = 2**31 - 1001  # greatest code of a tag; in `sources.chart_keys`, greater codes are decades
# The arrays of `RecordingTable`: NumPy type, and how many numbers each recording has in it.
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
# The columns of `recording_facts` that `encode_facts` reads, and `recording_idx`.
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
INFLATED, FUNCTIONAL, HAS_FACTS = 1, 2, 4  # bits of `marks`
OWN = ("song", "artist", "album")  # a recording without facts has its own number in these columns
UNKNOWN_DAY = -(2**31)  # value of `released` if the day of release is unknown


@dataclass(frozen=True)
class RecordingTable:
    """Facts about n recordings, as arrays of n rows; see `tables.RECORDING_FACTS`.

    In a complete table, the row number is the `recording_idx`. `rows_of` returns a table of selected rows.

    Attributes:
        song, artist, album: int32 [n], the number of the recording that stands for the song, artist or album;
            for a recording without facts, its own number.
        listeners: int32 [n], number of listeners; 0 if the recording has no facts.
        released: int32 [n], day of release, in days since 1970-01-01, or UNKNOWN_DAY.
        tags: int32 [n, 4], codes of the recording's first tags (see `tag_code`), then zeros.
        decade: uint8 [n], 1 for the 1900s, 13 for the 2020s; 0 if it is unknown or not from 1900 to 2150.
        tempo, band: uint8 [n], `tempo_band` + 1 and `popularity_band` + 1; 0 where that column is null.
        group: uint8 [n], `tag_group`, which starts at 1; 0 where it is null.
        marks: uint8 [n], the sum of those of INFLATED, FUNCTIONAL and HAS_FACTS that apply.
        sketch: int8 [n, 16], the recording's factors, compressed (see `recording_facts.sketches`); zeros if
            the recording has no factors.
    """

    song: Int32Array
    artist: Int32Array
    album: Int32Array
    listeners: Int32Array
    released: Int32Array
    tags: Int32Array
    decade: Uint8Array
    tempo: Uint8Array
    group: Uint8Array
    band: Uint8Array
    marks: Uint8Array
    sketch: Int8Array

    def __len__(self) -> int:
        return len(self.song)

    @staticmethod
    def blank(size: int) -> "RecordingTable":
        """Return a table of the recordings 0 to `size` − 1 without facts."""
        made = {
            name: np.zeros((size, width) if width > 1 else size, kind)
            for name, (kind, width) in COLUMNS.items()
        }
        made |= {name: np.arange(size, dtype=np.int32) for name in OWN} | {
            "released": np.full(size, UNKNOWN_DAY, np.int32)
        }
        return RecordingTable(**made)

    @staticmethod
    def from_arrow(facts: pa.Table) -> "RecordingTable":
        """Read an Arrow table with rows of `recording_facts`, in any order, into a complete table."""
        idx = np.asarray(facts["recording_idx"], np.int64)
        made = RecordingTable.blank(int(idx.max(initial=-1)) + 1)
        for name, told in encode_facts(facts).items():
            getattr(made, name)[idx] = told
        return made

    def rows_of(self, recordings: IntArray) -> "RecordingTable":
        """Return the rows of these recordings, in their order.

        A recording beyond the end of the table gets a row without facts.
        """
        beyond = recordings >= len(self)
        if not beyond.any():
            return RecordingTable(**{f.name: getattr(self, f.name)[recordings] for f in fields(self)})
        known = (
            RecordingTable(
                **{f.name: getattr(self, f.name)[np.where(beyond, 0, recordings)] for f in fields(self)}
            )
            if len(self)
            else RecordingTable.blank(len(recordings))
        )
        blank = RecordingTable.blank(len(recordings))
        for f in fields(self):
            getattr(known, f.name)[beyond] = getattr(blank, f.name)[beyond]
        for name in OWN:
            getattr(known, name)[beyond] = recordings[beyond]
        return known


def tag_code(tag: Column) -> Column:
    """Return the column of the codes of a column of tags: int, from 1 to MAX_TAG_CODE.

    The code is derived from the CRC-32 of the tag, because Python can compute the same without a JVM
    (`code_of_tag`). Two given tags have the same code with a probability of about one in two billion.
    """
    return (F.pmod(F.crc32(tag), F.lit(MAX_TAG_CODE)) + 1).cast("int")


def code_of_tag(tag: str) -> int:
    """Return the code that `tag_code` computes in Spark, for one tag in Python."""
    return zlib.crc32(tag.encode()) % MAX_TAG_CODE + 1


def encode_facts(facts: pa.Table) -> dict[str, NDArray[Any]]:
    """Return the arrays of `COLUMNS`, with one row for each row of an Arrow table of `recording_facts`."""

    def numbers(name: str, blank: int) -> Any:
        if name not in facts.schema.names:  # a release that is older than this column does not have it
            return np.full(len(facts), blank)
        return np.asarray(facts[name].fill_null(blank), np.int64)

    decade = numbers("decade", 0)
    marks = (
        HAS_FACTS
        + INFLATED * np.asarray(facts["inflated"].cast(pa.int8()))
        + FUNCTIONAL * np.asarray(facts["functional"].is_valid().cast(pa.int8()))
    )
    made = {name: np.asarray(facts[name]) for name in ("song", "artist", "album", "listeners")} | {
        "released": np.asarray(facts["released"].cast(pa.int32()).fill_null(UNKNOWN_DAY)),
        "tags": _tags(facts["tags"]),
        "decade": np.where((decade >= 1900) & (decade <= 2150), (decade - 1900) // 10 + 1, 0),
        "tempo": numbers("tempo_band", -1) + 1,
        "group": numbers("tag_group", 0),
        "band": numbers("popularity_band", -1) + 1,
        "marks": marks,
        "sketch": _sketches(facts["sketch"]),
    }
    return {name: made[name].astype(kind) for name, (kind, _) in COLUMNS.items()}


def _tags(column: pa.Array | pa.ChunkedArray) -> Int32Array:
    """Return the codes of the first tags of each list, then zeros: int32 [rows, TAGS]."""
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


def _sketches(column: pa.Array | pa.ChunkedArray) -> Int8Array:
    known = np.asarray(column.is_valid())
    made = np.zeros((len(known), AXES), np.int8)
    made[known] = unpack_values(column.drop_null(), np.int8).reshape(-1, AXES)
    return made
