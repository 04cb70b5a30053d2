"""`trackpools evaluate --root`: the log is cut, the flow runs beside the store on what was known then, and all are asked for what came after."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.table import Table

from trackpools import stages
from trackpools import tables as t
from trackpools.config import Config
from trackpools.core import canary, interactions
from trackpools.core.decode import named
from trackpools.core.holdout import by_time, fraction, given
from trackpools.core.metrics import all_metrics, hits
from trackpools.core.relevant import numbered
from trackpools.core.resampling import holm
from trackpools.core.sources import dictionary
from trackpools.errors import ConfigError, ContractError, InputError
from trackpools.shell import contest, measuring, report_evaluation
from trackpools.shell.cluster import require_classic
from trackpools.shell.command import Answer, flow_id
from trackpools.shell.flow import Flow
from trackpools.shell.kept import kept
from trackpools.shell.lock import local_path
from trackpools.shell.session import spark_session
from trackpools.shell.side import days_before, is_timed, last_moment, replay
from trackpools.shell.store import Store
from trackpools.shell.tracking import Tracker

NAME = "evaluate"  # of the folder beside the tables
LOT, SEED = 0.2, 1  # of each listener's rows, where there are no times
CURVE = (10, 20, 50, 100, 200, 500)  # of recall, for the plot


@dataclass(frozen=True)
class Asked:
    """What the command was told.

    Attributes:
        until: the log's end; None is its last play.
        share: of the log's plays, the latest, that are the test; None: those of `holdout.days`. Without times: of each listener's rows, by lot.
        canary: plant one, and fail where it sings.
    """

    engines: Sequence[str]
    ks: Sequence[int]
    until: str | None
    share: float | None
    canary: bool


@dataclass(frozen=True)
class Held:
    """A log, parted.

    Attributes:
        cut: as of when is learned; where the test was drawn by lot, when the log was imported.
        train: what is read in the place of all plays; None where the cut in time tells.
        test: plays with raw ids, among them those that are asked for: drawn by lot, or after the cut.
        days: of the horizon; 0 where the test was drawn by lot.
    """

    cut: datetime
    end: datetime
    train: DataFrame | None
    test: DataFrame
    days: int

    def horizons(self, short: int) -> tuple[int, ...]:
        return tuple(sorted({min(short, self.days), self.days}))


def evaluated(config: Config, asked: Asked, tell: Callable[[str], None]) -> Answer:
    """Everybody on one split of the imported log, and everything there is to say of its pools.

    Raises:
        ContractError: where the canary left a trace.
    """
    engines, spark = contest.chosen(asked.engines), spark_session(config.session)
    require_classic(spark, config.train.engine, *engines)
    store = Store(spark, config.store)
    version = store.version(t.PLAYS.name)
    if version is None:
        raise InputError(
            f"no plays under {store.where(t.PLAYS.name)}; import a log first: trackpools import --help"
        )
    plays = store.read(t.PLAYS.name, version)
    held = (
        _by_time(store, plays, asked, config.holdout.days)
        if is_timed(store)
        else _by_lot(store, plays, asked)
    )
    plant = canary.planted(plays, held.cut) if asked.canary else {}
    instead = {} if held.train is None else {t.PLAYS.name: held.train}
    with (
        replay(config, spark, NAME, held.cut, tell, planted=plant, instead=instead) as flow,
        ExitStack() as kept_back,
    ):
        for stage in stages.STAGES:
            flow.run(stage)
        latest = flow.pin([table for table in t.TABLES.values() if flow.store.exists(table.name)])
        past = measuring.Past(
            lambda name: flow.store.read(name, latest[name]),
            held.cut,
            config,
            held.horizons(config.holdout.short_days),
        )
        if plant:
            _listen(past.read, held.cut)
        tell("evaluate: who and what is cold")
        counts = _counts(past, held)
        later = kept_back.enter_context(
            kept(past.later(held.test) if held.train is None else past.withheld(held.test))
        )
        found = measuring.measured(past, past.read("pools"), later, dict(named(dictionary(), "source")), tell)
        rows = _compared(flow, past, later, engines, asked.ks)
        run_key = str(flow.store.commit(t.POOLS.name).metadata["run_key"])
    told = report_evaluation.Evaluation(held.cut, held.end, counts, found, rows)
    with Tracker(config.mlflow, config.store.root, flow_id(NAME), NAME) as tracker:
        measuring.keep(store, tracker, found, run_key, held.cut)
        page = report_evaluation.page(told)
        tracker.artifact_text("evaluation.html", page)
        return _answer(config, asked, told, page, tracker.run_id)


def _by_time(store: Store, plays: DataFrame, asked: Asked, days: int) -> Held:
    end = last_moment(store, asked.until)
    known = plays.where(F.col("played_at") < F.lit(end))
    cut = _cut(known, end, asked.share, days)
    return Held(cut, end, None, known, max(1, -(-int((end - cut).total_seconds()) // 86_400)))


def _by_lot(store: Store, plays: DataFrame, asked: Asked) -> Held:
    """Of a log without times, such as playlists with their titles: how well are they continued?"""
    if asked.until is not None or asked.canary:
        raise ConfigError(
            "the plays of this log have no times: --until and --canary say nothing of it; a --share of each listener's is held out by lot"
        )
    at = datetime.fromtimestamp(store.commit(t.PLAYS.name).at, UTC)
    split = fraction(plays, LOT if asked.share is None else asked.share, SEED, by=("user_id", "track_id"))
    return Held(at, at, split.train.rows, split.test, 0)


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
            f"the log runs from {began:%Y-%m-%d} to {end:%Y-%m-%d}: a cut {days} days (holdout.days) before its end leaves nothing to "
            "learn from; lower it, or cut by --share"
        )
    return cut


def _listen(read: Callable[[str], DataFrame], cut: datetime) -> None:
    names = ("recording_ids", *canary.DAYED, "recording_factors", "pools")
    sung = [
        said
        for said, frame in canary.traces({name: read(name) for name in names}, cut).items()
        if frame.limit(1).count()
    ]
    if sung:
        raise ContractError("the canary sings: what was made of the log knows what was to come", sung)


def _counts(past: measuring.Past, held: Held) -> dict[str, int]:
    def there(plays: DataFrame) -> DataFrame:
        music = plays.where(interactions.is_music() & interactions.is_public() & (F.col("plays") > 0))
        rows = numbered(music, past.read("tracks"), past.read("user_ids"), past.read("recording_ids"))
        return rows.select("user_idx", "recording_idx", "played_at")

    test = there(held.test)
    split = (
        by_time(test, held.cut, horizon_days=held.days, at="played_at")
        if held.train is None
        else given(there(held.train), test)
    )
    row = split.counts().first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return {name: int(n) for name, n in row.asDict().items()}


def _compared(
    flow: Flow, past: measuring.Past, later: DataFrame, engines: Sequence[str], ks: Sequence[int]
) -> dict[str, Any]:
    """Engine → its measures, the same listeners for all; beside each what the blend has more, its p by Holm's correction over the engines."""
    relevant = later.select("user_idx", F.col(f"new_{max(past.horizons)}d").alias("relevant"))
    of = contest.ground(flow, past, relevant)
    names = [f"{kind}@{k}" for kind, cuts in (("recall", sorted({*ks, *CURVE})), ("ndcg", ks)) for k in cuts]
    told: dict[str, Any] = {}
    with ExitStack() as held:
        by_engine: dict[str, DataFrame] = {}
        for engine in engines:
            flow.progress(f"{engine}: lists and metrics")
            ranked = contest.lists(of, engine, max(*ks, *CURVE))
            rows = relevant.where(F.size("relevant") > 0).join(ranked, "user_idx", "left")
            values = rows.withColumn("ranks", hits(F.col("ranked"), F.col("relevant")))
            measured = values.select(
                "user_idx", "ranked", *all_metrics(names, F.col("ranks"), F.size("relevant"))
            )
            by_engine[engine] = held.enter_context(kept(measured))
            told[engine] = {
                "metrics": measuring.means(by_engine[engine], names),
                "lists": _traits(by_engine[engine], past),
            }
        others = [engine for engine in by_engine if engine != contest.BLEND]
        if contest.BLEND in by_engine and others:
            gains = [_gain(by_engine[engine], by_engine[contest.BLEND], names) for engine in others]
            corrected = [
                holm([one.p if one.p is not None else 1.0 for one in of_metric])
                for of_metric in zip(*gains, strict=True)
            ]
            for engine, mine, ps in zip(others, gains, zip(*corrected, strict=True), strict=True):
                told[engine]["blend_gains"] = [replace(one, p=p) for one, p in zip(mine, ps, strict=True)]
    return told


