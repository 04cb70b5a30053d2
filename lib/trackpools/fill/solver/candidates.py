"""Build the candidates of one request: the user's pool, and tracks retrieved for the constraints.

Retrieval searches the released catalogue. The same rules apply to the pool and to the retrieved tracks. A
playlist contains no track that is not among these candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from trackpools.core.arrays.array_types import BoolArray, Float32Array, Int64Array, Uint8Array
from trackpools.core.pools.online import OnlineUser
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up
from trackpools.core.sources import als
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.solver.catalogue import Listener, Tracks, rows_passing
from trackpools.fill.solver.compose import FillCandidates
from trackpools.tables import USER_FACTORS

OF_ARTIST = 40  # greatest number of retrieved tracks of one artist, so that other artists are retrieved too
PICKED = 8  # if fewer than 1 / PICKED of the rows are wanted, only these are scored, else all
POOL, RETRIEVAL, EXPLORE = 0, 1, 2  # values of `CandidateUniverse.origin`


@dataclass(frozen=True)
class CandidateUniverse:
    """The candidates of one request, best first, and where each is from.

    Attributes:
        candidates: the rows of the catalogue with their values.
        origin: int64 [n], the origin of each candidate: RETRIEVAL, EXPLORE (a candidate of the pool that only
            the source explore proposed) or POOL (any other candidate of the pool).
        place: int64 [n], the place of each candidate in the pool, from 0; −1 if it is not from the pool.
    """

    candidates: FillCandidates
    origin: Int64Array
    place: Int64Array


def rows_allowed_unheard(release: ReleaseArrays, market: str, tracks: Tracks, *, clean: bool) -> BoolArray:
    """Return which rows the rules of pools allow a user without a history.

    The rules are rights, explicit words, the standards of `eligibility.Standards`, and takedowns. The result
    is the same for all users of a market with the same `clean`.

    Args:
        release: the arrays of the release.
        market: the market whose rights apply.
        tracks: the catalogue of that market.
        clean: whether only tracks without explicit words are allowed.

    Returns:
        bool [len(tracks)].
    """
    return _allowed_by_rules(release, market, tracks.recording, np.zeros(len(tracks), np.uint8), clean=clean)


def rows_allowed(release: ReleaseArrays, person: OnlineUser, tracks: Tracks, fresh: BoolArray) -> BoolArray:
    """Return which rows the rules of pools allow this user.

    For recordings outside of the user's history, the result of `rows_allowed_unheard` is taken. For
    recordings of the history, the rules are applied again, because a recording that was heard, blocked or
    refused is treated differently.

    Args:
        release: the arrays of the release.
        person: the user, with history, market and clean policy.
        tracks: the catalogue of the user's market.
        fresh: bool [len(tracks)], the result of `rows_allowed_unheard`; it is not changed.

    Returns:
        bool [len(tracks)].
    """
    past, may = person.history, fresh.copy()
    at, there = tracks.rows(past.recording)
    met = (
        eligibility.HEARD * past.heard
        + eligibility.BLOCKED * past.blocked
        + eligibility.REFUSED * past.refused
    )[there].astype(np.uint8)
    may[at] = _allowed_by_rules(release, person.market, tracks.recording[at], met, clean=person.clean)
    return may


def _allowed_by_rules(
    release: ReleaseArrays, market: str, recordings: Int64Array, met: Uint8Array, *, clean: bool
) -> BoolArray:
    """Return which recordings no rule excludes.

    Args:
        release: the arrays of the release.
        market: the market whose rights apply.
        recordings: int64 [n], recording numbers.
        met: uint8 [n], the bits HEARD, BLOCKED and REFUSED of `eligibility` for each recording; 0 for none.
        clean: whether only tracks without explicit words are allowed.

    Returns:
        bool [n].
    """
    barred = look_up(release.markets[market].bars, recordings)
    below = eligibility.fact_flags(
        release.recording_table,
        recordings,
        met,
        eligibility.Standards.of(release.config.rules, release.as_of),
    )
    return np.asarray(
        eligibility.rule_flags(
            barred, np.full(len(recordings), clean), met, below, heard=release.config.pools.heard
        )
        == 0
    )


def scores(release: ReleaseArrays, person: OnlineUser, tracks: Tracks, wanted: BoolArray) -> Float32Array:
    """Score the wanted rows by the inner product of the user's and the recording's factors.

    A row without factors gets its popularity − 1000, so it is below all others and these rows are ordered by
    popularity. If the user has no factors, all rows get this score.

    Returns:
        float32 [len(tracks)], finite; only the scores of wanted rows are meaningful.
    """
    worth = tracks.fame - np.float32(1e3)
    x = person.vectors.get(USER_FACTORS.name)
    if x is None:
        return worth
    for stripe in release.spaces.get(als.BIT, ()):
        at, there = tracks.aligned(stripe.idx)
        some = np.flatnonzero(wanted[at])
        # selecting rows of a matrix copies them, which is only faster if they are few
        worth[at[some]] = (
            stripe.y[there[some]] @ x if PICKED * len(some) < len(at) else (stripe.y @ x)[there[some]]
        )
    return worth


@dataclass(frozen=True)
class Asker:
    """The user of a request, with the release that the request is answered from.

    Attributes:
        release: the arrays of the release.
        person: the user's data that sources and rules need.
        listener: the user's data that filters need.
        may: bool [len(tracks)], the rows that the rules allow the user; see `rows_allowed`.
    """

    release: ReleaseArrays
    person: OnlineUser
    listener: Listener
    may: BoolArray


def build_universe(
    who: Asker, tracks: Tracks, pool: tuple[Int64Array, BoolArray], wanted: Constraints
) -> CandidateUniverse:
    """Join the user's pool and the tracks that the request retrieves.

    The pool is first and keeps its order; the retrieved tracks follow, ordered by `scores`. Of several
    versions of a song, only the first in this order stays, so a version in the pool is preferred. The value
    of candidates falls from 1 to 0.5 over the pool and from 0.5 to 0 over the retrieved tracks.

    Args:
        who: the user and the rows that the rules allow.
        tracks: the catalogue of the user's market.
        pool: (int64 recording numbers, best first; bool, whether only the source explore proposed each).
        wanted: the constraints of the request. All retrieved tracks pass `wanted.every`. If there are parts,
            half of the retrieved tracks are those that pass the filters of the parts.
    """
    release, listener, may = who.release, who.listener, who.may
    most = release.config.fill.retrieved
    at, there = tracks.rows(pool[0])
    kept = may[at]
    rows, place, explored = at[kept], np.flatnonzero(there)[kept], pool[1][there][kept]
    inside = may & rows_passing(tracks, wanted.every, listener)
    inside[rows] = False
    by_score = scores(release, who.person, tracks, inside)
    of_one = min(wanted.artist_cap or OF_ARTIST, OF_ARTIST)
    more = [_best(by_score, inside, tracks.artist, most if not wanted.parts else most // 2, of_one)]
    parts = [inside & rows_passing(tracks, part.of, listener) for part in wanted.parts]
    more += [_best(by_score, part, tracks.artist, most // 2 // len(parts), of_one) for part in parts]
    found = np.unique(np.concatenate(more))
    found = found[np.lexsort((found, -by_score[found]))]
    both = np.concatenate([rows, found])
    song = release.recording_table.rows_of(tracks.recording[both]).song
    first = np.sort(np.unique(song, return_index=True)[1])
    value = np.concatenate(
        [np.linspace(1.0, 0.5, len(rows), endpoint=False), np.linspace(0.5, 0.0, len(found), endpoint=False)]
    )
    origin = np.concatenate([np.where(explored, EXPLORE, POOL), np.full(len(found), RETRIEVAL)])
    return CandidateUniverse(
        FillCandidates(both[first], value[first], np.flatnonzero(may)),
        origin[first],
        np.concatenate([place, np.full(len(found), -1)])[first],
    )


def _best(score: Float32Array, inside: BoolArray, artist: Int64Array, most: int, of_one: int) -> Int64Array:
    """Return the rows of greatest score, best first: at most `most`, and at most `of_one` of each artist.

    Only rows for which `inside` is true are considered. The best 20 · `most` of them are tried first, and all
    of them only if the cap leaves too few.
    """
    rows = np.flatnonzero(inside)
    near = rows[np.argpartition(-score[rows], 20 * most)[: 20 * most]] if 0 < 20 * most < len(rows) else rows
    found = _capped(near, score, artist, of_one)[:most]
    return (
        found if len(found) == most or len(near) == len(rows) else _capped(rows, score, artist, of_one)[:most]
    )


def _capped(rows: Int64Array, score: Float32Array, artist: Int64Array, of_one: int) -> Int64Array:
    """Return the rows, sorted by falling score, with only the first `of_one` of each artist."""
    rows = rows[np.lexsort((rows, -score[rows]))]
    by_artist = np.argsort(artist[rows], kind="stable")
    names = artist[rows][by_artist]
    starts = np.flatnonzero(np.append(True, names[1:] != names[:-1])) if len(names) else np.empty(0, np.int64)
    place = np.empty(len(rows), np.int64)
    place[by_artist] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    return rows[place < of_one]


def add_seeds(
    universe: CandidateUniverse, tracks: Tracks, wanted: Sequence[str], may: BoolArray
) -> tuple[CandidateUniverse, dict[str, int | None]]:
    """Add the seeds, the tracks that a playlist must contain, to the candidates.

    Args:
        universe: the candidates so far.
        tracks: the catalogue.
        wanted: titles or track ids of the seeds.
        may: bool [len(tracks)], the rows that the rules allow.

    Returns:
        The candidates with the missing seeds appended, at value 0. And for each title or id the row of the
        seed: the most popular row that matches and is allowed, or None if there is none.
    """
    meant: dict[str, int | None] = {}
    fame = tracks.fame
    for name in wanted:
        named = tracks.names["titles"].rows_with((name,)) | np.asarray(
            pc.fill_null(pc.equal(tracks.cards["track_id"], name), False)
        )
        rows = np.flatnonzero(named & may)
        meant[name] = int(rows[np.lexsort((rows, -fame[rows]))[0]]) if len(rows) else None
    new = np.setdiff1d(
        np.array([row for row in meant.values() if row is not None], np.int64), universe.candidates.rows
    )
    more = FillCandidates(
        np.append(universe.candidates.rows, new),
        np.append(universe.candidates.value, np.zeros(len(new))),
        universe.candidates.allowed,
    )
    return CandidateUniverse(
        more,
        np.append(universe.origin, np.full(len(new), RETRIEVAL)),
        np.append(universe.place, np.full(len(new), -1)),
    ), meant
