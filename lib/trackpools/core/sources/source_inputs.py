"""The inputs of candidate sources: for building lists, and for proposing recordings to users."""

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.core.sources.user_block import day_number


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
        stripes: the result of `sources.als.stripes`, if the caller uses it several times; None computes it.
        subset_size: the number of users in `users`, if they are a small subset of all users; see
            `packing.BlockAssignment`. None if they are all users.
    """

    users: DataFrame
    history: DataFrame
    cards: DataFrame
    user_factors: DataFrame
    recording_factors: DataFrame
    recordings: int
    rank: int
    config: Config
    stripes: DataFrame | None = None
    subset_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExternalVectors:
    """Vectors that were trained outside trackpools.

    Attributes:
        users, recordings: `idx int, factors array<float>`; `idx` is a `user_idx` or `recording_idx`.
        count: number of recordings with a vector, by which the search is planned (exact or approximate).
    """

    users: DataFrame
    recordings: DataFrame
    count: int


@dataclass(frozen=True, kw_only=True)
class SourceInputs(ScoringInputs):
    """The inputs from which sources propose recordings to users, with lazy frames at pinned versions.

    Attributes:
        users: the eligible users, with the further column `declared_tags array<string>`.
        as_of: the point in time for which recordings are proposed.
        shelf: the result of `recording_table.packed_shelf`.
        lists: the table `source_lists`.
        fresh_factors: `idx int, factors array<float>` of recent music; see `sources.fresh.vectors`.
        vectors: the vectors of the source `vectors`; None if that source is off.
    """

    as_of: datetime
    shelf: DataFrame
    lists: DataFrame
    fresh_factors: DataFrame
    vectors: ExternalVectors | None = None

    @property
    def today(self) -> int:
        """The date of `as_of`, in days since 1970-01-01."""
        return day_number(self.as_of.date())
