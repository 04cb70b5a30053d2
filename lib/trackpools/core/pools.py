"""`build_pool`: candidates of many sources → exactly K, each with its sources and reason, every drop counted.

One vectorised function over a batch of users; a single user on demand is a batch of one and gets the same row.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.core.rules import BELOW_CUT, RULES

Array = NDArray[Any]
Ints = NDArray[np.int64]
CATALOGUE = "catalogue"  # shortfall: the sources had no more, whatever the rules


@dataclass(frozen=True)
class PoolRequest:
    """How to blend: K, the constant of reciprocal-rank fusion, and the weight of each source by its bit."""

    k: int
    rrf_k: int
    weights: tuple[float, ...]


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
        flat = ("user", "recording", "source", "rank", "flags", "plays", "last_day", "heard")
        return replace(self, **{name: getattr(self, name)[order] for name in flat})


@dataclass(frozen=True)
class Pools:
    """Pools of a batch: `offsets` [users + 1] into the candidate columns; `drops` [users, rules]; shortfall rule or ''."""

    offsets: Ints
    recording: Ints
    score: NDArray[np.float32]
    sources: Ints
    reason: Ints
    reason_arg: Ints
    plays: Ints
    last_day: Ints
    emitted: Ints
    drops: Ints
    shortfall: list[str]


def build_pools(candidates: Candidates, request: PoolRequest) -> Pools:
    """Fuse, drop by the first rule that binds, rank, cut at K and account for everything.

    Score = Σ over sources weight / (rrf_k + rank) (Cormack et al. 2009): ranks, never raw scores, are compared. Ties go to
    the lower recording idx. Per user: Σ drops + pool size = emitted.
    """
    from trackpools.core.fusing import fuse

    c, users = candidates.by_source(), candidates.users
    ends = c.ends()
    share = np.asarray(request.weights)[c.source] / (request.rrf_k + c.rank)
    drops, emitted, most = np.zeros((users, len(RULES)), np.int64), np.zeros(users, np.int64), int(np.minimum(np.diff(ends), request.k).sum())
    score, sources, first, main = np.empty(most, np.float32), np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    made = fuse(ends, c.recording, c.source, share, c.flags, request.k, (score, sources, first, main), emitted, drops)
    score, sources, first, main = score[:made], sources[:made], first[:made], main[:made]
    size = emitted - drops.sum(axis=1)
    plays, carrier = c.plays[first], c.source[main]
    # a new or charted candidate is explained by its rank in the source that carried it, a familiar one by its plays
    played = c.heard[first] & (plays > 0)  # what is known by a rating alone has no plays to tell of
    return Pools(
        offsets=np.concatenate([[0], np.cumsum(size)]), recording=c.recording[first], score=score, sources=sources,
        reason=2 * carrier + played, reason_arg=np.where(played & (carrier == 0), plays, c.rank[main]), plays=plays, last_day=c.last_day[first],
        emitted=emitted, drops=drops, shortfall=_shortfalls(size, drops, c, request.k),
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
        names.append("" if short <= 0 else RULES[int(row[:BELOW_CUT].argmax())] if row[:BELOW_CUT].sum() >= short else CATALOGUE)
    return names


def build_pool(candidates: Candidates, request: PoolRequest) -> dict[str, object]:
    """The pool row of one user, with the field names of `tables.POOLS`.

    Raises:
        ValueError: where `candidates` holds another number of users than one.
    """
    if candidates.users != 1:
        raise ValueError(f"build_pool takes one user, got {candidates.users}; use build_pools")
    p = build_pools(candidates, request)
    columns = (p.recording, p.score, p.sources, p.reason, p.reason_arg, p.plays, p.last_day)
    names = ("recording", "score", "sources", "reason", "reason_arg", "plays", "last_day")
    rows = [dict(zip(names, values, strict=True)) | {"propensity": 1.0} for values in zip(*(column.tolist() for column in columns), strict=True)]
    for row in rows:
        row["last_day"] = None if row["last_day"] < 0 else row["last_day"]
    drops = {name: int(n) for name, n in zip(RULES, p.drops[0], strict=True) if n}
    shortfall = {"wanted": request.k, "got": len(rows), "rule": p.shortfall[0]} if p.shortfall[0] else None
    return {"candidates": rows, "drops": drops, "emitted": int(p.emitted[0]), "shortfall": shortfall}
