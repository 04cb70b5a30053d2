"""The command `trackpools tune`: search for better settings of the model and weights of the sources.

The last 2 × `holdout.days` days of the log are two periods of equal length. The first one measures the
settings; the second one is left to `promote`. The best settings of the search are measured again, on all
users.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.paths import user_cache
from trackpools.shell.command import CommandResult, Options, flow_id
from trackpools.shell.identity import work_identity
from trackpools.shell.pipeline.runner import Progress
from trackpools.shell.pipeline.sandbox import IMPORTED_TABLES, SideStore
from trackpools.shell.spark.context import require_classic
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.root_lock import local_path, writer_lock
from trackpools.shell.store.store import require_place
from trackpools.shell.tracking.tracker import Tracker, replay_pending
from trackpools.shell.tuning import search_result
from trackpools.shell.tuning.optuna_study import Study, StudyStorage, optuna
from trackpools.shell.tuning.search_space import (
    Settings,
    deciding,
    of_blend,
    of_model,
    short_hash,
    with_settings,
)
from trackpools.shell.tuning.trial import TrialSetup, Window, prepare_trials, window

SIDE = "tuning_side"  # name of the side store, which holds the trials' tables until the command ends
# Share of the time that the model may take. The weights get the rest: their trials are shorter, so more of
# them fit.
MODEL_TIME_SHARE = 2 / 3
# Each trial reports to Optuna its value after a third of the iterations, as this step. Optuna compares the
# trials at this step, and stops the bad ones.
EARLY_STEP = 1


def tune(
    config: Config,
    options: Options,
    *,
    until: str | None = None,
    fresh: bool = False,
    planted: Mapping[str, DataFrame] | None = None,
) -> CommandResult:
    """Start a search, or continue an interrupted search with the same log, periods, code and settings.

    If the same search was completed before, its result is returned without new trials.

    Args:
        config: The present settings.
        options: Options of the command line.
        until: The log is used up to this moment, ISO 8601; None stands for the end of the log.
        fresh: Whether to delete the saved trials of the same search and start over.
        planted: Table name → rows that are added when the table is read, for tests.

    Raises:
        ConfigError: If optuna is not installed, or `pools.heard` is `only`.
        InputError: If the log is too short, or no known user heard anything new in the first period.
        BusyError: If another search of this root is running.
    """
    optuna()
    require_place(config.store)
    folder = _folder(config)
    # The lock is on the folder of the searches, not on the root: a search takes long and writes no table of
    # the root, so it must not block the nightly run.
    with options.progress(2 * config.tune.trials + 20) as progress, writer_lock(str(folder)):
        spark = spark_session(config.session)
        require_classic(spark, config.train.engine)
        store = SideStore(spark, config.store, SIDE, planted)
        when = window(store, config, until)
        name = _name(store, config, when)
        if fresh:
            _journal(folder, name).unlink(missing_ok=True)
        search = Search(config, store, when, StudyStorage(_journal(folder, name)), progress)
        replay_pending(config.mlflow, config.store.root)
        try:
            _keep_only_ours(store, name)
            with Tracker(config.mlflow, config.store.root, flow_id("tune"), "tune") as tracker:
                tracker.params(config.flat())
                winner, final = search.cached_result() or search.run(tracker)
                tracker.params({f"best.{key}": value for key, value in winner.items()})
                tracker.metrics(
                    {key.replace(" ", "_"): one["value"] for key, one in final["measures"].items()}
                )
                tracker.tag({"trackpools.verdict": "better" if final["better"] else "present settings stay"})
                return search_result.answer(
                    config,
                    options,
                    when,
                    winner=winner,
                    final=final,
                    trials=search.trials(),
                    run_id=tracker.run_id,
                )
        finally:
            store.clear()


@dataclass
class Search:
    """One search: a study of the model's settings, and then a study of the weights of the sources.

    A study is a series of trials, and each trial tries one combination of settings.

    Attributes:
        config: The present settings.
        store: The side store, which holds the trials' tables.
        window: The periods for training and measuring.
        journal: The file in which both studies are saved.
        progress: Called with one line before each step.
        began: When the search began, by `time.monotonic`.
        model: The study of the model's settings.
    """

    config: Config
    store: SideStore
    window: Window
    journal: StudyStorage
    progress: Progress

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.model = self.journal.study("trial", of_model(self.config))

    @property
    def base(self) -> Settings:
        """The model's settings of the best trial; empty if the present settings are best."""
        best = self.model.best
        return {} if best is None else dict(best.user_attrs["settings"])

    @property
    def blend(self) -> Study | None:
        """The study of the weights, which uses the candidates of the best model.

        It is None if fewer than two sources have a weight that may change, or if no trial of the model is
        complete.
        """
        dims = of_blend(self.config)
        return (
            self.journal.study(f"blend {short_hash(self.base)}", dims) if dims and self.model.best else None
        )

    @property
    def winner(self) -> Settings:
        """The best settings of the model, and the best weights if `confirm_weights` confirms them."""
        return self.base | confirm_weights(self.blend, self.config.promote.slice_margin)

    def cached_result(self) -> tuple[Settings, dict[str, Any]] | None:
        """Return the same as `run` if all trials have ended and the result was measured before, else None."""
        wanted = self.config.tune.trials
        if len(self.model.tried) < wanted or (self.blend is not None and len(self.blend.tried) < wanted):
            return None
        final = self.model.noted(_answer(self.winner))
        return None if final is None else (self.winner, final)

    def run(self, tracker: Tracker) -> tuple[Settings, dict[str, Any]]:
        """Run both studies, then measure the pools of all users with the best and with the present settings.

        Returns:
            `(settings, final)`. The settings are the best ones of the search, empty if the present ones are
            best. `final` has `better` (whether the best settings are better on all users), `measures` (by
            name) and `warnings`.
        """
        minutes, trials = self.config.tune.minutes, self.config.tune.trials
        with prepare_trials(self.store, self.config, self.window, self.progress) as ground:
            share = MODEL_TIME_SHARE if of_blend(self.config) else 1.0
            self.model.search(
                self._of_model(ground), trials, self.began + share * 60 * minutes, self.progress, tracker
            )
            blend = self.blend
            if blend is not None and len(blend.tried) < trials:
                self.progress("lists: propose candidates from all sources with the best model")
                with ground.blends(with_settings(self.config, self.base)) as worth:
                    blend.search(
                        self._of_blend(blend, worth),
                        trials,
                        self.began + 60 * minutes,
                        self.progress,
                        tracker,
                    )
            winner = self.winner
            final = self.model.noted(_answer(winner)) or self._measured(ground, winner)
        self.model.note(_answer(winner), final)
        return winner, final

    def _of_model(self, ground: TrialSetup) -> Any:
        def worth(settings: Settings, trial: Any) -> float:
            config = with_settings(self.config, settings)
            short = max(1, round(config.train.iterations / 3))
            early = ground.recall_of_model(with_settings(config, {"train.iterations": short}))
            trial.set_user_attr("early", early)
            trial.report(early, EARLY_STEP)
            if settings and trial.should_prune():
                raise optuna().TrialPruned
            return ground.recall_of_model(config) if short < config.train.iterations else early

        return worth

    def _of_blend(self, blend: Study, recall: Any) -> Any:
        base = with_settings(self.config, self.base)

        def worth(settings: Settings, trial: Any) -> float:
            found = recall(with_settings(base, settings))
            for key, value in found.items():
                trial.set_user_attr(key, value)
            # Recall of new recordings says nothing about recordings heard before, so their loss is
            # subtracted.
            return weight_objective(found, blend.present, self.config.promote.slice_margin)

        return worth

    def _measured(self, ground: TrialSetup, winner: Settings) -> dict[str, Any]:
        # The best settings run first, because most of their tables exist already.
        made = ({"best": with_settings(self.config, winner)} if winner else {}) | {"present": self.config}
        pools = {}
        for who, config in made.items():
            self.progress(f"measure: build the pools of all users with the {who} settings")
            pools[who] = ground.build_pools(config, lambda _: None)
        found = ground.compared(
            {who: pools[who][0] for who in sorted(pools, reverse=True)}, self.config.promote.level
        )
        low = found["new gain"].low if winner else None
        return {
            "better": low is not None and low > 0,
            "measures": {name: asdict(one) for name, one in found.items()},
            "warnings": list(
                dict.fromkeys(warning for _, warnings in pools.values() for warning in warnings)
            ),
        }

    def trials(self) -> list[dict[str, Any]]:
        """Return the trials of both studies, see `Study.trial_rows`."""
        return [one for study in (self.model, self.blend) if study is not None for one in study.trial_rows()]


