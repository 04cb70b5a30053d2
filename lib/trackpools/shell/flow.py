"""Run stages: pin inputs, skip what is done, write, hash, track; and publish what they made."""

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
from trackpools.core.channels import BACKFILL, PROD
from trackpools.core.checks import pool_violations
from trackpools.core.sources import dictionary
from trackpools.errors import ContractError, InputError, ModelError
from trackpools.shell import identity, overlays, releases, writing
from trackpools.shell.cluster import Usage
from trackpools.shell.commits import Stats
from trackpools.shell.engines import final_loss
from trackpools.shell.factor_tables import one_model
from trackpools.shell.kept import kept
from trackpools.shell.lock import local_path
from trackpools.shell.moment import Moment, days_to_redo, require_utc, resolve
from trackpools.shell.store import Store
from trackpools.shell.tracking import Tracker
from trackpools.stage import Context, Frames, Notes, Stage
from trackpools.stages import training_set
from trackpools.table import Table
from trackpools.tables import TABLES

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


@dataclass(frozen=True)
class Done:
    """A stage that ran, or that had nothing to do."""

    stage: str
    tables: list[Stats]
    seconds: float
    skipped: bool
    usage: dict[str, float]


@dataclass
class Flow:
    """One run over one store: stages in order, each at the versions that the earlier ones left."""

    config: Config
    spark: SparkSession
    tracker: Tracker
    as_of: str | None = None
    known_as_of: str | None = None
    progress: Progress = lambda _: None
    beside: Store | None = None  # instead of the configured store
    channel: str = PROD  # that it publishes on
    share: float | None = None  # of the buckets, a canary's
    notes: Notes = field(default_factory=Notes)
    done: list[Done] = field(default_factory=list)
    _moment: Moment | None = None
    _stats: dict[tuple[str, int], Stats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.spark)
        self.store = self.beside or Store(self.spark, self.config.store)

    @property
    def moment(self) -> Moment:
        """When this run looks at the world; needs imported plays."""
        if self._moment is None:
            version = self.store.version(t.PLAYS.name)
            if version is None:
                raise InputError(
                    f"no plays under {self.store.where(t.PLAYS.name)}; import a log first: trackpools import --help"
                )
            self._moment = resolve(self.store, version, self.as_of, self.known_as_of)
        return self._moment

    def stats(self, versions: Mapping[str, int]) -> list[Stats]:
        """Rows and hashes of tables at versions; scanned once, or taken from the release that pinned them."""
        if not self._stats:
            self._stats = {
                (s.name, s.version): s
                for release in releases.releases(self.store)[:1]
                for s in release.tables
            }
        missing = {name: version for name, version in versions.items() if (name, version) not in self._stats}
        self._stats |= {(s.name, s.version): s for s in self.store.stats_of(missing)}
        return [self._stats[one] for one in versions.items()]

    def pin(self, tables: Sequence[Table]) -> dict[str, int]:
        """Latest versions now, for everything that follows; absent tables are created empty."""
        versions = {}
        for table in tables:
            self.store.create(table)
            versions[table.name] = self.store.commit(table.name).version
        return versions

    def context(self, stage: Stage, keep: Callable[[DataFrame], DataFrame] = lambda frame: frame) -> Context:
        """Everything a stage's body may depend on."""
        moment, versions = self.moment, self.pin(stage.reads)
        settings = identity.sections_hash(self.config, stage.sections)
        key = identity.run_key(stage.name, settings, versions, moment.as_of, moment.known_as_of)
        since = None
        if t.PLAYS_DAILY in stage.writes:
            since = days_to_redo(
                self.store,
                moment,
                self.config.daily.lookback_days,
                writing.unchanged(self.config, stage, versions),
            )
        rows, model = {}, key
        for table in (t.RECORDING_FACTORS, t.RECORDING_VECTORS):
            if table in stage.reads:
                rows[table.name] = self.stats({table.name: versions[table.name]})[0].rows
        if t.USER_FACTORS in stage.reads:
            model = one_model(self.store, versions)
        return Context(
            self.config, moment.as_of, moment.known_as_of, since, versions, key, model, rows, self.notes, keep
        )

    def run(self, stage: Stage) -> Done:
        """Run a stage unless its tables already hold its result; returns what is there now."""
        self.progress(f"{stage.name}: {stage.does}")
        began, used = time.monotonic(), Usage(self.spark)
        with self.tracker.stage(stage.name) as told, contextlib.ExitStack() as held:
            c = self.context(stage, lambda frame: held.enter_context(kept(frame)))
            skipped = self._is_done(stage, c)
            written = 0.0
            if not skipped:
                read: Frames = {name: self.store.read(name, version) for name, version in c.versions.items()}
                for name, frame in stage.run(read, c).items():
                    written += writing.write(
                        self.store,
                        TABLES[name],
                        frame,
                        writing.metadata(stage, c) | {"channel": self.channel},
                        c,
                    )
            tables = self.stats(self.pin([w for w in stage.writes if self._wanted(w)]))
            done = Done(
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
                self._tell_training(c, told)
                folder = local_path(self.config.store.root)
                if folder is not None:  # object stores expire them by rule, see running.md
                    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        self.done.append(done)
        return done

    def _tell_training(self, c: Context, told: Any) -> None:
        if not self.config.mlflow.enabled:
            return  # it costs a pass over the training set, and nobody would be told
        for iteration, loss in enumerate(c.notes.curve, 1):
            told.metrics({"loss": loss}, step=iteration)
        versions = self.pin((t.NOT_TASTE, t.INTERACTIONS, t.USER_FACTORS, t.RECORDING_FACTORS))
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
            return False  # inserting what is there already is cheap and changes nothing
        if t.POOLS in own and overlays.are_hot(self.store):
            return False  # listeners were refreshed since: what is in force is not what a full run makes
        return all(
            self.store.exists(table.name)
            and self.store.commit(table.name).metadata.get("run_key") == c.run_key
            for table in own
        )

    def made(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Versions of all that a release pins, and how the pools there were made; refuses none, and pools of other tables than are there now."""
        if not self.store.exists(t.POOLS.name):
            raise InputError("there are no pools to publish; run `trackpools run`")
        versions = self.pin([*PINNED, *overlays.there(self.store)])
        made = dict(self.store.commit(t.POOLS.name).metadata)
        ours = {
            name: version for name, version in made.get("versions", {}).items() if versions[name] != version
        }
        if ours:
            changed = [
                f"{name} was at version {version}, is at {versions[name]}"
                for name, version in sorted(ours.items())
            ]
            raise ContractError(
                "tables changed after the pools were built; run `trackpools run` again", changed
            )
        return versions, made

    def publish(self, *, promoted: bool = False) -> releases.Release:
        """Check the pools and publish what the stages left; the release in force if it is the same work.

        Args:
            promoted: the gates of `promote` hold.

        Raises:
            ContractError: where a pool breaks a promise; nothing is published.
            ModelError: where other settings than the last release's need a promotion.
            BusyError: another run was faster.
        """
        self.progress("publish: check, pin, compare and swap")
        began = time.monotonic()
        versions, made = self.made()
        known = releases.releases(self.store)
        force = releases.last_of(known, self.channel)
        if force and force.run_key == made["run_key"] and force.share == self.share:
            self.done.append(Done("publish", list(force.tables), time.monotonic() - began, True, {}))
            return force
        self._require_meant(made)
        guarded = self.channel == PROD and self.config.promote.required and not promoted
        if force and guarded and self.recipe(force) != made.get("recipe"):
            raise ModelError(
                f"the model, its sources or its blend are set otherwise than for release {force.seq}, and promote.required is true: "
                "nothing was published; run `trackpools promote`, which measures both"
            )
        rows = writing.refuse(
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
        )
        releases.publish(self.store, release, made["run_key"])
        self.done.append(Done("publish", list(release.tables), time.monotonic() - began, False, {}))
        return release

    def _require_meant(self, made: dict[str, Any]) -> None:
        """Refuse to publish for readers what was made as history, unless this run made or confirmed it."""
        if (
            self.channel == PROD
            and made.get("channel") == BACKFILL
            and not any(one.stage == "pools" for one in self.done)
        ):
            raise InputError(
                f"the pools here are those of a backfill, as of {made['as_of']}: run `trackpools run`, which makes today's"
            )

    def recipe(self, release: releases.Release) -> Any:
        """Of which settings the pools of a release were made: a hash; None where its commit does not say."""
        return self.store.commit_at(t.POOLS.name, release.version(t.POOLS.name)).metadata.get("recipe")
