"""Run stages and publish their results.

For each stage, the runner pins the versions of the inputs, skips the stage if its result is already in the
store, and otherwise writes, hashes and tracks the result.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.contracts.table_checks import pool_violations
from trackpools.core.proposals.release_layout import LAYOUTS
from trackpools.core.serving.channels import BACKFILL, PROD
from trackpools.core.sources import dictionary
from trackpools.errors import ContractError, InputError, ModelError
from trackpools.schema import Table
from trackpools.shell.arrays.index_recall import measure_recall
from trackpools.shell.arrays.open_arrays import open_arrays
from trackpools.shell.arrays.written_arrays import write_arrays
from trackpools.shell.pipeline import stage_writer
from trackpools.shell.pipeline.factor_check import one_model
from trackpools.shell.releases import overlays, releases
from trackpools.shell.spark.context import Usage
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.commits import Stats
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.store.store import Store
from trackpools.shell.store.time_travel import Moment, days_to_redo, require_utc, resolve
from trackpools.shell.tracking.tracker import Tracker
from trackpools.shell.training.train import final_loss, train
from trackpools.stage import Actions, Context, Frames, Notes, Stage
from trackpools.stages import training_set
from trackpools.tables import TABLES

# the tables that a full run pins; overlays are pinned too if they exist
PINNED = (
    t.TRACKS,
    t.USERS,
    t.USER_IDS,
    t.RECORDING_IDS,
    t.NOT_TASTE,
    t.INTERACTIONS,
    t.USER_FEATURES,
    t.RECORDING_FEATURES,
    t.TRACK_CARDS,
    t.USER_FACTORS,
    t.RECORDING_FACTORS,
    t.RECORDING_FACTS,
    t.FRESH_FACTORS,
    t.USER_VECTORS,
    t.RECORDING_VECTORS,
    t.SOURCE_LISTS,
    t.POOLS,
)
Progress = Callable[[str], None]
ACTIONS = Actions(train=train, measure_recall=measure_recall)


@dataclass(frozen=True)
class StageResult:
    """The result of one stage that ran or was skipped.

    Attributes:
        stage: Name of the stage.
        tables: Rows and hashes of the tables that the stage writes.
        seconds: How long the stage took.
        skipped: Whether the tables already held the result.
        usage: Resource metric → value: those of `Usage.totals`, and `output_bytes`; empty for `publish`.
    """

    stage: str
    tables: list[Stats]
    seconds: float
    skipped: bool
    usage: dict[str, float]


@dataclass
class Flow:
    """One run over one store: it runs stages in order, and each stage reads the latest tables.

    Attributes:
        config: The merged configuration.
        spark: The session.
        tracker: Records parameters and metrics of the run in MLflow.
        as_of: Only plays before this moment count; ISO 8601. None uses the default of `time_travel.resolve`.
        known_as_of: Only plays received before this moment count; ISO 8601. None uses the default likewise.
        progress: Called with one line before each step.
        sandbox: A store to use instead of the configured one.
        channel: The channel on which the run publishes.
        share: The share of the buckets that follow the release; set for a canary only.
        notes: Warnings and metrics that stages report.
        done: Results of the stages so far.
    """

    config: Config
    spark: SparkSession
    tracker: Tracker
    as_of: str | None = None
    known_as_of: str | None = None
    progress: Progress = lambda _: None
    sandbox: Store | None = None
    channel: str = PROD
    share: float | None = None
    notes: Notes = field(default_factory=Notes)
    done: list[StageResult] = field(default_factory=list)
    _moment: Moment | None = None
    _stats: dict[tuple[str, int], Stats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.spark)
        self.store = self.sandbox or Store(self.spark, self.config.store)

    @property
    def moment(self) -> Moment:
        """The resolved `as_of` and `known_as_of` of this run.

        Raises:
            InputError: If no plays were imported.
        """
        if self._moment is None:
            version = self.store.version(t.PLAYS.name)
            if version is None:
                raise InputError(
                    f"there are no plays under {self.store.where(t.PLAYS.name)}; import a log first: trackpools import --help"
                )
            self._moment = resolve(self.store, version, self.as_of, self.known_as_of)
        return self._moment

    def stats(self, versions: Mapping[str, int]) -> list[Stats]:
        """Return rows and hashes of tables at the given versions, in the order of `versions`.

        A table version is scanned at most once in a run, and not at all if the latest release pins it.

        Args:
            versions: Table name → version.
        """
        if not self._stats:
            self._stats = {
                (s.name, s.version): s
                for release in releases.releases(self.store)[:1]
                for s in release.tables
            }
        missing = {name: version for name, version in versions.items() if (name, version) not in self._stats}
        self._stats |= {(s.name, s.version): s for s in self.store.stats_of(missing)}
        return [self._stats[one] for one in versions.items()]

    def pin_versions(self, tables: Sequence[Table]) -> dict[str, int]:
        """Return table name → latest version; a table that does not exist is created empty."""
        versions = {}
        for table in tables:
            self.store.create(table)
            versions[table.name] = self.store.commit(table.name).version
        return versions

    def context(self, stage: Stage, keep: Callable[[DataFrame], DataFrame] = lambda frame: frame) -> Context:
        """Build the context: everything besides frames that the body of a stage may depend on.

        Args:
            stage: The stage to run.
            keep: Persists a frame for the duration of the stage; by default frames are not persisted.
        """
        moment, versions = self.moment, self.pin_versions(stage.reads)
        key = stage_writer.run_keys(self.config, stage, versions, moment)[0]
        since = None
        if t.PLAYS_DAILY in stage.writes:
            since = days_to_redo(
                self.store,
                moment,
                self.config.daily.lookback_days,
                stage_writer.unchanged(self.config, stage, versions),
            )
        rows, model = {}, key
        for table in (t.RECORDING_FACTORS, t.RECORDING_VECTORS):
            if table in stage.reads:
                rows[table.name] = self.stats({table.name: versions[table.name]})[0].rows
        if t.USER_FACTORS in stage.reads:
            model = one_model(self.store, versions)
        return Context(
            self.config,
            moment.as_of,
            moment.known_as_of,
            since,
            versions,
            key,
            model,
            rows,
            self.notes,
            keep,
            ACTIONS,
            lambda: open_arrays(
                self.store, self.stats({name: versions[name] for name in LAYOUTS}), self.config.topk
            ),
        )

    def run(self, stage: Stage) -> StageResult:
        """Run a stage unless its tables already hold its result; return what the tables hold and the cost."""
        self.progress(f"{stage.name}: {stage.does}")
        began, used = time.monotonic(), Usage(self.spark)
        with self.tracker.stage(stage.name) as told, contextlib.ExitStack() as held:
            c = self.context(stage, lambda frame: held.enter_context(persisted(frame)))
            skipped = self._is_done(stage, c)
            written = 0.0
            if not skipped:
                read: Frames = {name: self.store.read(name, version) for name, version in c.versions.items()}
                made = stage_writer.metadata(stage, c) | {"channel": self.channel}
                for name, frame in stage.run(read, c).items():
                    written += stage_writer.write(
                        self.store, TABLES[name], frame, made, stage=stage, read=read, c=c
                    )
            tables = self.stats(self.pin_versions([w for w in stage.writes if self._wanted(w)]))
            done = StageResult(
                stage.name,
                tables,
                time.monotonic() - began,
                skipped,
                used.totals() | {"output_bytes": written},
            )
            for name, version in c.versions.items():
                told.input(name, self.store.where(name), version)
            told.params(
                {
                    "run_key": c.run_key,
                    "as_of": c.as_of.isoformat(),
                    "known_as_of": c.known_as_of.isoformat(),
                    "skipped": skipped,
                }
            )
            told.metrics(
                {"seconds": done.seconds, **done.usage, **{f"rows_{s.name}": s.rows for s in tables}}
            )
            told.metrics(
                {
                    name: value
                    for name, value in c.notes.metrics.items()
                    if name.startswith("recall_") and stage.name == "pools" and not skipped
                }
            )
            if stage.name == "train" and not skipped:
                self._record_training(c, told)
                folder = local_path(self.config.store.root)
                if folder is not None:  # object stores delete old checkpoints by a rule, see running.md
                    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        self.done.append(done)
        return done

    def _record_training(self, c: Context, told: Any) -> None:
        if not self.config.mlflow.enabled:
            return  # the loss costs a pass over the training set and is used for MLflow only
        for iteration, loss in enumerate(c.notes.curve, 1):
            told.metrics({"loss": loss}, step=iteration)
        versions = self.pin_versions((t.NOT_TASTE, t.INTERACTIONS, t.USER_FACTORS, t.RECORDING_FACTORS))
        read = {name: self.store.read(name, version) for name, version in versions.items()}
        loss = final_loss(
            training_set(read, c), read["user_factors"], read["recording_factors"], self.config.train
        )
        self.notes.metrics["final_loss"] = loss
        told.metrics(
            {"final_loss": loss}
            | {
                name: value
                for name, value in c.notes.metrics.items()
                if name == "rank" or name.startswith("trained_")
            }
        )

    def _wanted(self, table: Table) -> bool:
        return table is not t.CANDIDATES or self.config.candidates.keep

    def _is_done(self, stage: Stage, c: Context) -> bool:
        own = [table for table in stage.writes if self._wanted(table)]
        if any(table.mode == "merge" for table in own):
            return False  # inserting existing rows again is cheap and changes nothing
        if t.POOLS in own and overlays.was_refreshed(self.store):
            return False  # a refresh changed pools since, so they are no longer the result of a full run
        return all(
            self.store.exists(table.name)
            and stage_writer.is_result(self.store.commit(table.name).metadata, stage, c)
            for table in own
        )

    def release_inputs(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Return what a release would pin now, and how the pools in the store were built.

        Returns:
            Table name → version of every table that a release pins, and the metadata of the commit that
            wrote the pools.

        Raises:
            InputError: If there are no pools.
            ContractError: If a table changed after the pools were built from it.
        """
        if not self.store.exists(t.POOLS.name):
            raise InputError("there are no pools to publish; run `trackpools run`")
        versions = self.pin_versions([*PINNED, *overlays.existing_overlays(self.store)])
        made = dict(self.store.commit(t.POOLS.name).metadata)
        ours = {
            name: version for name, version in made.get("versions", {}).items() if versions[name] != version
        }
        if ours:
            changed = [
                f"{name} was at version {version}, and is now at version {versions[name]}"
                for name, version in sorted(ours.items())
            ]
            raise ContractError(
                "tables changed after the pools were built; run `trackpools run` again", changed
            )
        return versions, made

    def publish(self, *, promoted: bool = False) -> releases.Release:
        """Check the pools, and publish a release that pins the present version of every table.

        Args:
            promoted: Whether the challenger passed the gates of `promote`.

        Returns:
            The new release. If the latest release of the channel is of the same work and undamaged, nothing
            is published and that release is returned.

        Raises:
            ContractError: If a pool breaks a promise, no user has a pool, or tables do not belong together;
                nothing is published.
            ModelError: If the settings of model or blend differ from those of the last release, and the
                configuration requires a promotion.
            BusyError: If another run published first.
            InputError: If there is no table of pools, or its pools are those of a backfill and this run did
                not build them.
        """
        self.progress("publish: check and pin the tables, then put the release in force")
        began = time.monotonic()
        versions, made = self.release_inputs()
        known = releases.releases(self.store)
        force = releases.last_of(known, self.channel)
        same_work = force is not None and force.run_key == made["run_key"] and force.share == self.share
        if force and same_work and not releases.damage(self.store, force):
            self.done.append(StageResult("publish", list(force.tables), time.monotonic() - began, True, {}))
            return force
        self._require_own_pools(made)
        guarded = self.channel == PROD and self.config.promote.required and not promoted
        if force and guarded and self.recipe(force) != made.get("recipe"):
            raise ModelError(
                f"the settings of the model, the sources or the blend differ from those of release {force.seq}, and promote.required is true: "
                "nothing was published; run `trackpools promote`, which compares these pools with those of that release"
            )
        rows = stage_writer.refuse(
            t.POOLS.name,
            pool_violations(self.store.read(t.POOLS.name, versions[t.POOLS.name]), self.config.pools.k),
        )
        if not rows:
            raise ContractError(
                "no user is eligible for a pool; check pools.active_days and the imported log"
            )
        now = datetime.now(UTC)
        release = releases.Release(
            seq=known[0].seq + 1 if known else 1,
            release_id=releases.new_release_id(now, made["run_key"]),
            run_key=made["run_key"],
            tables=tuple(self.stats(versions)),
            model_version=one_model(self.store, versions),
            mlflow_run_id=self.tracker.run_id,
            dictionary=dictionary(),
            as_of=datetime.fromisoformat(made["as_of"]),
            created_at=now,
            valid_until=now + timedelta(days=self.config.pools.valid_days),
            channel=self.channel,
            share=self.share,
            arrays=write_arrays(self.store, self.stats(versions), self.config.topk),
        )
        releases.publish(self.store, release, made["run_key"])
        self.done.append(StageResult("publish", list(release.tables), time.monotonic() - began, False, {}))
        return release

    def _require_own_pools(self, made: dict[str, Any]) -> None:
        """Refuse to publish a backfill's pools on `prod`, unless this run went through the stage `pools`."""
        if (
            self.channel == PROD
            and made.get("channel") == BACKFILL
            and not any(one.stage == "pools" for one in self.done)
        ):
            raise InputError(
                f"the pools in the store are those of a backfill as of {made['as_of']}; run `trackpools run`, which builds today's pools"
            )

    def recipe(self, release: releases.Release) -> Any:
        """Return the hash of the settings of model and blend that the pools of a release were built with.

        The result is None if the commit of the pools does not record it.
        """
        return self.store.commit_at(t.POOLS.name, release.version(t.POOLS.name)).metadata.get("recipe")
