"""`build_pool`: candidates of many sources → exactly K, each with its sources and reason, every drop counted.

One vectorised function over a batch of users; a single user on demand is a batch of one and gets the same row.
"""

from dataclasses import dataclass
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
    c, users = candidates, candidates.users
    order = np.lexsort((c.source, c.recording, c.user))
    user, recording, source, rank = c.user[order], c.recording[order], c.source[order], c.rank[order]
    first = np.ones(len(order), bool)
    first[1:] = (user[1:] != user[:-1]) | (recording[1:] != recording[:-1])
    start = np.flatnonzero(first)  # one group a distinct user × recording
    share = np.asarray(request.weights)[source] / (request.rrf_k + rank)
    score = _reduce(np.add, share, start).astype(np.float32)
    sources = _reduce(np.bitwise_or, np.left_shift(1, source), start)
    main = _main(share, start)
    heard = c.heard[order][start]
    who, what, flag = user[start], recording[start], c.flags[order][start]
    dropped = flag != 0
    lowest = np.log2(np.where(dropped, flag & -flag, 1)).astype(np.int64)
    drops = np.zeros((users, len(RULES)), np.int64)
    np.add.at(drops, (who[dropped], lowest[dropped]), 1)
    kept = np.flatnonzero(~dropped)
    kept = kept[np.lexsort((what[kept], -score[kept], who[kept]))]
    position = np.arange(len(kept)) - np.searchsorted(who[kept], who[kept], side="left")
    drops[:, BELOW_CUT] = np.bincount(who[kept][position >= request.k], minlength=users)
    kept = kept[position < request.k]
    size = np.bincount(who[kept], minlength=users)
    plays = c.plays[order][start][kept]
    # a new or charted candidate is explained by its rank in the source that carried it, a familiar one by its plays
    played = heard[kept] & (plays > 0)  # what is known by a rating alone has no plays to tell of
    arg = np.where(played & (source[main][kept] == 0), plays, rank[main][kept])
    return Pools(
        offsets=np.concatenate([[0], np.cumsum(size)]), recording=what[kept], score=score[kept], sources=sources[kept],
        reason=2 * source[main][kept] + played, reason_arg=arg, plays=plays, last_day=c.last_day[order][start][kept],
        emitted=np.bincount(who, minlength=users), drops=drops, shortfall=_shortfalls(size, drops, c, request.k),
    )


def _reduce(operation: np.ufunc, values: Array, start: Ints) -> Array:
    return np.asarray(operation.reduceat(values, start)) if len(start) else values[:0]


def _main(share: NDArray[np.float64], start: Ints) -> Ints:
    """Entry of each group that contributes most; the first source among equals."""
    if not len(start):
        return start
    group = np.repeat(np.arange(len(start)), np.diff(np.append(start, len(share))))
    order = np.lexsort((np.arange(len(share)), -share, group))
    return order[start]


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
