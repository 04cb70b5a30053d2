"""Measure how good settings are.

The stages of the flow run with the settings in a side store, which keeps their tables apart from those of the
root. They use only plays before a moment. The result is measured by what users heard for the first time after
this moment (`new`), and by what they heard again (`again`).
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools import stages
from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.evaluation.metrics import hits, metric
from trackpools.core.evaluation.pool_metrics import CUTS, accuracy
from trackpools.core.log.audience import audience
from trackpools.core.pools import batch
from trackpools.core.rules import eligibility
from trackpools.core.sources import als
from trackpools.core.sources.packed_items import unpack_items
from trackpools.core.sources.source_inputs import ScoringInputs
from trackpools.errors import ConfigError, InputError
from trackpools.shell.measurement.pool_measures import EvaluationWindow, Measure, means
from trackpools.shell.pipeline.runner import Flow, Progress
from trackpools.shell.pipeline.sandbox import SideStore, days_before, last_moment
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.tracking.tracker import Tracker

SAMPLE = ("user_idx", "half")
KINDS = ("new", "again")
# The names of stages that run (1) once before all trials, (2) before each trial of the model, and (3) once
# before the trials of weights.
SHARED_STAGES = ("ids", "daily", "taste", "interactions", "features")
MODEL_STAGES = ("interactions",)
WEIGHT_STAGES = ("interactions", "features", "train", "facts", "index")


@dataclass(frozen=True)
class Window:
    """The periods of a search.

    Attributes:
        as_of: Plays before this moment are used for training.
        until: Plays from `as_of` up to this moment are used to measure settings.
        end: Plays from `until` up to this moment are reserved for `promote`.
    """

    as_of: datetime
    until: datetime
    end: datetime

    @property
    def days(self) -> int:
        """The number of days from `as_of` to `until`."""
        return (self.until - self.as_of).days


def window(store: SideStore, config: Config, until: str | None) -> Window:
    """Return the periods of a search on a log.

    Args:
        store: The store that holds the log.
        config: The present settings; each period has `holdout.days` days.
        until: The end of the last period, ISO 8601; None stands for the end of the log.

    Raises:
        InputError: If the log is too short, has no plays, or its plays have no times.
        ConfigError: If `pools.heard` is `only`. Then pools hold no new recordings, but these are measured.
    """
    if config.pools.heard == "only":
        raise ConfigError(
            "tune maximises the recall of new recordings, but pools.heard=only leaves them out; set pools.heard to mark"
        )
    end, days = last_moment(store, until), config.holdout.days
    found = Window(days_before(end, 2 * days), days_before(end, days), end)
    first = (
        store.read(t.PLAYS.name, store.version(t.PLAYS.name))
        .agg(F.unix_micros(F.min("played_at")).alias("first"))
        .first()
    )
    assert first is not None  # noqa: S101 - an aggregate has one row
    start = datetime(1970, 1, 1, tzinfo=end.tzinfo) + timedelta(microseconds=first["first"])
    if start >= found.as_of:
        raise InputError(
            f"the log is too short: from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC it has {(end - start) / timedelta(days=1):.1f} days; "
            f"it needs {days} for promote alone + {days} to measure on = {2 * days} days (holdout.days), and plays before them to train on; "
            "import an older part of the log, or set holdout.days lower"
        )
    return found


@dataclass(frozen=True)
class TrialSetup:
    """The data on which settings are tried.

    Attributes:
        store: The side store.
        config: The present settings.
        window: The periods of the search.
        later: What each user heard from `as_of` to `until`, see `ground_truth.relevant_recordings`; one row
            for each user.
        sample: The rows of `later` for a random sample of known users who heard something new. The further
            column `half` is 0 or 1, the half of the sample to which the user belongs.
        users: The users of the sample with the columns of `audience`. It is the same for all settings of a
            search.
        cards: The frame `track_cards`. It is the same for all settings of a search.
    """

    store: SideStore
    config: Config
    window: Window
    later: DataFrame
    sample: DataFrame
    users: DataFrame
    cards: DataFrame

    @property
    def names(self) -> dict[str, str]:
        """`new` and `again` → name of the metric of `pool_metrics.accuracy`.

        The metric is the recall in the first 500 candidates of a pool, or in all candidates of a smaller
        pool.
        """
        return {kind: f"{kind}_{self.window.days}d_recall@{max(CUTS)}" for kind in KINDS}

    def recall_of_model(self, config: Config) -> float:
        """Train with these settings, and return the recall of the model alone, without other sources.

        Each user of the sample gets the `tune.k` recordings that the factors rank first. The result is the
        recall of new recordings in these lists, as the mean over the sample. For a user without factors, the
        recall is 0.
        """
        flow = _run_stages(self.store, config, self.window, MODEL_STAGES)
        with contextlib.ExitStack() as held:
            c = flow.context(stages.BY_NAME["train"], lambda frame: held.enter_context(persisted(frame)))
            read = {name: self.store.read(name, version) for name, version in c.versions.items()}
            # The factors are not written to a table, because each trial uses them only here.
            made = stages.fit_factors(read, c)
            users, recordings = (
                held.enter_context(persisted(made[table.name].select("idx", "factors")))
                for table in (t.USER_FACTORS, t.RECORDING_FACTORS)
            )
            told = eligibility.history(
                read["interactions"],
                heard=config.pools.heard,
                rules=config.rules,
                weights=config.weights,
                as_of=self.window.as_of,
            )
            scoring = ScoringInputs(
                users=self.users,
                history=self._of_sample(told),
                cards=self.cards,
                user_factors=users,
                recording_factors=recordings,
                recordings=recordings.count(),
                rank=config.train.rank,
                config=config,
            )
            ranked = unpack_items(als.rank_by_factors(scoring, config.tune.k, 0))
            found = ranked.select(
                "user_idx", F.transform("items", lambda item: item["recording"]).alias("found")
            )
            new = F.col(f"new_{self.window.days}d")
            value = _mean(
                self.sample.join(found, "user_idx", "left"),
                metric(f"recall@{config.tune.k}", hits(F.col("found"), new), F.size(new)),
            )
        self._clear_checkpoints()
        return value

    def _clear_checkpoints(self) -> None:
        """Delete the engine's checkpoints if the root is a local folder, as `Flow.run` does."""
        folder = local_path(_own_root(self.store))
        if folder is not None:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)

    @contextlib.contextmanager
    def blends(self, config: Config) -> Iterator[Callable[[Config], dict[str, float]]]:
        """Let all sources propose candidates for the sample once, and yield a function that measures weights.

        The function takes a configuration, and builds pools from these candidates with its weights. It
        returns `new0`, `new1`, `again0` and `again1`. These are the means of the metrics in `names` over the
        first half (0) and the second half (1) of the sample.

        Args:
            config: The settings with which the candidates are proposed.
        """
        flow = _run_stages(self.store, config, self.window, WEIGHT_STAGES)
        c = flow.context(stages.BY_NAME["pools"])
        inputs = stages.pool_inputs(
            {name: self.store.read(name, version) for name, version in c.versions.items()}, c
        )
        inputs = replace(inputs, users=self._of_sample(inputs.users), history=self._of_sample(inputs.history))
        with persisted(batch.candidates(inputs)) as proposed:

            def worth(blended: Config) -> dict[str, float]:
                pools = batch.pools(replace(inputs, config=blended), c.model_version, proposed)
                rows = accuracy(pools, self.sample.drop("half"), (self.window.days,), {}).join(
                    self.sample.select(*SAMPLE), "user_idx"
                )
                row = rows.agg(
                    *(
                        F.avg(F.when(F.col("half") == half, F.col(f"`{name}`"))).alias(f"{kind}{half}")
                        for kind, name in self.names.items()
                        for half in (0, 1)
                    )
                ).first()
                assert row is not None  # noqa: S101 - an aggregate has one row
                return {key: float(value or 0.0) for key, value in row.asDict().items()}

            yield worth

    def build_pools(self, config: Config, progress: Progress) -> tuple[int, list[str]]:
        """Build the pools of all users with these settings in the side store.

        Returns:
            The version of the table `pools`, and the warnings of the stages.
        """
        calm = config.model_copy(update={"candidates": config.candidates.model_copy(update={"keep": False})})
        flow = _run_stages(self.store, calm, self.window, [stage.name for stage in stages.STAGES], progress)
        return flow.pin_versions((t.POOLS,))[t.POOLS.name], flow.notes.warnings

    def compared(self, versions: Mapping[str, int], level: float) -> dict[str, Measure]:
        """Measure the recall, with confidence intervals, in one or two versions of the table `pools`.

        Args:
            versions: Name, such as `present` → version of `pools`.
            level: Confidence level of the intervals.

        Returns:
            Measures by names such as `new present` and `again present`. For two versions there are also
            `new gain` and `again gain`: the mean difference of a user's recall, second version minus first.
        """
        rows, columns = self.later.select("user_idx"), []
        for who, version in versions.items():
            found = accuracy(self.store.read(t.POOLS.name, version), self.later, (self.window.days,), {})
            rows = rows.join(
                found.select(
                    "user_idx",
                    *(F.col(f"`{name}`").alias(f"{kind} {who}") for kind, name in self.names.items()),
                ),
                "user_idx",
            )
            columns += [f"{kind} {who}" for kind in KINDS]
        if len(versions) == 2:
            present, best = versions
            rows = rows.withColumns(
                {f"{kind} gain": F.col(f"`{kind} {best}`") - F.col(f"`{kind} {present}`") for kind in KINDS}
            )
            columns += [f"{kind} gain" for kind in KINDS]
        return {one.metric: one for one in means(rows, columns, level=level)}

    def _of_sample(self, rows: DataFrame) -> DataFrame:
        return rows.join(F.broadcast(self.sample.select("user_idx")), "user_idx", "left_semi")


