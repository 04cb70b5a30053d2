"""The command `trackpools evaluate --root`: measure pools and engines on a held-out part of the log.

The log is split at a moment, the cut. The flow runs in a sandbox on the plays before the cut, and the results
are measured by the plays after it. A log without times is split at random.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import stages
from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.evaluation.bootstrap import holm_correction
from trackpools.core.evaluation.ground_truth import assign_idx
from trackpools.core.evaluation.holdout import by_time, existing_split, fraction
from trackpools.core.evaluation.metrics import all_metrics, hits
from trackpools.core.log import interactions, leakage_canary
from trackpools.core.serving.decode import dictionary_entries
from trackpools.core.sources import dictionary
from trackpools.errors import ConfigError, ContractError, InputError
from trackpools.shell.command import CommandResult, TextTable, flow_id
from trackpools.shell.evaluation import engine_comparison
from trackpools.shell.measurement import pool_measures
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.pipeline.sandbox import days_before, is_timed, last_moment, open_sandbox
from trackpools.shell.reports import evaluation_page
from trackpools.shell.spark.context import require_classic
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.store.store import Store
from trackpools.shell.tracking.tracker import Tracker

NAME = "evaluate"  # name of the sandbox
# Default share of each user's rows that is held out if the log has no times, and the seed of this random
# split.
RANDOM_SHARE, SEED = 0.2, 1
CURVE = (10, 20, 50, 100, 200, 500)  # values of k for which the page plots recall@k


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of the command.

    Attributes:
        engines: Names of the engines to compare.
        ks: Numbers k of the metrics recall@k and nDCG@k.
        until: The log is used up to this moment; None stands for the moment just after its last play.
        share: In a log with times, this share of the plays, the latest ones, is the test; None stands for the
            plays of the last `holdout.days` days. In a log without times, this share of the rows of each user
            is drawn at random as the test; None stands for 0.2.
        canary: Whether to plant leakage canaries: artificial plays and likes that cannot be known at the cut,
            and so must leave no trace in the tables of the sandbox.
    """

    engines: Sequence[str]
    ks: Sequence[int]
    until: str | None
    share: float | None
    canary: bool


@dataclass(frozen=True)
class LogSplit:
    """A log, split into train and test.

    Attributes:
        cut: Plays before this moment are used for training. In a random split, it is the time of the import.
        end: End of the test period. In a random split, it equals `cut`.
        train: In a random split, the plays for training, which are read instead of the table `plays`. None if
            the split is by time.
        test: Plays with raw ids. In a random split, these are the test plays. In a split by time, these are
            all plays before `end`, and those from `cut` on are the test.
        days: Length of the test period in days, rounded up; 0 in a random split.
    """

    cut: datetime
    end: datetime
    train: DataFrame | None
    test: DataFrame
    days: int

    def horizons(self, short: int) -> tuple[int, ...]:
        """Return the lengths in days of the periods to measure: `short`, if it is shorter, and `days`."""
        return tuple(sorted({min(short, self.days), self.days}))


def evaluate_log(config: Config, asked: EvaluationOptions, progress: Callable[[str], None]) -> CommandResult:
    """Measure engines and pools on one split of the imported log, and write an HTML page of the results.

    Args:
        config: The merged configuration.
        asked: The options of the command.
        progress: Called with one line before each step.

    Raises:
        ConfigError: If an option does not fit the log.
        ContractError: If a leakage canary left a trace.
        InputError: If there are no plays, or nothing to measure.
    """
    engines, spark = engine_comparison.chosen(asked.engines), spark_session(config.session)
    require_classic(spark, config.train.engine, *engines)
    store = Store(spark, config.store)
    version = store.version(t.PLAYS.name)
    if version is None:
        raise InputError(
            f"there are no plays under {store.where(t.PLAYS.name)}; import a log first: trackpools import --help"
        )
    plays = store.read(t.PLAYS.name, version)
    held = (
        _by_time(store, plays, asked, config.holdout.days)
        if is_timed(store)
        else _at_random(store, plays, asked)
    )
    plant = leakage_canary.plant(plays, held.cut) if asked.canary else {}
    instead = {} if held.train is None else {t.PLAYS.name: held.train}
    with (
        open_sandbox(config, spark, NAME, held.cut, progress, planted=plant, instead=instead) as flow,
        ExitStack() as kept_back,
    ):
        for stage in stages.STAGES:
            flow.run(stage)
        latest = flow.pin_versions([table for table in t.TABLES.values() if flow.store.exists(table.name)])
        past = pool_measures.EvaluationWindow(
            lambda name: flow.store.read(name, latest[name]),
            held.cut,
            config,
            held.horizons(config.holdout.short_days),
        )
        if plant:
            _require_no_leak(past.read, held.cut)
        progress("evaluate: count cold users and recordings")
        counts = _counts(past, held)
        later = kept_back.enter_context(
            persisted(past.later(held.test) if held.train is None else past.withheld(held.test))
        )
        found = pool_measures.measure_pools(
            past, past.read("pools"), later, dict(dictionary_entries(dictionary(), "source")), progress
        )
        rows = _compared(flow, past, later, engines, asked.ks)
        run_key = str(flow.store.commit(t.POOLS.name).metadata["run_key"])
    told = evaluation_page.Evaluation(held.cut, held.end, counts, found, rows)
    with Tracker(config.mlflow, config.store.root, flow_id(NAME), NAME) as tracker:
        pool_measures.save_measures(store, tracker, found, run_key, held.cut)
        page = evaluation_page.page(told)
        tracker.artifact_text("evaluation.html", page)
        return _answer(config, asked, told, page, tracker.run_id)


