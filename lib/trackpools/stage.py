"""The types of a stage: the stage itself, its context, and what it may report and call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from pyspark.sql import DataFrame

from trackpools.config import Config, TrainConfig
from trackpools.core.als.fit import Fit
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.proposals.release_arrays import OpenArrays
from trackpools.schema import Table

Frames = Mapping[str, DataFrame]
Persist = Callable[[DataFrame], DataFrame]
Trainer = Callable[[DataFrame, TrainConfig, DataFrame | None, Persist], Fit]
RecallMeasure = Callable[[PoolInputs], tuple[dict[str, float], list[str]]]


@dataclass(frozen=True)
class Actions:
    """The functions of `trackpools.shell` that the body of a stage may call.

    These functions run Spark jobs. The body itself runs none; it only builds lazy frames.

    Attributes:
        train: fits ALS factors to a training set with the configured engine; see
            `shell.training.train.train`.
        measure_recall: measures on samples of users which share of the exact top-k the approximate search
            finds; returns metrics (name → value) and warnings.
    """

    train: Trainer
    measure_recall: RecallMeasure


@dataclass
class Notes:
    """The findings that a stage reports in addition to its tables.

    Attributes:
        warnings: problems that an operator should look at, one sentence each.
        metrics: name of the metric → value.
        curve: the loss after each iteration of a training, if the engine reports it (`Fit.curve`).
    """

    warnings: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """Everything besides its frames that the body of a stage may depend on.

    Attributes:
        config: the merged configuration.
        as_of: only plays before this moment count.
        known_as_of: only plays that the service received before this moment count.
        since: the first UTC day that the stage `daily` recomputes; None recomputes all days. It is None for
            all other stages.
        versions: table → pinned version, for each table that the stage reads.
        run_key: a hash that identifies this work: stage, code, settings, input versions and moments. The
            stage `train` writes it into its factors as their model version.
        model_version: the model version of the user factors that the stage reads; `run_key` if it reads none.
        rows: table → number of rows. It has only the tables `recording_factors` and `recording_vectors`, if
            the stage reads them; bodies use these numbers to choose a plan.
        notes: collects what the stage reports in addition to its tables.
        persist: persists a frame that is read more than once until the stage is written, and returns it.
        actions: the functions of the shell that a body may call.
        arrays: writes the arrays of the tables of recordings that the stage reads, where they are not written
            yet, and returns what opens them in a task.
        subset_size: the number of users, if the frames hold only a small subset of all users; else None.
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
    persist: Persist
    actions: Actions
    arrays: Callable[[], OpenArrays]
    subset_size: int | None = None


@dataclass(frozen=True)
class Stage:
    """One step of the flow.

    Attributes:
        name: the name that commands, commits and MLflow use for the stage.
        does: what the stage does, in a few words.
        reads: the tables that the stage reads.
        writes: the tables that the stage writes.
        sections: the sections of the configuration that the result depends on.
        run: the body of the stage, a function. Its arguments are the frames to read (table name → frame) and
            the context; it returns lazy frames to write (table name → frame).
    """

    name: str
    does: str
    reads: tuple[Table, ...]
    writes: tuple[Table, ...]
    sections: tuple[str, ...]
    run: Callable[[Frames, Context], dict[str, DataFrame]]