def weight_objective(found: Mapping[str, float], present: Any | None, margin: float) -> float:
    """Return the value of weights in the search, measured on the first half of the sample.

    The value is the recall of recordings that a user had not heard before, minus a penalty. The penalty is
    for recordings that a user had heard before: their recall may fall by the share `margin` of the present
    recall, and the value is lowered by what it falls below that.

    Args:
        found: Recall by kind and half, as the function that `TrialSetup.blends` yields returns it.
        present: The trial of the present weights; None while the present weights themselves are tried.
        margin: The share of the present recall that may be lost without a penalty.
    """
    lost = 0.0 if present is None else max(0.0, (1 - margin) * present.user_attrs["again0"] - found["again0"])
    return found["new0"] - lost


def confirm_weights(blend: Study | None, margin: float) -> Settings:
    """Return the best weights if the second half of the sample, which did not choose them, confirms them.

    On that half, their recall of new recordings must be higher than with the present weights, and the recall
    of recordings heard before may fall by at most the share `margin`. If not, the result is empty, and the
    present weights stay.
    """
    best, present = (blend.best, blend.present) if blend is not None else (None, None)
    if best is None or present is None:
        return {}
    told, now = best.user_attrs, present.user_attrs
    holds = told["new1"] > now["new1"] and told["again1"] >= (1 - margin) * now["again1"]
    return dict(told["settings"]) if holds else {}


def _answer(winner: Settings) -> str:
    return f"answer {short_hash(winner)}"


def _folder(config: Config) -> Path:
    """Return the folder of all searches of a root: in the root if it is local, else in the user's cache."""
    own, store = local_path(config.store.root), config.store
    return (
        own / "tuning"
        if own is not None
        else user_cache() / "tuning" / short_hash([store.root, store.catalog, store.schema_])
    )


def _journal(folder: Path, name: str) -> Path:
    return folder / f"{name}.jsonl"


def _name(store: SideStore, config: Config, when: Window) -> str:
    """Return the name of a search: a hash of the log, the periods, the code and the settings that matter.

    Trials that were saved under the same name belong to the same search.
    """
    versions = {table.name: store.version(table.name) for table in IMPORTED_TABLES}
    return short_hash([versions, asdict(when), work_identity.code_hash(Search), deciding(config)])


def _keep_only_ours(store: SideStore, name: str) -> None:
    """Empty the side store if another search, which was killed, left its tables there.

    Tables that an interrupted run of this search left are used again.
    """
    root = local_path(store.config.root)
    if root is None:
        return
    mark = root / SIDE / "search"
    if not (mark.is_file() and mark.read_text(encoding="utf-8") == name):
        store.clear()
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(name, encoding="utf-8")
