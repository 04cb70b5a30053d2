"""What a stage of the flow is, and what its body is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.table import Table

Frames = Mapping[str, DataFrame]


@dataclass
class Notes:
    """What a stage has to say beside its tables."""

    warnings: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """When and how a stage runs.

    Attributes:
        as_of: only plays before it count.
        known_as_of: only plays received before it count.
        since: first day that `daily` recomputes; None is all.
        versions: pinned version of each table read.
        run_key: identity of this work; the model version of what it trains.
        rows: table → rows where that is known, to plan with.
        keep: holds the rows of a frame that is read more than once until the stage is written.
        few: how many users it is about, where they are few of all.
    """

    config: Config
    as_of: datetime
    known_as_of: datetime
    since: date | None
    versions: Mapping[str, int]
    run_key: str
    model_version: str
    rows: Mapping[str, int]
    notes: Notes
    keep: Callable[[DataFrame], DataFrame]
    few: int | None = None


@dataclass(frozen=True)
class Stage:
    """One step of the flow.

    Attributes:
        sections: configuration sections that its result depends on.
    """

    name: str
    does: str
    reads: tuple[Table, ...]
    writes: tuple[Table, ...]
    sections: tuple[str, ...]
    run: Callable[[Frames, Context], dict[str, DataFrame]]
