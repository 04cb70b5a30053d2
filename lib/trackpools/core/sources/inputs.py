"""What candidate sources are given: to make lists that are the same for all, and to propose to listeners."""

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.core.sources.listeners import day_number


@dataclass(frozen=True, kw_only=True)
class ListInputs:
    """Lazy frames at pinned versions, from which lists are made.

    Attributes:
        interactions: `user_idx, recording_idx, weight double (w⁺ at as_of), plays, last_day`: what was heard or liked and is taste.
        days: `plays_daily`.
        facts: `recording_facts`.
        cards: `track_cards`.
        recording_factors: `idx int, factors array<float>`.
        recordings: number of trained recordings, to plan with.
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
class Scoring:
    """What ranking by factors needs.

    Attributes:
        users: `user_idx int, market string (group), clean boolean`.
        history: result of `rules.history`.
        cards: `track_cards`.
        user_factors, recording_factors: `idx int, factors array<float>`.
        recordings, rank: number of recordings with factors, and of factors, to plan with.
        stripes: of `als.stripes`, where the caller keeps them to use them more than once.
        few: how many users these are, where they are few of all; see `packing.Blocks`.
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
    few: int | None = None


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Vectors of somebody's own: `idx int, factors array<float>` of users and of recordings, and how many recordings have one, to plan with."""

    users: DataFrame
    recordings: DataFrame
    count: int


@dataclass(frozen=True, kw_only=True)
class SourceInputs(Scoring):
    """Lazy frames at pinned versions, and when it is.

    Attributes:
        users: eligible ones, also with `declared_tags array<string>`.
        shelf: of `shelf.packed_shelf`.
        lists: `source_lists`.
        fresh_factors: `idx int, factors array<float>` of new releases.
        vectors: those of the source `vectors`; None where it is off.
    """

    as_of: datetime
    shelf: DataFrame
    lists: DataFrame
    fresh_factors: DataFrame
    vectors: Vectors | None = None

    @property
    def today(self) -> int:
        """as_of in days since 1970."""
        return day_number(self.as_of.date())
