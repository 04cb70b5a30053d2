"""A block of users as arrays: the users, their histories, and the facts of the recordings in them.

A `UserBlock` is the input of the functions `seeds` and `offers` of a candidate source.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from trackpools.config.sources import SeededSourceConfig
from trackpools.core.arrays.array_types import Float64Array, Int64Array
from trackpools.core.arrays.recording_table import FUNCTIONAL, RecordingTable
from trackpools.core.topk.exact import top_k_rows

NO_DAY = -1  # stands for an unknown day


def day_number(day: date) -> int:
    """Return the number of days from 1970-01-01 to this day."""
    return (day - date(1970, 1, 1)).days


@dataclass(frozen=True)
class UserBlock:
    """The users of a block, and their histories one after another.

    The attributes from `recording` to `facts` have one entry for each user and recording of the histories.

    Attributes:
        idx: int32 [users], the `user_idx`, ascending.
        market: int64 [users], code of the market group; see `chart_keys`.
        clean: bool [users], whether the user wants clean tracks only.
        declared: (int64 ends [users + 1], int64 tag codes), the tags that users declared at sign-up.
        ends: int64 [users + 1]; the history of user u is at `ends[u]:ends[u + 1]`, ordered by recording.
        recording: int64, number of the recording.
        plays: int64, number of plays.
        first_day, last_day: int64, day of the first and of the last play, in days since 1970; NO_DAY if
            unknown.
        weight: float64, the positive weight w⁺ at as_of; 0 for non-taste audio and without positive evidence.
        heard: bool, whether the user heard the recording.
        excluded: bool, whether the user blocked the recording or the heard policy refuses it.
        facts: the facts of the recordings, row by row.
        today: as_of, in days since 1970.
    """

    idx: NDArray[np.int32]
    market: Int64Array
    clean: NDArray[np.bool_]
    declared: tuple[Int64Array, Int64Array]
    ends: Int64Array
    recording: Int64Array
    plays: Int64Array
    first_day: Int64Array
    last_day: Int64Array
    weight: Float64Array
    heard: NDArray[np.bool_]
    excluded: NDArray[np.bool_]
    facts: RecordingTable
    today: int

    @property
    def users(self) -> int:
        """The number of users in the block."""
        return len(self.idx)

    @property
    def owner(self) -> Int64Array:
        """The position in `idx` of the user to whom each entry of the histories belongs, int64."""
        return np.repeat(np.arange(self.users), np.diff(self.ends))

    def days_since_play(self) -> Float64Array:
        """Return the days since the last play, at least 0.5; 365 if the day of that play is unknown."""
        return np.maximum(np.where(self.last_day == NO_DAY, 365.0, self.today - self.last_day), 0.5)


def taste_weights(weight: Float64Array, facts: RecordingTable) -> Float64Array:
    """Return the weights, with 0 for non-taste audio.

    Such audio still counts as heard, but nothing about the user's taste is concluded from it.
    """
    return np.where(facts.marks & FUNCTIONAL > 0, 0.0, weight)


@dataclass(frozen=True)
class Seeds:
    """The lists to look up for each user, one entry for each user × list, ordered by user.

    Attributes:
        user: int64, the user's position in the block, ascending.
        key: int64, the key of the list.
        weight: float64 above 0, how much the list counts.
    """

    user: Int64Array
    key: Int64Array
    weight: Float64Array


@dataclass(frozen=True)
class Offers:
    """The recordings to propose, ordered by user, then best first.

    Attributes:
        user: int64, the user's position in the block, ascending.
        recording: int64, the number of the recording.
        score: float64, the score by which the source ranks the recording.
    """

    user: Int64Array
    recording: Int64Array
    score: Float64Array


def sum_by_key(
    user: Int64Array, key: Int64Array, value: Float64Array
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Sum the values of each pair of user and key.

    The values of a pair are added in the order given, so that the sum of floats is always the same.

    Returns:
        (user, key, Σ value), one entry for each distinct pair, ordered by user, then key.
    """
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


def recent_and_loved(listeners: UserBlock, settings: SeededSourceConfig) -> Seeds:
    """Select each user's seed recordings: those of greatest weight, and those of greatest recent weight.

    Half of `settings.seeds` are selected by weight and half by recent weight. The recent weight is the
    weight, halved for every `settings.recent_days` since the last play. Blocked recordings that were never
    heard, and recordings of weight 0, are no seeds.

    Returns:
        Seeds, with the recording as the key. The weight of a seed is its weight divided by the user's
        greatest weight, or the same with recent weights; a recording that is selected by both has the larger
        of the two.
    """
    n, of, weight = (
        settings.seeds,
        listeners.owner,
        np.where(listeners.excluded & ~listeners.heard, 0.0, listeners.weight),
    )
    parts = []
    for value, count in (
        (weight, n - n // 2),
        (weight * np.exp2(-listeners.days_since_play() / settings.recent_days), n // 2),
    ):
        rows = top_k_rows(of, value, listeners.recording, count)
        rows = rows[value[rows] > 0]
        first = np.searchsorted(of[rows], of[rows], side="left")
        parts.append((rows, value[rows] / value[rows[first]] if len(rows) else value[rows]))
    rows, counts = (np.concatenate(both) for both in zip(*parts, strict=True))
    order = np.lexsort((-counts, rows))
    rows, counts = rows[order], counts[order]
    once = np.diff(rows, prepend=-1) > 0
    return Seeds(of[rows[once]], listeners.recording[rows[once]], counts[once])


def tag_profile(listeners: UserBlock, declared: float) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Return each user's tag profile: the share of every tag in the weight of the user's history.

    The weight of a recording is spread evenly over its tags.

    Args:
        listeners: the users and their histories.
        declared: the weight that each declared tag adds.

    Returns:
        (user's position, tag code, share), one entry for each user × tag, ordered by user, then tag. The
        shares of a user add up to 1; a user without tags has no entry.
    """
    tags = listeners.facts.tags.astype(np.int64)
    told = tags > 0
    spread = np.where(told, listeners.weight[:, None] / np.maximum(told.sum(axis=1, keepdims=True), 1), 0.0)
    rows, columns = np.nonzero(spread)
    sizes = np.diff(listeners.declared[0])
    user = np.concatenate([listeners.owner[rows], np.repeat(np.arange(listeners.users), sizes)])
    tag = np.concatenate([tags[rows, columns], listeners.declared[1]])
    user, tag, value = sum_by_key(
        user, tag, np.concatenate([spread[rows, columns], np.full(sizes.sum(), declared)])
    )
    total = np.bincount(user, value, minlength=listeners.users)
    return user, tag, value / total[user]
