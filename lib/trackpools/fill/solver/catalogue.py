"""The catalogue of a market as arrays, and which of its tracks pass a filter for a user.

Row i of every array belongs to the same recording; n is the number of rows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from trackpools.core.arrays.array_types import BoolArray, Float32Array, Float64Array, Int64Array, IntArray
from trackpools.core.sources.user_block import NO_DAY
from trackpools.fill.contract.constraints import MAX_NAME_CHARS, Band, Filter
from trackpools.fill.contract.normalise import Words, plain

BEHIND = re.compile(r"\s*(?:[(\[].*|\s-\s.*)$")  # an addition to a title: "(Live at …)", "- 2011 Remaster"
# name of a number in filters → column of `track_cards`
NUMBERS = {"years": "original_year", "seconds": "duration_ms"} | {
    name: name for name in ("tempo", "energy", "popularity", "artist_rank")
}
CARDS = (
    "recording_idx",
    "track_id",
    "clean_track_id",
    "recording_id",
    "title",
    "artist_ids",
    "artist_names",
    "language",
    "version_kind",
    "tags",
    *NUMBERS.values(),
)


@dataclass(frozen=True)
class NameIndex:
    """An index from names, for example tags, to the rows that have them.

    Attributes:
        code: name, normalised by `plain` → its code, from 0.
        ends: int64 [names + 1]; the rows that have the name of code c are `rows[ends[c]:ends[c + 1]]`.
        rows: int64, rows ordered by code; a row with several names occurs once for each.
        has_name: bool [n], whether the row has any name.
    """

    code: Mapping[str, int]
    ends: Int64Array
    rows: Int64Array
    has_name: BoolArray

    @staticmethod
    def of(column: pa.Array | pa.ChunkedArray) -> "NameIndex":
        """Build the index of an Arrow column of names, or of lists of names."""
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if pa.types.is_list(whole.type):
            sizes = np.asarray(whole.value_lengths().fill_null(0), np.int64)
            row, flat = np.repeat(np.arange(len(sizes)), sizes), whole.flatten()
        else:
            row, flat = np.arange(len(whole)), whole
        told = flat.dictionary_encode()
        codes = np.asarray(told.indices.fill_null(-1), np.int64)
        names: dict[str, int] = {}
        same = np.array(
            [names.setdefault(plain(name), len(names)) for name in told.dictionary.to_pylist()] or [0],
            np.int64,
        )
        row, codes = row[codes >= 0], same[codes[codes >= 0]]
        order = np.argsort(codes, kind="stable")
        known = np.zeros(len(whole), bool)
        known[row] = True
        return NameIndex(names, np.searchsorted(codes[order], np.arange(len(names) + 1)), row[order], known)

    def rows_with(self, wanted: Iterable[str]) -> BoolArray:
        """Return which rows have any of the names, bool [n]; `plain` normalises the spelling of both."""
        found = np.zeros(len(self.has_name), bool)
        for name in wanted:
            code = self.code.get(plain(name))
            if code is not None:
                found[self.rows[self.ends[code] : self.ends[code + 1]]] = True
        return found


@dataclass(frozen=True)
class Tracks:
    """The catalogue of a market: one row for each recording, ascending by recording number.

    Attributes:
        recording: int64 [n], recording numbers.
        number: name in NUMBERS → float64 [n]; NaN if unknown. `seconds` is in seconds, not in milliseconds as
            in the cards.
        artist: int64 [n], equal for recordings of the same artist; a recording of an unknown artist has a
            value of its own.
        album: int64 [n], likewise for albums.
        song: int64 [n], equal for versions of a song: recordings of the same artist whose titles differ only
            in an addition such as "(Live)".
        clean: bool [n], whether a version without explicit words may be played.
        names: `artists`, `tags`, `languages`, `versions` or `titles` → its index.
        cards: the Arrow table of the columns CARDS, in the same order of rows.
    """

    recording: Int64Array
    number: Mapping[str, Float64Array]
    artist: Int64Array
    album: Int64Array
    song: Int64Array
    clean: BoolArray
    names: Mapping[str, NameIndex]
    cards: pa.Table
    _aligned: dict[int, tuple[IntArray, Int64Array, Int64Array]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.recording)

    @staticmethod
    def of(cards: pa.Table, artist: IntArray, album: IntArray) -> "Tracks":
        """Build the arrays from an Arrow table of one market's `track_cards`.

        Args:
            cards: the cards, with at least the columns CARDS.
            artist: int array indexed by `recording_idx`, the column `artist` of `recording_facts`; a
                recording beyond the end of the array gets a value of its own.
            album: likewise, the column `album`.
        """
        rows = cards.select(list(CARDS)).sort_by("recording_idx").combine_chunks()
        idx = np.asarray(rows["recording_idx"], np.int64)
        # 0.7 as a float32 is less than 0.7 as a float64; rounding to six digits makes them equal again
        number = {
            name: np.asarray(rows[column].cast(pa.float64()).fill_null(np.nan), np.float64).round(6)
            for name, column in NUMBERS.items()
        }
        names = {
            "artists": rows["artist_names"],
            "tags": rows["tags"],
            "languages": rows["language"],
            "versions": rows["version_kind"],
        }
        names["titles"] = rows["title"]
        own = [
            np.where(idx < len(by), by[np.minimum(idx, max(len(by) - 1, 0))] if len(by) else idx, idx)
            for by in (artist, album)
        ]
        return Tracks(
            idx,
            number | {"seconds": number["seconds"] / 1000},
            own[0],
            own[1],
            _songs(rows["title"], own[0], idx),
            np.asarray(rows["clean_track_id"].is_valid()).astype(bool),
            {name: NameIndex.of(column) for name, column in names.items()},
            rows,
        )

    @cached_property
    def words(self) -> Words:
        """The names of artists, tags and languages that prompts may use."""
        return Words(
            *(
                frozenset(one for one in self.names[name].code if 0 < len(one) <= MAX_NAME_CHARS)
                for name in ("artists", "tags", "languages")
            )
        )

    @cached_property
    def fame(self) -> Float32Array:
        """Popularity, float32 [n]; 0 where it is unknown."""
        return np.nan_to_num(self.number["popularity"]).astype(np.float32)

    def aligned(self, recordings: IntArray) -> tuple[Int64Array, Int64Array]:
        """Return the rows of those recordings that the catalogue has, and their places in `recordings`.

        The result is cached by the identity of the array `recordings`. So pass only arrays that live as long
        as a release, because the cache keeps them.
        """
        key = id(recordings)
        if key not in self._aligned:
            at, there = self.rows(recordings.astype(np.int64))
            self._aligned[key] = (
                recordings,
                at,
                np.flatnonzero(there),
            )  # the cache also keeps the array itself, so that no other array can get the same id
        return self._aligned[key][1:]

    def rows(self, recordings: IntArray) -> tuple[Int64Array, BoolArray]:
        """Return the rows of those recordings that the catalogue has, and which these are, as bool."""
        at = np.minimum(np.searchsorted(self.recording, recordings), max(len(self) - 1, 0))
        there = self.recording[at] == recordings if len(self) else np.zeros(len(recordings), bool)
        return at[there], there


@dataclass(frozen=True)
class Listener:
    """The data of a user that filters need.

    The first four attributes have one entry for each recording of the user's history.

    Attributes:
        recording: int64, the recording numbers, ascending.
        plays: int, the number of plays of each recording.
        last_day: int, the day of the last play in days since 1970, or NO_DAY.
        heard: bool, whether each recording counts as heard.
        today: the present day, in days since 1970.
        top: window in days (28 and 180) → names of the artists that the user heard most in it, most heard
            first.
    """

    recording: Int64Array
    plays: IntArray
    last_day: IntArray
    heard: BoolArray
    today: int
    top: Mapping[int, tuple[str, ...]]

    def favourites(self, tracks: Tracks, count: int, days: int | None) -> BoolArray:
        """Return which rows are by one of the user's `count` most heard artists, bool [len(tracks)].

        If a window of `top` is at least `days` long and has at least `count` artists, its artists are used
        (of several such windows, those of the shortest). Otherwise, the plays of all recordings that were
        heard within the last `days` are summed by artist. A recording then counts with all its plays, also
        earlier ones, because only their sum and the day of the last play are known.

        Args:
            tracks: the catalogue of the user's market.
            count: the number of artists.
            days: how many days to look back; None counts all plays.
        """
        for window, names in sorted(self.top.items()):
            if days is not None and days <= window and count <= len(names):
                return tracks.names["artists"].rows_with(names[:count])
        inside = (
            self.heard
            if days is None
            else self.heard & (self.last_day != NO_DAY) & (self.today - self.last_day < days)
        )
        at, there = tracks.rows(self.recording[inside])
        artists, place = np.unique(tracks.artist[at], return_inverse=True)
        plays = np.bincount(place, self.plays[inside][there], len(artists))
        best = artists[np.lexsort((artists, -plays))[:count]]
        return np.isin(tracks.artist, best)


def _songs(titles: pa.Array | pa.ChunkedArray, artist: Int64Array, idx: Int64Array) -> Int64Array:
    """Return for each recording the least number of a recording of the same artist and title, int64 [n].

    Text in brackets or behind a dash after a title is ignored. A recording without a title has its own
    number.
    """
    told = (
        titles.combine_chunks().dictionary_encode()
        if isinstance(titles, pa.ChunkedArray)
        else titles.dictionary_encode()
    )
    bases: dict[str, int] = {}
    base = np.array(
        [bases.setdefault(plain(BEHIND.sub("", title)), len(bases)) for title in told.dictionary.to_pylist()]
        or [0],
        np.int64,
    )
    code = np.where(
        np.asarray(told.indices.is_valid()).astype(bool),
        base[np.asarray(told.indices.fill_null(0), np.int64)],
        -1,
    )
    nameless = (code < 0) | (code == bases.get("", -2))
    order = np.lexsort((idx, code, artist))
    first = (
        np.append(True, (artist[order][1:] != artist[order][:-1]) | (code[order][1:] != code[order][:-1]))
        if len(order)
        else np.empty(0, bool)
    )
    made = np.empty(len(idx), np.int64)
    made[order] = idx[order][np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    return np.where(nameless, idx, made)


def filter_results(
    tracks: Tracks, wanted: Filter, listener: Listener
) -> dict[str, tuple[BoolArray, BoolArray]]:
    """Judge every row by each condition of a filter.

    Returns:
        Name of the condition → two bool [n]: which rows pass it, and for which rows the fact in question
        (such as the year) is unknown. A row with an unknown fact never passes.
    """
    made: dict[str, tuple[BoolArray, BoolArray]] = {}
    everyone = np.ones(len(tracks), bool)
    for name in wanted.set_fields:
        told = getattr(wanted, name)
        if name in {"artists", "tags", "languages"}:
            made[name] = (tracks.names[name].rows_with(told), ~tracks.names[name].has_name)
        elif name.startswith("no_") and name != "no_years":
            of = tracks.names[name.removeprefix("no_")]
            made[name] = (of.has_name & ~of.rows_with(told), ~of.has_name)
        elif name in {"years", "no_years"}:
            year = tracks.number["years"]
            made[name] = (_within(year, told, none=name == "no_years"), np.isnan(year))
        elif name in NUMBERS:
            made[name] = (_within(tracks.number[name], (told,)), np.isnan(tracks.number[name]))
        elif name == "top":
            made[name] = (
                listener.favourites(tracks, told.count, told.days),
                ~tracks.names["artists"].has_name,
            )
        elif name == "clean":
            made[name] = (tracks.clean, ~everyone)
        elif name == "artist_heard":
            known = np.isin(tracks.artist, tracks.artist[_heard_condition(tracks, listener, "heard", True)])
            made[name] = (known if told else ~known, ~everyone)
        else:
            made[name] = (_heard_condition(tracks, listener, name, told), ~everyone)
    return made


def rows_passing(tracks: Tracks, wanted: Filter, listener: Listener) -> BoolArray:
    """Return which rows pass every condition of a filter, bool [len(tracks)]."""
    made = np.ones(len(tracks), bool)
    for passes, _ in filter_results(tracks, wanted, listener).values():
        made &= passes
    return made


def _within(numbers: Float64Array, bands: tuple[Band, ...], *, none: bool = False) -> BoolArray:
    found = np.zeros(len(numbers), bool)
    for band in bands:
        found |= (numbers >= (-np.inf if band.low is None else band.low)) & (
            numbers <= (np.inf if band.high is None else band.high)
        )
    return ~np.isnan(numbers) & (~found if none else found)


def _heard_condition(tracks: Tracks, listener: Listener, name: str, told: Any) -> BoolArray:
    """Return which rows pass the condition `name`, bool [len(tracks)].

    `heard` passes the rows that the user has heard if `told` is true, and the other rows if it is false.
    `quiet_days` passes the rows that the user has not heard in the last `told` days. A play without a day may
    have been yesterday, so it counts as within these days.
    """
    matters = listener.heard
    if name == "quiet_days":
        matters = matters & ((listener.last_day == NO_DAY) | (listener.today - listener.last_day < told))
    at, _ = tracks.rows(listener.recording[matters])
    met = np.zeros(len(tracks), bool)
    met[at] = True
    return met if name == "heard" and told else ~met
