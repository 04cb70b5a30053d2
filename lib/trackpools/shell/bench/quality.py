"""What the blend is worth: recall@500 of recordings heard for the first time, against each source alone, on a world whose parameters were fixed beforehand.

The world, the split and the seed stand here and are not tuned; weights of sources were chosen on the fortnight before the one that is measured.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import stages, tables
from trackpools.config import Config
from trackpools.core import assemble
from trackpools.core.interactions import is_public, with_idx
from trackpools.core.rules import is_heard
from trackpools.core.sources import enabled
from trackpools.core.sources.inputs import SourceInputs
from trackpools.shell import work
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.command import Options
from trackpools.shell.flow import Flow
from trackpools.shell.kept import kept
from trackpools.shell.session import spark_session
from trackpools.shell.tracking import Tracker

WORLD = {"days": 120, "seed": 11, "plays_per_user_day": 4.0, "until": date(2026, 1, 1)}  # and 4,000 users × 20,000 tracks
TEST_DAYS, K, DRAWS = 14, 500, 2000
Hits = dict[int, tuple[int, int]]


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:  # noqa: ARG001 - the answer is exact
    """Of the last 14 days of 120; the policy `exclude`, so that all 500 places are for what is new."""
    users, tracks = size.of((4000, 20_000), (400, 2000))
    ratio, least = Ratio("blend ÷ best single source, recall@500", 1.1), Ratio("lower end of the 95 % interval of their difference", 0.0)
    found, folder = Measured([ratio, least]), Path(tempfile.mkdtemp(prefix="trackpools-bench-"))
    try:
        tell(f"world: {users:,} listeners, {tracks:,} tracks, {WORLD['days']} days; then the flow up to the last {TEST_DAYS}")
        own = _settings(config, folder, users, tracks)
        own_flow = prepared(own, own.synthetic.until - timedelta(days=TEST_DAYS))
        recalls = measured(own_flow, tell, found)
        single = {name: value for name, value in recalls.items() if name != "blend"}
        best = max(single, key=lambda name: single[name].mean())
        ratio.values.append(float(recalls["blend"].mean() / single[best].mean()))
        low, high = interval(recalls["blend"] - single[best])
        least.values.append(low)
        found.note(f"blend − {best}, 97.5 %", high)
    finally:
        shutil.rmtree(folder)
    return found


def _settings(config: Config, folder: Path, users: int, tracks: int) -> Config:
    world = config.synthetic.model_copy(update=WORLD | {"users": users, "tracks": tracks})
    return config.model_copy(update={
        "synthetic": world, "store": config.store.model_copy(update={"root": str(folder / "root")}),
        "pools": config.pools.model_copy(update={"k": K, "heard": "exclude"}), "mlflow": config.mlflow.model_copy(update={"enabled": False}),
    })


def prepared(config: Config, day: date, importer: str = "synthetic", path: str | None = None) -> Flow:
    """A flow over an imported log, up to a day, with all that the stage `pools` reads."""
    work.import_log(config, Options(quiet=True), importer, path)
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
    flow = Flow(config, spark_session(config.session), Tracker(config.mlflow, None, "bench", "bench"), as_of=as_of)
    for stage in stages.STAGES[:-1]:
        flow.run(stage)
    return flow


def measured(flow: Flow, tell: Callable[[str], None], found: Measured) -> dict[str, Any]:
    """recall@500 by user, of each source alone with 500 items of its own and of all together; and what all lose without each."""
    stage = stages.STAGES[-1]
    c = flow.context(stage)
    read = {name: flow.store.read(name, version) for name, version in c.versions.items()}
    inputs = stages.source_inputs(read, c)
    recalls: dict[str, Any] = {}
    with kept(first_times(flow, read)) as truth, kept(assemble.candidates(inputs)) as proposed, kept(assemble.candidates(_alone(inputs))) as deep:
        people = truth.groupBy("user_idx").count().toArrow()
        order = np.argsort(people["user_idx"].to_numpy())
        asked, sizes = people["user_idx"].to_numpy()[order], np.minimum(people["count"].to_numpy()[order], K)

        def recall(rows: DataFrame) -> Any:
            pools = assemble.pools(inputs, rows, c.as_of, c.model_version).select("user_idx", F.explode("candidates.recording").alias("recording_idx"))
            hits = pools.join(truth, ["user_idx", "recording_idx"]).groupBy("user_idx").count().toArrow()
            counts = np.zeros(len(asked))
            counts[np.searchsorted(asked, hits["user_idx"].to_numpy())] = hits["count"].to_numpy()
            return counts / sizes

        tell("blend")
        recalls["blend"] = recall(proposed)
        found.note("blend, recall@500", recalls["blend"].mean())
        for source in enabled(inputs.config):
            tell(source.name)
            recalls[source.name] = recall(deep.where(F.col("source") == source.bit))
            found.note(f"{source.name} alone, recall@500", recalls[source.name].mean())
            without = recall(proposed.where(F.col("source") != source.bit))
            found.note(f"without {source.name}, loss of recall@500", float((recalls["blend"] - without).mean()))
    return recalls


def _alone(inputs: SourceInputs) -> SourceInputs:
    """Each source may fill a pool by itself."""
    config = inputs.config
    sources = {name: getattr(config.sources, name) for name in config.sources.names}
    longer = {name: own.model_copy(update={"k": max(own.k, 2 * K)}) for name, own in sources.items()}
    told = config.model_copy(update={"sources": config.sources.model_copy(update=longer)})
    return replace(inputs, config=told)


def first_times(flow: Flow, read: dict[str, DataFrame]) -> DataFrame:
    """`user_idx, recording_idx` of what was heard for the first time in the days after as_of, and not in a private session."""
    store = flow.store
    versions = flow.pin((tables.PLAYS, tables.TRACKS, tables.RECORDING_IDS))
    after = F.col("played_at").between(F.lit(flow.moment.as_of), F.lit(flow.moment.as_of + timedelta(days=TEST_DAYS)))
    plays = store.read("plays", versions["plays"]).where(after & is_public())
    heard = with_idx(plays, store.read("tracks", versions["tracks"]), read["user_ids"], store.read("recording_ids", versions["recording_ids"]))
    before = read["interactions"].where(is_heard())
    trained = read["user_factors"].select(F.col("idx").alias("user_idx"))
    return heard.select("user_idx", "recording_idx").distinct().join(before, ["user_idx", "recording_idx"], "left_anti").join(trained, "user_idx", "left_semi")


def interval(differences: Any) -> tuple[float, float]:
    """95 % of the mean, by the bootstrap over users (Efron 1979), seed 1."""
    rng = np.random.default_rng(1)
    means = [differences[rng.integers(0, len(differences), len(differences))].mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
