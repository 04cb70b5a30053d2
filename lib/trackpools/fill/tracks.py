"""A catalogue as arrays, and which of its tracks pass a filter for a listener."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trackpools.core.sources.listeners import NEVER
from trackpools.fill.constraints import MOST_LETTERS, Band, Filter
from trackpools.fill.words import Words, plain

BEHIND = re.compile(r"\s*(?:[(\[].*|\s-\s.*)$")  # "(Live at …)", "- 2011 Remaster"
Array = NDArray[Any]
Flags = NDArray[np.bool_]
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
class Names:
    """Which rows carry a name: `rows[ends[c]:ends[c + 1]]` of code c; `known` of which rows anything is told."""

    code: Mapping[str, int]
    ends: Array
    rows: Array
    known: Flags

    @staticmethod
    def of(column: Any) -> "Names":
        """Of a column of names, or of lists of them."""
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
        return Names(names, np.searchsorted(codes[order], np.arange(len(names) + 1)), row[order], known)

    def having(self, wanted: Iterable[str]) -> Flags:
        """Rows with any of the names, however they are written."""
        found = np.zeros(len(self.known), bool)
        for name in wanted:
            code = self.code.get(plain(name))
            if code is not None:
                found[self.rows[self.ends[code] : self.ends[code + 1]]] = True
        return found


@dataclass(frozen=True)
class Tracks:
    """The recordings of a market, ascending by number.

    Attributes:
        recording: int64.
        number: by NUMBERS, float64; NaN is unknown; lengths in seconds.
        artist, album, song: int64 [n], equal for the same; of what is unknown its own. Versions of a song differ in what follows its title, as "(Live)".
        clean: whether a version without explicit words may be played.
        names: artists, tags, languages, versions and titles.
        cards: the Arrow table of CARDS, in this order.
    """

    recording: Array
    number: Mapping[str, Array]
    artist: Array
    album: Array
    song: Array
    clean: Flags
    names: Mapping[str, Names]
    cards: Any
    _aligned: dict[int, tuple[Any, Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.recording)

    @staticmethod
    def of(cards: Any, artist: Array, album: Array) -> "Tracks":
        """From an Arrow table of one market's `track_cards`.

        Args:
            artist, album: by recording_idx, as `recording_facts` has them; what is beyond their end is its own.
        """
        rows = cards.select(list(CARDS)).sort_by("recording_idx").combine_chunks()
        idx = np.asarray(rows["recording_idx"], np.int64)
        # a float32 of 0.7 is below 0.7: six digits are what was meant
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
            {name: Names.of(column) for name, column in names.items()},
            rows,
        )

    @cached_property
    def words(self) -> Words:
        """The names that prompts may use."""
        return Words(
            *(
                frozenset(one for one in self.names[name].code if 0 < len(one) <= MOST_LETTERS)
                for name in ("artists", "tags", "languages")
            )
        )

    @cached_property
    def fame(self) -> Array:
        """Popularity, float32; 0 where it is unknown."""
        return np.nan_to_num(self.number["popularity"]).astype(np.float32)

    def aligned(self, recordings: Array) -> tuple[Array, Array]:
        """Rows of recordings, and their places among these; kept, for arrays that stay as long as a release does."""
        key = id(recordings)
        if key not in self._aligned:
            at, there = self.rows(recordings.astype(np.int64))
            self._aligned[key] = (
                recordings,
                at,
                np.flatnonzero(there),
            )  # the array too, so that nobody else gets its id
        return self._aligned[key][1:]

    def rows(self, recordings: Array) -> tuple[Array, Array]:
        """Where recordings stand, and which of them do."""
        at = np.minimum(np.searchsorted(self.recording, recordings), max(len(self) - 1, 0))
        there = self.recording[at] == recordings if len(self) else np.zeros(len(recordings), bool)
        return at[there], there


@dataclass(frozen=True)
class Listener:
    """What a filter asks of who listens.

    Attributes:
        recording: int64, what was met, ascending; `plays`, `last_day` (days since 1970 or NEVER) and `heard` of each.
        today: days since 1970.
        top: names of the artists most heard in 28 and in 180 days.
    """

    recording: Array
    plays: Array
    last_day: Array
    heard: Flags
    today: int
    top: Mapping[int, tuple[str, ...]]

    def favourites(self, tracks: Tracks, count: int, days: int | None) -> Flags:
        """Rows by one of the most heard artists of a window.

        What is known of plays is their sum and the last of them: beyond the windows of `top`, those of recordings count that were heard within it.
        """
        for window, names in sorted(self.top.items()):
            if days is not None and days <= window and count <= len(names):
                return tracks.names["artists"].having(names[:count])
        inside = (
            self.heard
            if days is None
            else self.heard & (self.last_day != NEVER) & (self.today - self.last_day < days)
        )
        at, there = tracks.rows(self.recording[inside])
        artists, place = np.unique(tracks.artist[at], return_inverse=True)
        plays = np.bincount(place, self.plays[inside][there], len(artists))
        best = artists[np.lexsort((artists, -plays))[:count]]
        return np.isin(tracks.artist, best)


def _songs(titles: Any, artist: Array, idx: Array) -> Array:
    """The least recording of one artist and title, whatever stands behind the title in brackets or after a dash."""
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


def verdicts(tracks: Tracks, wanted: Filter, listener: Listener) -> dict[str, tuple[Flags, Flags]]:
    """Of each thing that a filter asks: which rows pass it, and of which the fact is unknown; what is unknown never passes."""
    made: dict[str, tuple[Flags, Flags]] = {}
    everyone = np.ones(len(tracks), bool)
    for name in wanted.asked:
        told = getattr(wanted, name)
        if name in {"artists", "tags", "languages"}:
            made[name] = (tracks.names[name].having(told), ~tracks.names[name].known)
        elif name.startswith("no_") and name != "no_years":
            of = tracks.names[name.removeprefix("no_")]
            made[name] = (of.known & ~of.having(told), ~of.known)
        elif name in {"years", "no_years"}:
            year = tracks.number["years"]
            made[name] = (_within(year, told, none=name == "no_years"), np.isnan(year))
        elif name in NUMBERS:
            made[name] = (_within(tracks.number[name], (told,)), np.isnan(tracks.number[name]))
        elif name == "top":
            made[name] = (listener.favourites(tracks, told.count, told.days), ~tracks.names["artists"].known)
        elif name == "clean":
            made[name] = (tracks.clean, ~everyone)
        elif name == "artist_heard":
            known = np.isin(tracks.artist, tracks.artist[_met(tracks, listener, "heard", True)])
            made[name] = (known if told else ~known, ~everyone)
        else:
            made[name] = (_met(tracks, listener, name, told), ~everyone)
    return made


def passing(tracks: Tracks, wanted: Filter, listener: Listener) -> Flags:
    """Rows that pass all that a filter asks."""
    made = np.ones(len(tracks), bool)
    for passes, _ in verdicts(tracks, wanted, listener).values():
        made &= passes
    return made


def _within(numbers: Array, bands: tuple[Band, ...], *, none: bool = False) -> Flags:
    found = np.zeros(len(numbers), bool)
    for band in bands:
        found |= (numbers >= (-np.inf if band.low is None else band.low)) & (
            numbers <= (np.inf if band.high is None else band.high)
        )
    return ~np.isnan(numbers) & (~found if none else found)


def _met(tracks: Tracks, listener: Listener, name: str, told: Any) -> Flags:
    """By what the listener met: `heard`, or nothing heard within `quiet_days`; a play without a day may have been yesterday."""
    matters = listener.heard
    if name == "quiet_days":
        matters = matters & ((listener.last_day == NEVER) | (listener.today - listener.last_day < told))
    at, _ = tracks.rows(listener.recording[matters])
    met = np.zeros(len(tracks), bool)
    met[at] = True
    return met if name == "heard" and told else ~met
