"""`build_pool`: candidates of many sources → exactly K, each with its sources and reason, every drop counted.

One vectorised function over a batch of users; a single user on demand is a batch of one and gets the same row.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trackpools.core.rules import BELOW_CUT, RULES
from trackpools.core.shelf import Shelf

Array = NDArray[Any]
Ints = NDArray[np.int64]
CATALOGUE = "catalogue"  # shortfall: the sources had no more, whatever the rules
FLAT = ("user", "recording", "source", "rank", "flags", "plays", "last_day", "heard")


@dataclass(frozen=True)
class PoolRequest:
    """How to blend.

    Attributes:
        k: candidates of a pool.
        rrf_k: constant of reciprocal-rank fusion.
        weights: of each source, by its bit.
        blend: rrf or quota.
        mmr, calibration: strengths, 0 to 1; 0 is off.
        floor: recordings that complete a facet cell; `floor_share` of the slots are spent on that.
        reserve: share of K kept beyond it.
        versions: original or best: which of a song's recordings stays.
        explore: bit of the explore source and its slots.
    """

    k: int
    rrf_k: int
    weights: tuple[float, ...]
    blend: str = "rrf"
    mmr: float = 0.0
    calibration: float = 0.0
    floor: int = 0
    floor_share: float = 0.0
    reserve: float = 0.0
    artist_cap: int = 2**31 - 1
    album_cap: int = 2**31 - 1
    versions: str = "original"
    explore: tuple[int, int] | None = None


class Tastes(NamedTuple):
    """Of each user, what share of the taste each tag has; see `tastes.tastes`.

    Attributes:
        ends: int64 [users + 1].
        tag: int64, as in `Shelf.tags`; 0 is what has none.
        share: float64, of a user they add to 1.
    """

    ends: Ints
    tag: Ints
    share: NDArray[np.float64]

    @staticmethod
    def unknown(users: int) -> "Tastes":
        return Tastes(np.zeros(users + 1, np.int64), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class Candidates:
    """Flat candidates of a batch: one entry a user × source × recording.

    Attributes:
        user: row of the user in the batch, ascending.
        recording, source, rank: who proposes what at which rank (from 1).
        flags: bitmap of the rules that bind, see `rules.flags`.
        plays, last_day: history; last_day is −1 where the recording was never heard or has no date.
        heard: whether the user has heard it.
        masked: per user, candidates that sources kept back because they were heard or blocked.
        withheld: [users, rules]: recordings that the rules of the user's market and explicit policy bar, proposed or not; 0 for whom nobody
            proposes anything.
        shelf: facts of all recordings.
        tastes: of the users, to calibrate to.
    """

    user: Ints
    recording: Ints
    source: Ints
    rank: Ints
    flags: Ints
    plays: Ints
    last_day: Ints
    heard: NDArray[np.bool_]
    masked: Ints
    withheld: Ints
    shelf: Shelf
    tastes: Tastes

    @property
    def users(self) -> int:
        return len(self.masked)

    def ends(self) -> Ints:
        """Where the candidates of each user end, [users + 1]."""
        return np.searchsorted(self.user, np.arange(self.users + 1))

    def by_source(self) -> "Candidates":
        """The same, those of a user by rising source: sums of shares depend on the order."""
        place = self.user << 8 | self.source
        if (place[1:] >= place[:-1]).all():
            return self
        order = np.argsort(place, kind="stable")
        return replace(self, **{name: getattr(self, name)[order] for name in FLAT})


@dataclass(frozen=True)
class Picks:
    """Recordings chosen for the users of a batch: `offsets` [users + 1] into the columns of `tables.CANDIDATE`."""

    offsets: Ints
    recording: Ints
    score: NDArray[np.float32]
    sources: Ints
    reason: Ints
    reason_arg: Ints
    plays: Ints
    last_day: Ints
    propensity: NDArray[np.float32]

    def some(self, kept: NDArray[np.bool_], sizes: Ints) -> "Picks":
        """Those that are kept, so many a user."""
        columns = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name != "offsets"}
        return Picks(offsets=np.concatenate([[0], np.cumsum(sizes)]), **columns)


@dataclass(frozen=True)
class Pools:
    """Pools of a batch and what stands in for who is taken down; `drops` [users, rules]; shortfall rule or ''."""

    picks: Picks
    reserve: Picks
    emitted: Ints
    drops: Ints
    shortfall: list[str]


def build_pools(candidates: Candidates, request: PoolRequest) -> Pools:
    """Fuse, drop by the first rule that binds, choose K and a reserve, and account for everything.

    Score, from ranks, never from raw scores: rrf, Σ over sources weight / (rrf_k + rank) (Cormack et al. 2009); or quota, the greatest weight / rank:
    every source fills its share of the places, and the others fill up where it has no more. Ties go to the lower recording idx. The order is that
    of choice: by score, where that is all; else by what each adds to those before it, see `choosing`; then what completes facet cells, see
    `facets`; then what was only explored, as probable as `propensity` says. Per user: Σ drops + pool size = emitted.
    """
    from trackpools.core.blending import Made, blend
    from trackpools.core.lineup import Facts, Flat

    c, users, settings = candidates.by_source(), candidates.users, _settings(request)
    ends, quota = c.ends(), request.blend == "quota"
    share = np.asarray(request.weights)[c.source] / (c.rank if quota else request.rrf_k + c.rank)
    most = int(np.minimum(np.diff(ends), settings.k + settings.reserve).sum())
    (score, propensity), (sources, first, main) = (
        np.empty((2, most), np.float32),
        np.empty((3, most), np.int64),
    )
    size, reserved, emitted = np.empty((3, users), np.int64)
    made = Made(
        score,
        propensity,
        sources,
        first,
        main,
        size,
        reserved,
        emitted,
        np.zeros((users, len(RULES)), np.int64),
    )
    facts = Facts(*(getattr(c.shelf, name) for name in Facts._fields))
    count = blend(
        ends, Flat(c.recording, c.source, c.rank, share, c.flags, c.heard), facts, c.tastes, settings, made
    )
    first, main = first[:count], main[:count]
    plays, carrier = c.plays[first], c.source[main]
    # what is new is explained by its rank in the source that carried it, what was heard by its plays: so do the sources' sentences
    played = c.heard[first] & (plays > 0)  # what is known by a rating alone has no plays to tell of
    both = Picks(
        offsets=np.empty(0, np.int64),
        recording=c.recording[first],
        score=score[:count],
        sources=sources[:count],
        reason=2 * carrier + played,
        reason_arg=np.where(played, plays, c.rank[main]),
        plays=plays,
        last_day=c.last_day[first],
        propensity=propensity[:count],
    )
    in_pool = np.repeat(np.tile([True, False], users), np.stack([size, reserved], axis=1).ravel())
    return Pools(
        picks=both.some(in_pool, size),
        reserve=both.some(~in_pool, reserved),
        emitted=emitted,
        drops=made.drops,
        shortfall=_shortfalls(size, made.drops, c, request.k),
    )


def _settings(request: PoolRequest) -> Any:
    from trackpools.core.choosing import Settings

    bit, slots = request.explore or (-1, 0)
    floor_slots = int(request.k * request.floor_share) if request.floor > 0 else 0
    return Settings(
        k=request.k,
        reserve=math.ceil(request.k * request.reserve),
        quota=request.blend == "quota",
        original=request.versions == "original",
        mmr=float(request.mmr),
        calibration=float(request.calibration),
        floor=request.floor,
        floor_slots=floor_slots,
        artist_cap=request.artist_cap,
        album_cap=request.album_cap,
        explore_bit=bit,
        explore_slots=slots,
    )


def _shortfalls(size: Ints, drops: Ints, c: Candidates, k: int) -> list[str]:
    """The rule that bound for each user short of K: the one that took most, if without the rules there were enough."""
    # what one source masks another may propose, and the rule then drops: the same recordings, so not a sum
    taken = np.maximum(drops, c.withheld)
    heard = RULES.index("heard")
    taken[:, heard] = np.maximum(taken[:, heard], c.masked)
    names = []
    for row, got in zip(taken, size, strict=True):
        short = k - got
        names.append(
            ""
            if short <= 0
            else RULES[int(row[:BELOW_CUT].argmax())]
            if row[:BELOW_CUT].sum() >= short
            else CATALOGUE
        )
    return names


def build_pool(candidates: Candidates, request: PoolRequest) -> dict[str, object]:
    """The pool row of one user, with the field names of `tables.POOLS`.

    Raises:
        ValueError: where `candidates` holds another number of users than one.
    """
    if candidates.users != 1:
        raise ValueError(f"build_pool takes one user, got {candidates.users}; use build_pools")
    p = build_pools(candidates, request)
    drops = {name: int(n) for name, n in zip(RULES, p.drops[0], strict=True) if n}
    pool = _rows(p.picks)
    shortfall = {"wanted": request.k, "got": len(pool), "rule": p.shortfall[0]} if p.shortfall[0] else None
    return {
        "candidates": pool,
        "reserve": _rows(p.reserve),
        "drops": drops,
        "emitted": int(p.emitted[0]),
        "shortfall": shortfall,
    }


def _rows(picks: Picks) -> list[dict[str, Any]]:
    names = [f.name for f in fields(picks)][1:]
    rows = [
        dict(zip(names, values, strict=True))
        for values in zip(*(getattr(picks, name).tolist() for name in names), strict=True)
    ]
    for row in rows:
        row["last_day"] = None if row["last_day"] < 0 else row["last_day"]
    return rows
