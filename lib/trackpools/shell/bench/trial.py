"""A flow up to a day, and what was heard in the days after it: what benchmarks of quality measure on."""

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
from trackpools.core import assemble
from trackpools.core.holdout import by_time
from trackpools.core.interactions import is_public, with_idx
from trackpools.core.resampling import of_values
from trackpools.core.rules import is_heard
from trackpools.core.sources.inputs import SourceInputs
from trackpools.shell import work
from trackpools.shell.command import Options
from trackpools.shell.flow import Flow
from trackpools.shell.kept import kept
from trackpools.shell.session import spark_session
from trackpools.shell.tracking import Tracker

TEST_DAYS, K = 14, 500


def prepared(config: Config, day: date, importer: str = "synthetic", path: str | None = None) -> Flow:
    """A flow over an imported log, up to a day, with all that the stage `pools` reads."""
    work.import_log(config, Options(quiet=True), importer, path)
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
    flow = Flow(
        config, spark_session(config.session), Tracker(config.mlflow, None, "bench", "bench"), as_of=as_of
    )
    for stage in stages.STAGES[:-1]:
        flow.run(stage)
    return flow


@dataclass(frozen=True)
class Trial:
    """What sources are given under one heard policy, what they propose, and what was heard later.

    Attributes:
        truth: `user_idx, recording_idx`, each once.
        proposed: of all sources together, as a pool is made.
        deep: the same, where each source may fill a pool by itself.
        users: int64, ascending: those with any truth; `wanted` how many a pool of K could hold of it.
    """

    inputs: SourceInputs
    truth: DataFrame
    proposed: DataFrame
    deep: DataFrame
    users: Any
    wanted: Any

    def pools(self, rows: DataFrame, **settings: Any) -> DataFrame:
        """`user_idx, recording_idx` of the pools made of rows of candidates, with other settings of `pools` than the inputs'."""
        config = self.inputs.config
        told = replace(
            self.inputs, config=config.model_copy(update={"pools": config.pools.model_copy(update=settings)})
        )
        return assemble.pools(told, rows, told.as_of, "bench").select(
            "user_idx", F.explode("candidates.recording").alias("recording_idx")
        )

    def recall(self, pools: DataFrame) -> Any:
        """recall@K of each of `users`."""
        hits = pools.join(self.truth, ["user_idx", "recording_idx"]).groupBy("user_idx").count().toArrow()
        counts = np.zeros(len(self.users))
        counts[np.searchsorted(self.users, hits["user_idx"].to_numpy())] = hits["count"].to_numpy()
        return counts / self.wanted


@contextmanager
def trial(flow: Flow, heard: str, later: DataFrame | None = None) -> Iterator[Trial]:
    """Under the policy `exclude` the truth is what was heard for the first time, under `only` what was heard again; `mark` is both.

    Args:
        later: `user_idx, recording_idx` of what was heard later, where the log itself does not hold it.
    """
    c = flow.context(stages.STAGES[-1])
    read = {name: flow.store.read(name, version) for name, version in c.versions.items()}
    config = c.config.model_copy(update={"pools": c.config.pools.model_copy(update={"heard": heard})})
    inputs = stages.source_inputs(read, replace(c, config=config))
    with ExitStack() as held:
        truth = held.enter_context(
            kept(_wanted(_heard_later(flow, read) if later is None else later, read, heard))
        )
        proposed, deep = (
            held.enter_context(kept(assemble.candidates(some))) for some in (inputs, _alone(inputs))
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
    """What was heard in the days after as_of, not in a private session."""
    store = flow.store
    versions = flow.pin((tables.PLAYS, tables.TRACKS, tables.RECORDING_IDS))
    plays = store.read("plays", versions["plays"]).where(is_public())
    later = by_time(plays, flow.moment.as_of, horizon_days=TEST_DAYS, at="played_at").test
    return with_idx(
        later,
        store.read("tracks", versions["tracks"]),
        read["user_ids"],
        store.read("recording_ids", versions["recording_ids"]),
    )


def _wanted(later: DataFrame, read: dict[str, DataFrame], heard: str) -> DataFrame:
    """`user_idx, recording_idx`, each once, of users with factors and as the policy wants them."""
    trained = read["user_factors"].select(F.col("idx").alias("user_idx"))
    pairs = later.select("user_idx", "recording_idx").distinct().join(trained, "user_idx", "left_semi")
    before, kinds = read["interactions"].where(is_heard()), {"exclude": "left_anti", "only": "left_semi"}
    return pairs.join(before, ["user_idx", "recording_idx"], kinds[heard]) if heard in kinds else pairs


def _alone(inputs: SourceInputs) -> SourceInputs:
    config = inputs.config
    sources = {name: getattr(config.sources, name) for name in config.sources.names}
    longer = {name: own.model_copy(update={"k": max(own.k, 2 * K)}) for name, own in sources.items()}
    return replace(
        inputs, config=config.model_copy(update={"sources": config.sources.model_copy(update=longer)})
    )


def interval(differences: Any) -> tuple[float, float]:
    """95 % of the mean over users."""
    low, high = of_values(differences).interval()
    return float(low[0]), float(high[0])