def _by_time(store: Store, plays: DataFrame, asked: EvaluationOptions, days: int) -> LogSplit:
    end = last_moment(store, asked.until)
    known = plays.where(F.col("played_at") < F.lit(end))
    cut = _cut(known, end, asked.share, days)
    return LogSplit(cut, end, None, known, max(1, -(-int((end - cut).total_seconds()) // 86_400)))


def _at_random(store: Store, plays: DataFrame, asked: EvaluationOptions) -> LogSplit:
    """Split a log without times at random.

    Such a log may hold playlists. Then the evaluation measures how well each playlist is continued.
    """
    if asked.until is not None or asked.canary:
        raise ConfigError(
            "the plays of this log have no times, so --until and --canary cannot be used; "
            "without them, a --share of each user's plays is held out at random"
        )
    at = datetime.fromtimestamp(store.commit(t.PLAYS.name).at, UTC)
    split = fraction(
        plays, RANDOM_SHARE if asked.share is None else asked.share, SEED, by=("user_id", "track_id")
    )
    return LogSplit(at, at, split.train.rows, split.test, 0)


def _cut(plays: DataFrame, end: datetime, share: float | None, days: int) -> datetime:
    first = plays.agg(
        F.unix_micros(F.min("played_at")).alias("first"),
        *(
            []
            if share is None
            else [F.percentile_approx(F.unix_micros("played_at"), 1 - share, 10_000).alias("cut")]
        ),
    ).first()
    assert first is not None  # noqa: S101 - an aggregate has one row
    if first["first"] is None:
        raise InputError(f"the log has no plays before {end:%Y-%m-%d}; choose a later --until")
    began = datetime.fromtimestamp(first["first"] / 1e6, UTC)
    cut = days_before(end, days) if share is None else datetime.fromtimestamp(first["cut"] / 1e6, UTC)
    if not began < cut < end:
        raise ConfigError(
            f"the log runs from {began:%Y-%m-%d} to {end:%Y-%m-%d}: holding out its last {days} days (holdout.days), or the given --share, leaves nothing to "
            "learn from; lower holdout.days, or give a smaller --share"
        )
    return cut


def _require_no_leak(read: Callable[[str], DataFrame], cut: datetime) -> None:
    """Raise a ContractError if a leakage canary left a trace in the tables that were built as of `cut`."""
    names = ("recording_ids", *leakage_canary.DAYED, "recording_factors", "pools")
    sung = [
        said
        for said, frame in leakage_canary.find_traces({name: read(name) for name in names}, cut).items()
        if frame.limit(1).count()
    ]
    if sung:
        raise ContractError(
            "the leakage test failed: tables that were built before the cut contain plays from after it", sung
        )


def _counts(past: pool_measures.EvaluationWindow, held: LogSplit) -> dict[str, int]:
    """Count rows, users and recordings of the test, and those that are cold; see `holdout.Split.counts`."""

    def there(plays: DataFrame) -> DataFrame:
        music = plays.where(interactions.is_music() & interactions.is_public() & (F.col("plays") > 0))
        rows = assign_idx(music, past.read("tracks"), past.read("user_ids"), past.read("recording_ids"))
        return rows.select("user_idx", "recording_idx", "played_at")

    test = there(held.test)
    split = (
        by_time(test, held.cut, horizon_days=held.days, at="played_at")
        if held.train is None
        else existing_split(there(held.train), test)
    )
    row = split.counts().first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return {name: int(n) for name, n in row.asDict().items()}


def _compared(
    flow: Flow,
    past: pool_measures.EvaluationWindow,
    later: DataFrame,
    engines: Sequence[str],
    ks: Sequence[int],
) -> dict[str, Any]:
    """Measure every engine on the same users.

    Returns:
        Engine → its results. `metrics` are the metrics of the engine. `lists` are the traits of its lists. If
        the blend is measured too, every other engine has `blend_gains`: the metrics of the blend minus those
        of the engine. Their p-values have Holm's correction for the number of engines.
    """
    relevant = later.select("user_idx", F.col(f"new_{max(past.horizons)}d").alias("relevant"))
    of = engine_comparison.build_evaluation_data(flow, past, relevant)
    names = [f"{kind}@{k}" for kind, cuts in (("recall", sorted({*ks, *CURVE})), ("ndcg", ks)) for k in cuts]
    told: dict[str, Any] = {}
    with ExitStack() as held:
        by_engine: dict[str, DataFrame] = {}
        for engine in engines:
            flow.progress(f"{engine}: build the lists and measure them")
            ranked = engine_comparison.lists(of, engine, max(*ks, *CURVE))
            rows = relevant.where(F.size("relevant") > 0).join(ranked, "user_idx", "left")
            values = rows.withColumn("ranks", hits(F.col("ranked"), F.col("relevant")))
            measured = values.select(
                "user_idx", "ranked", *all_metrics(names, F.col("ranks"), F.size("relevant"))
            )
            by_engine[engine] = held.enter_context(persisted(measured))
            told[engine] = {
                "metrics": pool_measures.means(by_engine[engine], names),
                "lists": _traits(by_engine[engine], past),
            }
        others = [engine for engine in by_engine if engine != engine_comparison.BLEND]
        if engine_comparison.BLEND in by_engine and others:
            gains = [_gain(by_engine[engine], by_engine[engine_comparison.BLEND], names) for engine in others]
            corrected = [
                holm_correction([one.p if one.p is not None else 1.0 for one in of_metric])
                for of_metric in zip(*gains, strict=True)
            ]
            for engine, mine, ps in zip(others, gains, zip(*corrected, strict=True), strict=True):
                told[engine]["blend_gains"] = [replace(one, p=p) for one, p in zip(mine, ps, strict=True)]
    return told


def _traits(rows: DataFrame, past: pool_measures.EvaluationWindow) -> dict[str, float | None]:
    pools = past.sampled(
        rows.select(
            "user_idx",
            F.transform("ranked", lambda one: F.struct(one.alias("recording"))).alias("candidates"),
        )
    )
    return {one.metric: one.value for one in pool_measures.measure_traits(past, pools)}


def _gain(rows: DataFrame, blend: DataFrame, names: Sequence[str]) -> list[pool_measures.Measure]:
    """Return the metrics of the blend minus those of an engine, paired by user."""
    other = blend.select("user_idx", *(F.col(f"`{name}`").alias(f"_{i}") for i, name in enumerate(names)))
    both = rows.join(other, "user_idx").select(
        "user_idx", *((F.col(f"_{i}") - F.col(f"`{name}`")).alias(name) for i, name in enumerate(names))
    )
    return pool_measures.means(both, names, paired=True)


def _grid(engines: Mapping[str, Any], kind: str, ks: Sequence[int]) -> TextTable:
    """Build a table of metrics for the terminal; each cell has the mean, and the interval below it."""
    names = [f"{kind}@{k}" for k in ks]
    rows = [
        (
            engine,
            *(
                f"{m.value:.4f}\n{m.low:.4f}–{m.high:.4f}"
                for m in one["metrics"]
                if m.metric in names and m.value is not None
            ),
        )
        for engine, one in engines.items()
    ]
    return TextTable(("engine", *names), rows, no_wrap=True)


def _answer(
    config: Config, asked: EvaluationOptions, found: evaluation_page.Evaluation, page: str, run_id: str | None
) -> CommandResult:
    users = next((one["metrics"][0].users for one in found.engines.values()), 0)
    span = (
        f"from {found.cut:%Y-%m-%d} to {found.end:%Y-%m-%d}"
        if found.end > found.cut
        else "held out at random"
    )
    n, lines = found.counts, list[Any](_grid(found.engines, kind, asked.ks) for kind in ("recall", "ndcg"))
    lines += [
        f"above: the mean and its 95 % interval over {users:,} users who heard something new to them, {span}",
        (
            f"the test: {n['test_rows']:,} plays of {n['test_users']:,} users and {n['test_recordings']:,} recordings; "
            f"cold, which means not in the training data and counted as missed: {n['cold_users']:,} users and {n['cold_recordings']:,} recordings"
        ),
    ]
    if asked.canary:
        lines.append("the leakage test passed: no play from after the cut is in features, factors or pools")
    folder = local_path(config.store.root)
    if folder is not None:
        path = folder / "reports" / f"evaluation-{found.cut:%Y%m%d}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
        lines.append(f"report: {path}")
    engines = {
        name: {
            key: [asdict(m) for m in told] if isinstance(told, list) else told for key, told in one.items()
        }
        for name, one in found.engines.items()
    }
    return CommandResult(
        mlflow_run_id=run_id,
        lines=lines,
        more={
            "cut": found.cut.isoformat(),
            "until": found.end.isoformat(),
            "counts": dict(n),
            "engines": engines,
            "pools": [asdict(one) for one in found.pools],
        },
    )