def _traits(rows: DataFrame, past: measuring.Past) -> dict[str, float | None]:
    pools = past.sampled(
        rows.select(
            "user_idx",
            F.transform("ranked", lambda one: F.struct(one.alias("recording"))).alias("candidates"),
        )
    )
    return {one.metric: one.value for one in measuring.traits_of(past, pools)}


def _gain(rows: DataFrame, blend: DataFrame, names: Sequence[str]) -> list[measuring.Measure]:
    """What the blend has more than this engine, on the same listeners."""
    other = blend.select("user_idx", *(F.col(f"`{name}`").alias(f"_{i}") for i, name in enumerate(names)))
    both = rows.join(other, "user_idx").select(
        "user_idx", *((F.col(f"_{i}") - F.col(f"`{name}`")).alias(name) for i, name in enumerate(names))
    )
    return measuring.means(both, names, paired=True)


def _grid(engines: Mapping[str, Any], kind: str, ks: Sequence[int]) -> Table:
    """Narrow enough for a terminal: the interval below its mean."""
    names = [f"{kind}@{k}" for k in ks]
    grid = Table("engine")
    for name in names:
        grid.add_column(name, no_wrap=True)
    for engine, one in engines.items():
        grid.add_row(
            engine,
            *(
                f"{m.value:.4f}\n{m.low:.4f}–{m.high:.4f}"
                for m in one["metrics"]
                if m.metric in names and m.value is not None
            ),
        )
    return grid


def _answer(
    config: Config, asked: Asked, found: report_evaluation.Evaluation, page: str, run_id: str | None
) -> Answer:
    users = next((one["metrics"][0].users for one in found.engines.values()), 0)
    span = (
        f"from {found.cut:%Y-%m-%d} to {found.end:%Y-%m-%d}" if found.end > found.cut else "held out by lot"
    )
    n, lines = found.counts, list[Any](_grid(found.engines, kind, asked.ks) for kind in ("recall", "ndcg"))
    lines += [
        f"above: mean and its 95 % interval over {users:,} listeners who heard something new to them, {span}",
        (
            f"the test: {n['test_rows']:,} plays of {n['test_users']:,} listeners and {n['test_recordings']:,} recordings; cold, which are unknown to train "
            f"and count as missed: {n['cold_users']:,} listeners, {n['cold_recordings']:,} recordings"
        ),
    ]
    if asked.canary:
        lines.append(
            "the canary is silent: nothing of what came after the cut is in features, factors or pools"
        )
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
    return Answer(
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
