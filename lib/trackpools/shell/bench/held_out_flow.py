"""Run the stages on the plays before a day, and compare the candidates with what was heard afterwards.

The benchmarks `bench quality` and `bench facets` measure in this way.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import stages, tables
from trackpools.config import Config
from trackpools.core.evaluation.bootstrap import resample_values
from trackpools.core.evaluation.holdout import by_time
from trackpools.core.log.interactions import is_public, with_idx
from trackpools.core.pools import batch
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.rules.eligibility import is_heard
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.spark.session import spark_session
from trackpools.shell.tracking.tracker import Tracker

TEST_DAYS, K = 14, 500  # days after as_of whose plays are the truth; size of the pools


def prepared(config: Config, day: date, importer: str = "synthetic", path: str | None = None) -> Flow:
    """Import a log, and run all stages before the stage `pools`.

    Args:
        config: The merged configuration.
        day: Only plays before this day (UTC) count.
        importer: The name of the importer.
        path: The file or folder to import; None if the importer needs none.

    Returns:
        The flow, with all tables that the stage `pools` reads.
    """
    pipeline.import_log(config, Options(quiet=True), importer, path)
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
    flow = Flow(
        config, spark_session(config.session), Tracker(config.mlflow, None, "bench", "bench"), as_of=as_of
    )
    for stage in stages.STAGES[:-1]:
        flow.run(stage)
    return flow


@dataclass(frozen=True)
class Trial:
    """The inputs of the sources under one heard policy, their candidates, and what was heard later.

    The heard policy is the setting `pools.heard`.

    Attributes:
        inputs: The inputs of the sources.
        truth: `user_idx, recording_idx`, one row for each pair that a pool should contain.
        proposed: The candidates of all sources, with the configured numbers of candidates.
        deep: The candidates of all sources, with at least 2·K for each source, so that one source alone can
            fill a pool.
        users: int64, the users with at least one pair in `truth`, ascending.
        wanted: int64, for each of `users`, the number of their pairs in `truth`, but at most K.
    """

    inputs: PoolInputs
    truth: DataFrame
    proposed: DataFrame
    deep: DataFrame
    users: Any
    wanted: Any

    def pools(self, rows: DataFrame, **settings: Any) -> DataFrame:
        """Build pools from candidates, with some settings changed.

        Args:
            rows: Rows of `proposed` or `deep`.
            settings: Keys of the section `pools` to change.

        Returns:
            `user_idx, recording_idx`, one row for each candidate of a pool.
        """
        config = self.inputs.config
        told = replace(
            self.inputs, config=config.model_copy(update={"pools": config.pools.model_copy(update=settings)})
        )
        return batch.pools(told, "bench", rows).select(
            "user_idx", F.explode("candidates.recording").alias("recording_idx")
        )

    def recall(self, pools: DataFrame) -> Any:
        """Return recall@K of each of `users`, float64.

        Args:
            pools: The result of `pools`.
        """
        hits = pools.join(self.truth, ["user_idx", "recording_idx"]).groupBy("user_idx").count().toArrow()
        counts = np.zeros(len(self.users))
        counts[np.searchsorted(self.users, hits["user_idx"].to_numpy())] = hits["count"].to_numpy()
        return counts / self.wanted


@contextmanager
def trial(flow: Flow, heard: str, later: DataFrame | None = None) -> Iterator[Trial]:
    """Compute the candidates of all sources under one heard policy, and what was heard later.

    Frames of the trial are persisted until the block ends.

    Args:
        flow: The result of `prepared`.
        heard: The heard policy. Under `exclude`, the truth is what was heard for the first time; under
            `only`, what was heard again; under `mark`, both.
        later: `user_idx, recording_idx` of what was heard later, if the log does not contain it; None reads it
            from the log.
    """
    c = flow.context(stages.STAGES[-1])
    read = {name: flow.store.read(name, version) for name, version in c.versions.items()}
    config = c.config.model_copy(update={"pools": c.config.pools.model_copy(update={"heard": heard})})
    inputs = stages.pool_inputs(read, replace(c, config=config))
    with ExitStack() as held:
        truth = held.enter_context(
            persisted(_truth(_heard_later(flow, read) if later is None else later, read, heard))
        )
        proposed, deep = (
            held.enter_context(persisted(batch.candidates(some)))
            for some in (inputs, _with_longer_lists(inputs))
        )
        people = truth.groupBy("user_idx").count().toArrow().sort_by("user_idx")
        yield Trial(
            inputs,
            truth,
            proposed,
            deep,
            people["user_idx"].to_numpy(),
            np.minimum(people["count"].to_numpy(), K),
        )


def _heard_later(flow: Flow, read: dict[str, DataFrame]) -> DataFrame:
    """Return the plays of the TEST_DAYS days after `as_of`, without private sessions.

    The plays have the columns `user_idx` and `recording_idx`.
    """
    store = flow.store
    versions = flow.pin_versions((tables.PLAYS, tables.TRACKS, tables.RECORDING_IDS))
    plays = store.read("plays", versions["plays"]).where(is_public())
    later = by_time(plays, flow.moment.as_of, horizon_days=TEST_DAYS, at="played_at").test
    return with_idx(
        later,
        store.read("tracks", versions["tracks"]),
        read["user_ids"],
        store.read("recording_ids", versions["recording_ids"]),
    )


def _truth(later: DataFrame, read: dict[str, DataFrame], heard: str) -> DataFrame:
    """Return the distinct `user_idx, recording_idx` that count as truth, for users with factors.

    Args:
        later: What was heard later, `user_idx, recording_idx`.
        read: Table name → frame.
        heard: The heard policy, see `trial`.
    """
    trained = read["user_factors"].select(F.col("idx").alias("user_idx"))
    pairs = later.select("user_idx", "recording_idx").distinct().join(trained, "user_idx", "left_semi")
    before, kinds = read["interactions"].where(is_heard()), {"exclude": "left_anti", "only": "left_semi"}
    return pairs.join(before, ["user_idx", "recording_idx"], kinds[heard]) if heard in kinds else pairs


def _with_longer_lists(inputs: PoolInputs) -> PoolInputs:
    """Return the inputs with at least 2·K candidates for each source and user."""
    config = inputs.config
    sources = {name: getattr(config.sources, name) for name in config.sources.names}
    longer = {name: own.model_copy(update={"k": max(own.k, 2 * K)}) for name, own in sources.items()}
    return replace(
        inputs, config=config.model_copy(update={"sources": config.sources.model_copy(update=longer)})
    )


def interval(differences: Any) -> tuple[float, float]:
    """Return the ends of the 95 % bootstrap interval of the mean over users.

    Args:
        differences: One value for each user, float64.
    """
    low, high = resample_values(differences).interval()
    return float(low[0]), float(high[0])
