"""Choosing tracks: by hand where that does, else by an exact solver; what the solver cannot do cannot be done.

The quick way takes the best under the caps, part by part, and then changes one track for another until the length fits. Where it fails, HiGHS
(Huangfu & Hall 2018, in scipy) decides the same as an integer program, so that "impossible" is never a heuristic's opinion.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Flags = NDArray[np.bool_]
SWAPS = 12  # tracks changed to make a length fit
NEAR = 400  # candidates that the solver sees at first: the best, and the best of each part
EPS = 1e-9


@dataclass(frozen=True)
class Ask:
    """Candidates, and how many of what must be chosen of them.

    Attributes:
        value: float64, more is better; finite.
        seconds: float64, finite where `span` is asked.
        artist, album: int64, equal for the same.
        parts: which belong to a part, and the least share of the tracks that must.
        must: which have to be in.
        tracks: how many, or None: as many as fit the span.
        span: least and most seconds in all, or None.
        artist_cap, album_cap: of one at most, or None.
        apart: no artist has more than every second track.
    """

    value: Array
    seconds: Array
    artist: Array
    album: Array
    parts: tuple[tuple[Flags, float], ...] = ()
    must: Flags | None = None
    tracks: int | None = None
    span: tuple[float, float] | None = None
    artist_cap: int | None = None
    album_cap: int | None = None
    apart: bool = False

    def __len__(self) -> int:
        return len(self.value)

    @property
    def musts(self) -> Flags:
        return np.zeros(len(self), bool) if self.must is None else self.must

    def some(self, rows: Array) -> "Ask":
        """Of these candidates only."""
        columns = {name: getattr(self, name)[rows] for name in ("value", "seconds", "artist", "album")}
        return replace(
            self,
            **columns,
            parts=tuple((of[rows], share) for of, share in self.parts),
            must=None if self.must is None else self.must[rows],
        )

    def artists(self, count: int) -> int:
        """Of one artist at most, in a list of so many."""
        return min(self.artist_cap or count, (count + 1) // 2 if self.apart else count)


def holds(ask: Ask, rows: Array) -> bool:
    """Whether these rows, none twice, are what is asked; the one definition that the ways to choose are tested against."""
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


def choose(ask: Ask, seconds: float = 2.0) -> Array | None:
    """Rows of good candidates that are what is asked, best first; None where there are none such.

    Args:
        seconds: for the solver; where they do not suffice it is None too.
    """
    found = quickly(ask)
    return found if found is not None else exactly(ask, seconds)


def quickly(ask: Ask) -> Array | None:
    """Rows of good candidates that are what is asked; None where the simple way finds none."""
    order = np.lexsort((np.arange(len(ask)), -ask.value))
    for count in _counts(ask, order):
        rows = _take(ask, order, count)
        if rows is not None and ask.span is not None:
            rows = _fit(ask, rows)
        if rows is not None and holds(ask, rows):
            return rows[np.lexsort((rows, -ask.value[rows]))]
    return None


def _counts(ask: Ask, order: Array) -> list[int]:
    """How many tracks to try: those asked for, else such as fit the span by the mean length of the best."""
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


def _take(ask: Ask, order: Array, count: int) -> Array | None:
    """The best so many: what must be in, then the parts, those with fewest candidates first, then all."""
    most = ask.artists(count)
    by_artist: dict[int, int] = {}
    by_album: dict[int, int] = {}
    chosen: list[int] = []
    there = np.zeros(len(ask), bool)

    def take(rows: Array, until: int, of: Flags | None = None) -> None:
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


def _fit(ask: Ask, rows: Array) -> Array | None:
    """The rows with some changed for others of the same parts, so that their length fits; the change that costs least value first."""
    low, high = ask.span or (0.0, np.inf)
    signature = np.zeros(len(ask), np.int64)
    for place, (of, _) in enumerate(ask.parts):
        signature += of.astype(np.int64) << place
    for _ in range(SWAPS):
        total = ask.seconds[rows].sum()
        if low <= total <= high:
            return rows
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
            return None  # no change brings it nearer
        rows = np.append(np.delete(rows, out), others[into])
    return None


def _leaves_room(ask: Ask, rows: Array, others: Array) -> Flags:
    """[rows, others]: whether the one may stand where the other did, by the caps."""
    made = np.ones((len(rows), len(others)), bool)
    for column, most in ((ask.artist, ask.artists(len(rows))), (ask.album, ask.album_cap or len(rows))):
        names, counts = np.unique(column[rows], return_counts=True)
        at = np.minimum(np.searchsorted(names, column[others]), len(names) - 1)
        full = (names[at] == column[others]) & (counts[at] >= most)
        made &= ~full | (column[rows][:, None] == column[others])
    return made


def exactly(ask: Ask, seconds: float = 2.0) -> Array | None:
    """The rows of greatest value that are what is asked, or None where there are none such; of many candidates some of the best, then all."""
    if len(ask) > NEAR:
        order = np.lexsort((np.arange(len(ask)), -ask.value))
        near = [
            order[: NEAR // 2],
            np.flatnonzero(ask.musts),
            *(order[of[order]][: NEAR // 2 // len(ask.parts)] for of, _ in ask.parts),
        ]
        some = np.unique(np.concatenate(near))
        found = _solve(ask.some(some), seconds / 2)
        if found is not None:
            return some[found]
    return _solve(ask, seconds)


def _solve(ask: Ask, seconds: float) -> Array | None:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, vstack

    count = len(ask)
    if count == 0 or (ask.tracks or 0) > count:
        return None
    rows: list[Array] = [np.ones(count)]
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
    if ask.apart:  # 2 Σ of an artist ≤ Σ + 1
        table = _groups(ask.artist, 1)
        tables, bounds = (
            [*tables, coo_array(2 * table.toarray() - 1)],
            [*bounds, ([-np.inf] * table.shape[0], [1.0] * table.shape[0])],
        )
    low, high = (np.concatenate([one[side] for one in bounds]) for side in (0, 1))
    value = (
        ask.value - ask.value.min() if ask.tracks is None else ask.value
    )  # where their number is free, none is worth less than nothing
    # in a span a long track must not win over two short ones
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
    return chosen[np.lexsort((chosen, -ask.value[chosen]))] if holds(ask, chosen) else None


def _groups(column: Array, most: int) -> Any:
    """A row a value that more than `most` have, 1 where a candidate has it."""
    from scipy.sparse import coo_array

    names, place, counts = np.unique(column, return_inverse=True, return_counts=True)
    many = np.flatnonzero(counts > most)
    row = np.full(len(names), -1)
    row[many] = np.arange(len(many))
    some = row[place] >= 0
    return coo_array(
        (np.ones(int(some.sum())), (row[place][some], np.flatnonzero(some))), shape=(len(many), len(column))
    )
