"""The closed world of a request: the listener's pool and what the request retrieves from the released catalogue, under the same rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from trackpools.core import rules
from trackpools.core.bars import look_up
from trackpools.core.on_demand import Person, Release
from trackpools.core.sources import als
from trackpools.fill.compose import Candidates
from trackpools.fill.constraints import Constraints
from trackpools.fill.tracks import Flags, Listener, Tracks, passing

Array = NDArray[Any]
OF_ARTIST = (
    40  # of what is retrieved at most: a playlist has other artists too, unless one alone was asked for
)
PICKED = 8  # scores of fewer than one in so many rows are computed for these alone
POOL, RETRIEVAL, EXPLORE = 0, 1, 2


@dataclass(frozen=True)
class World:
    """Rows of the catalogue, best first, and of each where it is from: POOL, RETRIEVAL or EXPLORE; `place` is that in the pool, −1 of others."""

    candidates: Candidates
    origin: Array
    place: Array


def unmet(release: Release, market: str, tracks: Tracks, *, clean: bool) -> Flags:
    """Rows that the rules of pools let somebody have who met none of them: rights, explicit words, standards, switches. The same for all of a market."""
    return _lawful(release, market, tracks.recording, np.zeros(len(tracks), np.uint8), clean=clean)


def allowed(release: Release, person: Person, tracks: Tracks, fresh: Flags) -> Flags:
    """Rows that the rules let this listener have: those of `unmet`, and of what was met what is neither blocked nor refused by the heard policy."""
    past, may = person.past, fresh.copy()
    at, there = tracks.rows(past.recording)
    met = (rules.HEARD * past.heard + rules.BLOCKED * past.blocked + rules.REFUSED * past.refused)[
        there
    ].astype(np.uint8)
    may[at] = _lawful(release, person.market, tracks.recording[at], met, clean=person.clean)
    return may


def _lawful(release: Release, market: str, recordings: Array, met: Array, *, clean: bool) -> Flags:
    barred = look_up(release.markets[market].bars, recordings)
    below = rules.below_standard(
        release.shelf, recordings, met, rules.Standards.of(release.config.rules, release.as_of)
    )
    return np.asarray(
        rules.flags(barred, np.full(len(recordings), clean), met, below, heard=release.config.pools.heard)
        == 0
    )


def scores(release: Release, person: Person, tracks: Tracks, wanted: Flags) -> Array:
    """What the model thinks of the wanted rows, float32 and finite: the product of factors; without them less than any other, by popularity."""
    worth = tracks.fame - np.float32(1e3)
    x = person.vectors.get(als.BIT)
    if x is None:
        return worth
    for stripe in release.spaces.get(als.BIT, ()):
        at, there = tracks.aligned(stripe.idx)
        some = np.flatnonzero(wanted[at])
        # rows picked out are copied: it pays where they are few
        worth[at[some]] = (
            stripe.y[there[some]] @ x if PICKED * len(some) < len(at) else (stripe.y @ x)[there[some]]
        )
    return worth


@dataclass(frozen=True)
class Asker:
    """Who asks, at which release: what sources and rules know of the person, what filters do, and which rows the rules allow."""

    release: Release
    person: Person
    listener: Listener
    may: Flags


def world(who: Asker, tracks: Tracks, pool: tuple[Array, Flags], wanted: Constraints) -> World:
    """Pool ∪ retrieval. The pool's order is kept and stands first; what is retrieved follows by the listener's vector.

    Of the versions of a song one stays, that of the pool.

    Args:
        pool: recording numbers, best first, and which of them nobody but the explore source proposed.
    """
    release, listener, may = who.release, who.listener, who.may
    most = release.config.fill.retrieved
    at, there = tracks.rows(pool[0])
    kept = may[at]
    rows, place, explored = at[kept], np.flatnonzero(there)[kept], pool[1][there][kept]
    inside = may & passing(tracks, wanted.every, listener)
    inside[rows] = False
    by_score = scores(release, who.person, tracks, inside)
    of_one = min(wanted.artist_cap or OF_ARTIST, OF_ARTIST)
    more = [_best(by_score, inside, tracks.artist, most if not wanted.parts else most // 2, of_one)]
    parts = [inside & passing(tracks, part.of, listener) for part in wanted.parts]
    more += [_best(by_score, part, tracks.artist, most // 2 // len(parts), of_one) for part in parts]
    found = np.unique(np.concatenate(more))
    found = found[np.lexsort((found, -by_score[found]))]
    both = np.concatenate([rows, found])
    song = release.shelf.at(tracks.recording[both]).song
    first = np.sort(np.unique(song, return_index=True)[1])
    value = np.concatenate(
        [np.linspace(1.0, 0.5, len(rows), endpoint=False), np.linspace(0.5, 0.0, len(found), endpoint=False)]
    )
    origin = np.concatenate([np.where(explored, EXPLORE, POOL), np.full(len(found), RETRIEVAL)])
    return World(
        Candidates(both[first], value[first], np.flatnonzero(may)),
        origin[first],
        np.concatenate([place, np.full(len(found), -1)])[first],
    )


def _best(score: Array, inside: Flags, artist: Array, most: int, of_one: int) -> Array:
    """The rows of greatest score, of one artist at most so many."""
    rows = np.flatnonzero(inside)
    near = rows[np.argpartition(-score[rows], 20 * most)[: 20 * most]] if 0 < 20 * most < len(rows) else rows
    found = _capped(near, score, artist, of_one)[:most]
    return (
        found if len(found) == most or len(near) == len(rows) else _capped(rows, score, artist, of_one)[:most]
    )


def _capped(rows: Array, score: Array, artist: Array, of_one: int) -> Array:
    """Best first, the first so many of each artist."""
    rows = rows[np.lexsort((rows, -score[rows]))]
    by_artist = np.argsort(artist[rows], kind="stable")
    names = artist[rows][by_artist]
    starts = np.flatnonzero(np.append(True, names[1:] != names[:-1])) if len(names) else np.empty(0, np.int64)
    place = np.empty(len(rows), np.int64)
    place[by_artist] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    return rows[place < of_one]


def seeded(
    found: World, tracks: Tracks, wanted: Sequence[str], may: Flags
) -> tuple[World, dict[str, int | None]]:
    """The world with what must be in it, and of each title or track id the row that is meant: of many the most heard; None where none may be had."""
    meant: dict[str, int | None] = {}
    fame = tracks.fame
    for name in wanted:
        named = tracks.names["titles"].having((name,)) | np.asarray(
            pc.fill_null(pc.equal(tracks.cards["track_id"], name), False)
        )
        rows = np.flatnonzero(named & may)
        meant[name] = int(rows[np.lexsort((rows, -fame[rows]))[0]]) if len(rows) else None
    new = np.setdiff1d(
        np.array([row for row in meant.values() if row is not None], np.int64), found.candidates.rows
    )
    more = Candidates(
        np.append(found.candidates.rows, new),
        np.append(found.candidates.value, np.zeros(len(new))),
        found.candidates.allowed,
    )
    return World(
        more,
        np.append(found.origin, np.full(len(new), RETRIEVAL)),
        np.append(found.place, np.full(len(new), -1)),
    ), meant
