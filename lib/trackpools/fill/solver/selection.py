"""Select tracks under conditions on number, length, parts and caps: greedily, then by a solver.

The greedy way takes the best candidates under the caps, part by part, and then swaps one track for another
until the length fits. If it fails, HiGHS (Huangfu & Hall 2018, in scipy) solves the same problem as an
integer program. So a heuristic alone never decides that there is no solution.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trackpools.core.arrays.array_types import BoolArray, Float64Array, FloatArray, Int64Array

SWAPS = 12  # greatest number of swaps that try to make the length fit
# At first the solver gets about this many candidates: half of them are the best of all, and half are the best
# of each part, if there are parts. The candidates that must be chosen are added.
FIRST_CANDIDATES = 400
EPS = 1e-9  # differences below this are rounding errors


@dataclass(frozen=True)
class SelectionProblem:
    """Candidates and the conditions that a choice of them must satisfy.

    Attributes:
        value: float64 [n], the value of each candidate; finite, greater is better.
        seconds: float64 [n], the length of each candidate in seconds; finite if `span` is given.
        artist: int64 [n], equal for candidates of the same artist.
        album: int64 [n], equal for candidates of the same album.
        parts: for each part, bool [n], which says what candidates belong to it, and the least share of the
            chosen tracks that must belong to it.
        must: bool [n], the candidates that must be chosen; None for none.
        tracks: the number of tracks to choose; None for as many as fit the span.
        span: least and greatest total length in seconds, or None.
        artist_cap: greatest number of tracks of one artist, or None.
        album_cap: greatest number of tracks of one album, or None.
        apart: whether there must be an order in which no two neighbours are by the same artist. Such an order
            exists exactly if no artist has more than half of the tracks, rounded up.
    """

    value: Float64Array
    seconds: Float64Array
    artist: Int64Array
    album: Int64Array
    parts: tuple[tuple[BoolArray, float], ...] = ()
    must: BoolArray | None = None
    tracks: int | None = None
    span: tuple[float, float] | None = None
    artist_cap: int | None = None
    album_cap: int | None = None
    apart: bool = False

    def __len__(self) -> int:
        return len(self.value)

    @property
    def musts(self) -> BoolArray:
        """The attribute `must` as bool [n]; all false for None."""
        return np.zeros(len(self), bool) if self.must is None else self.must

    def subset(self, rows: Int64Array) -> "SelectionProblem":
        """Return the same problem with these candidates only."""
        columns = {name: getattr(self, name)[rows] for name in ("value", "seconds", "artist", "album")}
        return replace(
            self,
            **columns,
            parts=tuple((of[rows], share) for of, share in self.parts),
            must=None if self.must is None else self.must[rows],
        )

    def artists(self, count: int) -> int:
        """Return the greatest number of tracks that one artist may have among `count` chosen tracks."""
        return min(self.artist_cap or count, (count + 1) // 2 if self.apart else count)


def is_solution(ask: SelectionProblem, rows: Int64Array) -> bool:
    """Return whether these candidates, none of them twice, satisfy all conditions of the problem.

    This is the only definition of a solution: the greedy way and the solver both check their result with it.

    Args:
        ask: the problem.
        rows: int64, places of candidates in the problem.
    """
    count = len(rows)
    most = [
        np.unique(column[rows], return_counts=True)[1].max(initial=0) for column in (ask.artist, ask.album)
    ]
    return bool(
        len(np.unique(rows)) == count > 0
        and (ask.tracks is None or count == ask.tracks)
        and ask.musts[rows].sum() == ask.musts.sum()
        and most[0] <= ask.artists(count)
        and (ask.album_cap is None or most[1] <= ask.album_cap)
        and (ask.span is None or ask.span[0] - EPS <= ask.seconds[rows].sum() <= ask.span[1] + EPS)
        and all(of[rows].sum() >= share * count - EPS for of, share in ask.parts),
    )


def choose(ask: SelectionProblem, seconds: float = 2.0) -> Int64Array | None:
    """Choose good candidates that satisfy the problem: greedily, else by the exact solver.

    Args:
        ask: the problem.
        seconds: the time limit of one call of the solver; there may be a first call with half of it.

    Returns:
        int64, places of the chosen candidates, best first. None if there is no solution, or if the solver
        finds none within its time.
    """
    found = choose_greedily(ask)
    return found if found is not None else choose_exactly(ask, seconds)


def choose_greedily(ask: SelectionProblem) -> Int64Array | None:
    """Choose good candidates by value, then by swaps; return None if this finds no solution.

    There may be a solution even then; `choose_exactly` decides that.
    """
    order = np.lexsort((np.arange(len(ask)), -ask.value))
    for count in _counts(ask, order):
        rows = _take(ask, order, count)
        if rows is not None and ask.span is not None:
            rows = _fit(ask, rows)
        if rows is not None and is_solution(ask, rows):
            return rows[np.lexsort((rows, -ask.value[rows]))]
    return None


def _counts(ask: SelectionProblem, order: Int64Array) -> list[int]:
    """Return the numbers of tracks to try, the most promising first.

    If `ask.tracks` is given, it is the only number. Otherwise the first number is the middle of the span
    divided by the mean length of the best candidates, and the numbers next to it follow. Without a span the
    result is empty.
    """
    if ask.tracks is not None:
        return [ask.tracks]
    if ask.span is None:
        return []
    low, high = ask.span
    wanted, sizes = (low + high) / 2, ask.seconds[order]
    fits = int(np.searchsorted(np.cumsum(sizes), wanted)) + 1
    mean = sizes[:fits].mean() if len(sizes) else 1.0
    near = max(round(wanted / mean), 1)
    counts = [near, near + 1, near - 1, near + 2, near - 2, near + 3]
    return [count for count in counts if 0 < count <= len(ask)]


def _take(ask: SelectionProblem, order: Int64Array, count: int) -> Int64Array | None:
    """Take `count` candidates under the caps; return None if the caps stop this before `count`.

    The candidates that must be chosen are taken first. Then each part is filled up to its share, the part
    with the fewest candidates first. Finally, the best of all others are taken.
    """
    most = ask.artists(count)
    by_artist: dict[int, int] = {}
    by_album: dict[int, int] = {}
    chosen: list[int] = []
    there = np.zeros(len(ask), bool)

    def take(rows: Int64Array, until: int, of: BoolArray | None = None) -> None:
        missing = until - (len(chosen) if of is None else int(of[chosen].sum()))
        for row in rows:
            if missing <= 0 or len(chosen) >= count:
                return
            artist, album = int(ask.artist[row]), int(ask.album[row])
            if (
                there[row]
                or by_artist.get(artist, 0) >= most
                or by_album.get(album, 0) >= (ask.album_cap or count)
            ):
                continue
            by_artist[artist], by_album[album] = by_artist.get(artist, 0) + 1, by_album.get(album, 0) + 1
            there[row] = True
            chosen.append(int(row))
            missing -= 1

    take(np.flatnonzero(ask.musts), count)
    for of, share in sorted(ask.parts, key=lambda part: int(part[0].sum())):
        take(order[of[order]], int(np.ceil(share * count - EPS)), of)
    take(order, count)
    return np.array(chosen, np.int64) if len(chosen) == count else None


def _fit(ask: SelectionProblem, rows: Int64Array) -> Int64Array | None:
    """Swap chosen candidates for others of the same parts until the total length fits the span.

    Each step makes the swap of least cost: 1000 for each second outside of the span, plus the loss of value.
    So if several swaps come equally near to the span, the one that loses the least value is made.

    Returns:
        The rows after the swaps; None if no swap brings the length nearer to the span, or if the length still
        does not fit after SWAPS swaps.
    """
    low, high = ask.span or (0.0, np.inf)
    signature = np.zeros(len(ask), np.int64)
    for place, (of, _) in enumerate(ask.parts):
        signature += of.astype(np.int64) << place
    for swaps in range(SWAPS + 1):
        total = ask.seconds[rows].sum()
        if low <= total <= high:
            return rows
        if swaps == SWAPS:
            break
        others = np.setdiff1d(np.arange(len(ask)), rows)
        fits = (
            (signature[rows][:, None] == signature[others])
            & ~ask.musts[rows][:, None]
            & _leaves_room(ask, rows, others)
        )
        after = total - ask.seconds[rows][:, None] + ask.seconds[others]
        off = np.maximum(np.maximum(low - after, after - high), 0.0)
        cost = np.where(fits, off * 1e3 + ask.value[rows][:, None] - ask.value[others], np.inf)
        if not cost.size or not np.isfinite(cost.min()):
            return None
        out, into = np.unravel_index(int(cost.argmin()), cost.shape)
        if off[out, into] >= max(low - total, total - high) - EPS:
            return None  # no swap brings the length nearer to the span
        rows = np.append(np.delete(rows, out), others[into])
    return None


def _leaves_room(ask: SelectionProblem, rows: Int64Array, others: Int64Array) -> BoolArray:
    """Return whether the caps allow each of `others` in the place of each row: bool [rows, others]."""
    made = np.ones((len(rows), len(others)), bool)
    for column, most in ((ask.artist, ask.artists(len(rows))), (ask.album, ask.album_cap or len(rows))):
        names, counts = np.unique(column[rows], return_counts=True)
        at = np.minimum(np.searchsorted(names, column[others]), len(names) - 1)
        full = (names[at] == column[others]) & (counts[at] >= most)
        made &= ~full | (column[rows][:, None] == column[others])
    return made


def choose_exactly(ask: SelectionProblem, seconds: float = 2.0) -> Int64Array | None:
    """Solve the problem by HiGHS: find a solution of nearly the greatest total value.

    If there are more than FIRST_CANDIDATES candidates, the solver first gets only some of the best, with half
    of the time limit. If it finds no solution among them, it gets all candidates, with the whole time limit.
    The total value is within 5 % of the greatest that the given candidates allow, unless the time is over
    first. For a free number of tracks, "value" is the weighted value of `_solve`.

    Returns:
        int64, places of the chosen candidates, best first; None if the solver finds no solution in time.
    """
    if len(ask) > FIRST_CANDIDATES:
        order = np.lexsort((np.arange(len(ask)), -ask.value))
        near = [
            order[: FIRST_CANDIDATES // 2],
            np.flatnonzero(ask.musts),
            *(order[of[order]][: FIRST_CANDIDATES // 2 // len(ask.parts)] for of, _ in ask.parts),
        ]
        some = np.unique(np.concatenate(near))
        found = _solve(ask.subset(some), seconds / 2)
        if found is not None:
            return some[found]
    return _solve(ask, seconds)


def _solve(ask: SelectionProblem, seconds: float) -> Int64Array | None:
    """Solve the problem by HiGHS within a time limit; the result is like that of `choose_exactly`.

    Example:
        >>> three = np.arange(3)
        >>> ask = SelectionProblem(3.0 - three, 200.0 + three, three // 2, three, tracks=2, artist_cap=1)
        >>> _solve(ask, seconds=2.0)  # 0 and 1 are worth most, but are by one artist
        array([0, 2])
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, vstack

    count = len(ask)
    if count == 0 or (ask.tracks or 0) > count:
        return None
    rows: list[FloatArray] = [np.ones(count)]
    lows, highs = [float(ask.tracks or 1)], [float(ask.tracks or count)]
    if ask.span is not None:
        rows, lows, highs = [*rows, ask.seconds], [*lows, ask.span[0]], [*highs, ask.span[1]]
    for of, share in ask.parts:  # Σ (of − share) x ≥ 0
        rows, lows, highs = [*rows, of - share], [*lows, -EPS], [*highs, np.inf]
    tables, bounds = [coo_array(np.stack(rows))], [(lows, highs)]
    for column, most in ((ask.artist, ask.artist_cap), (ask.album, ask.album_cap)):
        if most is not None:
            table = _groups(column, most)
            tables, bounds = (
                [*tables, table],
                [*bounds, ([-np.inf] * table.shape[0], [float(most)] * table.shape[0])],
            )
    if ask.apart:  # for each artist: 2 Σ x of the artist ≤ Σ x + 1
        table = _groups(ask.artist, 1)
        tables, bounds = (
            [*tables, coo_array(2 * table.toarray() - 1)],
            [*bounds, ([-np.inf] * table.shape[0], [1.0] * table.shape[0])],
        )
    low, high = (np.concatenate([one[side] for one in bounds]) for side in (0, 1))
    value = (
        ask.value - ask.value.min() if ask.tracks is None else ask.value
    )  # if the number of tracks is free, no value may be negative, because the solver would avoid such tracks
    # within a span, values are weighted by length (240 s count as 1), so that short tracks have no advantage
    worth = value * ask.seconds / 240 if ask.tracks is None and ask.span is not None else value
    found = milp(
        -worth,
        integrality=np.ones(count),
        bounds=Bounds(ask.musts.astype(float), np.ones(count)),
        constraints=LinearConstraint(vstack(tables).tocsr(), low, high),
        options={"time_limit": seconds, "mip_rel_gap": 0.05},
    )
    if found.x is None:
        return None
    chosen = np.flatnonzero(found.x > 0.5)
    return chosen[np.lexsort((chosen, -ask.value[chosen]))] if is_solution(ask, chosen) else None


def _groups(column: Int64Array, most: int) -> Any:
    """Return a sparse matrix of 0 and 1: one row for each value that more than `most` candidates have.

    There is one column for each candidate. An entry is 1 if the candidate has the value of the row.
    """
    from scipy.sparse import coo_array

    names, place, counts = np.unique(column, return_inverse=True, return_counts=True)
    many = np.flatnonzero(counts > most)
    row = np.full(len(names), -1)
    row[many] = np.arange(len(many))
    some = row[place] >= 0
    return coo_array(
        (np.ones(int(some.sum())), (row[place][some], np.flatnonzero(some))), shape=(len(many), len(column))
    )
