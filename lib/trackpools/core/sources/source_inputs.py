"""The inputs of candidate sources: for building lists, for ranking by factors, and about users."""

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame

from trackpools.config import Config


@dataclass(frozen=True, kw_only=True)
class ListInputs:
    """The inputs of `Source.lists`, with lazy frames at pinned versions of the tables.

    Attributes:
        interactions: `user_idx, recording_idx, weight double (w⁺ at as_of), plays, last_day`; one row for
            each user and recording that was heard or liked, without non-taste.
        days: the table `plays_daily`.
        facts: the table `recording_facts`.
        cards: the table `track_cards`.
        recording_factors: `idx int, factors array<float>`.
        recordings: number of recordings with factors, by which the search is planned (exact or approximate).
        config: the whole configuration.
        as_of: the point in time for which the lists are built.
    """

    interactions: DataFrame
    days: DataFrame
    facts: DataFrame
    cards: DataFrame
    recording_factors: DataFrame
    recordings: int
    config: Config
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class ScoringInputs:
    """The inputs of `als.rank_by_factors`, which ranks recordings by factors.

    Attributes:
        users: `user_idx int, market string, clean boolean`; `market` is the market group.
        history: the result of `rules.eligibility.history`.
        cards: the table `track_cards`.
        user_factors, recording_factors: `idx int, factors array<float>`.
        recordings: number of recordings with factors, by which the search is planned (exact or approximate).
        rank: length of the factors.
        config: the whole configuration.
    """

    users: DataFrame
    history: DataFrame
    cards: DataFrame
    user_factors: DataFrame
    recording_factors: DataFrame
    recordings: int
    rank: int
    config: Config


@dataclass(frozen=True, kw_only=True)
class UserInputs:
    """What is known about the users to whom recordings are proposed, as lazy frames at pinned versions.

    Attributes:
        users: `user_idx int, market string, clean boolean, declared_tags array<string>, profile`, one row for
            each eligible user; `market` is the market group and `profile` is as in `tables.USER_FEATURES`.
        history: the result of `rules.eligibility.history`.
        config: the whole configuration.
        as_of: the point in time for which recordings are proposed.
        subset_size: the number of users in `users`, if they are a small subset of all users; see
            `packing.BlockAssignment`. None if they are all users.
    """

    users: DataFrame
    history: DataFrame
    config: Config
    as_of: datetime
    subset_size: int | None = None
