"""A block of listeners as arrays: who they are and what they heard, with the facts of it; what sources that look things up are shown."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.core.shelf import FUNCTIONAL, Shelf
from trackpools.core.topk import leading

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]
NEVER = -1  # day of what has no date


def day_number(day: date) -> int:
    """Days since 1970."""
    return (day - date(1970, 1, 1)).days


@dataclass(frozen=True)
class Listeners:
    """Users of a block, and their histories one behind the other.

    Attributes:
        idx: int32 [users], ascending.
        market: int64 [users], code of the market group, see `keys`.
        clean: bool [users], wants clean tracks only.
        declared: (int64 ends [users + 1], int64 tag codes): tastes told at sign-up.
        ends: int64 [users + 1] of the histories; those of a user by recording.
        recording, plays, first_day, last_day: int64, of what they met; days since 1970, NEVER where unknown.
        weight: float64, w⁺ at as_of; 0 where there is no positive evidence, see also `taste_only`.
        heard, closed: bool: heard it; blocked it, or the heard policy refuses it.
        facts: the shelf's rows of the recordings.
        today: as_of, in days since 1970.
    """

    idx: NDArray[np.int32]
    market: Longs
    clean: NDArray[np.bool_]
    declared: tuple[Longs, Longs]
    ends: Longs
    recording: Longs
    plays: Longs
    first_day: Longs
    last_day: Longs
    weight: Floats
    heard: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    facts: Shelf
    today: int

    @property
    def users(self) -> int:
        return len(self.idx)

    @property
    def owner(self) -> Longs:
        """The user's row of each row of history."""
        return np.repeat(np.arange(self.users), np.diff(self.ends))

    def age(self) -> Floats:
        """Days since the last play, at least half a one; a year where it has no date."""
        return np.maximum(np.where(self.last_day == NEVER, 365.0, self.today - self.last_day), 0.5)


def taste_only(weight: Floats, facts: Shelf) -> Floats:
    """The weights, 0 for audio that is no taste: it is heard, and stays so, but nothing follows from it."""
    return np.where(facts.marks & FUNCTIONAL > 0, 0.0, weight)


@dataclass(frozen=True)
class Seeds:
    """Which lists are looked up, by user ascending: user's row int64, key int64, weight float64 above 0."""

    user: Longs
    key: Longs
    weight: Floats


@dataclass(frozen=True)
class Offers:
    """What is proposed, by user ascending, then best first: user's row int64, recording int64, score float64."""

    user: Longs
    recording: Longs
    score: Floats


def summed(user: Longs, key: Longs, value: Floats) -> tuple[Longs, Longs, Floats]:
    """(user, key, Σ value) of each pair, by user and key; added in the order given."""
    order = np.lexsort((key, user))
    user, key, value = user[order], key[order], value[order]
    starts = (
        np.flatnonzero(
            np.diff(user, prepend=-1).astype(bool) | np.diff(key, prepend=np.iinfo(np.int64).min).astype(bool)
        )
        if len(user)
        else order
    )
    return user[starts], key[starts], np.add.reduceat(value, starts) if len(user) else value


def recent_and_loved(listeners: Listeners, settings: Any) -> Seeds:
    """The recordings to start from, and what each counts, up to 1: half of `seeds` of most weight, half of most weight lately, some both.

    Weight lately is halved every `recent_days` since the last play.
    """
    n, of, weight = (
        settings.seeds,
        listeners.owner,
        np.where(listeners.closed & ~listeners.heard, 0.0, listeners.weight),
    )
    parts = []
    for value, count in (
        (weight, n - n // 2),
        (weight * np.exp2(-listeners.age() / settings.recent_days), n // 2),
    ):
        rows = leading(of, value, listeners.recording, count)
        rows = rows[value[rows] > 0]
        first = np.searchsorted(of[rows], of[rows], side="left")
        parts.append((rows, value[rows] / value[rows[first]] if len(rows) else value[rows]))
    rows, counts = (np.concatenate(both) for both in zip(*parts, strict=True))
    order = np.lexsort((-counts, rows))
    rows, counts = rows[order], counts[order]
    once = np.diff(rows, prepend=-1) > 0
    return Seeds(of[rows[once]], listeners.recording[rows[once]], counts[once])


def tag_profile(listeners: Listeners, declared: float) -> tuple[Longs, Longs, Floats]:
    """(user, tag code, share) by user and tag: of their weight, each recording's spread over its tags; a declared tag counts as `declared` plays' worth."""
    tags = listeners.facts.tags.astype(np.int64)
    told = tags > 0
    spread = np.where(told, listeners.weight[:, None] / np.maximum(told.sum(axis=1, keepdims=True), 1), 0.0)
    rows, columns = np.nonzero(spread)
    sizes = np.diff(listeners.declared[0])
    user = np.concatenate([listeners.owner[rows], np.repeat(np.arange(listeners.users), sizes)])
    tag = np.concatenate([tags[rows, columns], listeners.declared[1]])
    user, tag, value = summed(
        user, tag, np.concatenate([spread[rows, columns], np.full(sizes.sum(), declared)])
    )
    total = np.bincount(user, value, minlength=listeners.users)
    return user, tag, value / total[user]