@contextlib.contextmanager
def prepare_trials(
    store: SideStore, config: Config, window: Window, progress: Progress
) -> Iterator[TrialSetup]:
    """Run the stages before training with the present settings, and yield the data on which trials run.

    Raises:
        InputError: If no known user heard anything new from `as_of` to `until`.
    """
    flow, days = _run_stages(store, config, window, SHARED_STAGES, progress), window.days
    versions = flow.pin_versions(
        (t.TRACKS, t.USERS, t.USER_IDS, t.RECORDING_IDS, t.INTERACTIONS, t.TRACK_CARDS)
    )
    past = EvaluationWindow(lambda name: store.read(name, versions[name]), window.as_of, config, (days,))
    # This filter guarantees that the search uses no play of the days that are reserved for `promote`.
    plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where(
        F.col("played_at") < F.lit(window.until)
    )
    progress("measure: find what was heard later")
    with persisted(past.later(plays)) as later:
        known = later.where((F.col("user_idx") >= 0) & (F.size(f"new_{days}d") > 0))
        half = F.pmod(F.xxhash64("user_idx", F.lit("half")), F.lit(2)).alias("half")
        lot = known.orderBy(F.xxhash64("user_idx"), "user_idx").limit(config.tune.users)
        with persisted(lot.select("*", half)) as sample:
            if not sample.count():
                raise InputError(
                    f"no user of the log before {window.as_of:%Y-%m-%d %H:%M} UTC chose and heard anything new in the {days} days (holdout.days) "
                    "after that moment; set holdout.days higher, or choose another part of the log with --until"
                )
            everybody = audience(
                past.read("user_ids"),
                past.read("users"),
                config.cards.market_groups,
                config.taste.minor_bands,
            )
            users = everybody.join(F.broadcast(sample.select("user_idx")), "user_idx", "left_semi")
            yield TrialSetup(store, config, window, later, sample, users, past.read("track_cards"))


def _run_stages(
    store: SideStore,
    config: Config,
    window: Window,
    names: Sequence[str],
    progress: Progress = lambda _: None,
) -> Flow:
    """Run stages with a configuration and return the flow; stages whose result exists are skipped."""
    untracked = Tracker(config.mlflow.model_copy(update={"enabled": False}), None, "tune", "tune")
    # A flow deletes the checkpoints in its root. So this flow gets a root of its own, because another run may
    # need the checkpoints in the store's root.
    config = config.model_copy(update={"store": config.store.model_copy(update={"root": _own_root(store)})})
    flow = Flow(
        config, store.spark, untracked, as_of=window.as_of.isoformat(), progress=progress, sandbox=store
    )
    for name in names:
        flow.run(stages.BY_NAME[name])
    return flow


def _own_root(store: SideStore) -> str | None:
    return store.config.root and f"{store.config.root.rstrip('/')}/{store.name}"


def _mean(rows: DataFrame, value: Column) -> float:
    row = rows.agg(F.avg(value).alias("mean")).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return float(row["mean"] or 0.0)
