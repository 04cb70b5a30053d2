"""`trackpools tune`: settings of the model, then weights of the blend, searched on days that no promotion looks at; the winner is measured on everybody."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.places import user_cache
from trackpools.shell import identity, tuned
from trackpools.shell.cluster import require_classic
from trackpools.shell.command import Answer, Options, flow_id, telling
from trackpools.shell.flow import Progress
from trackpools.shell.lock import local_path, writer_lock
from trackpools.shell.search_space import Settings, deciding, of_blend, of_model, short_hash, with_settings
from trackpools.shell.session import spark_session
from trackpools.shell.side import GIVEN, SideStore
from trackpools.shell.store import require_place
from trackpools.shell.studies import Journal, Study, optuna
from trackpools.shell.tracking import Tracker, replay_pending
from trackpools.shell.trying import Ground, Window, prepared, window

SIDE = "tuning_side"  # where tables of trials lie; gone when the command ends
OF_MODEL = 2 / 3  # of the minutes; the blend has the rest, and more settings in it
RUNG = 1  # step of what a third of the iterations is worth: trials of different lengths are compared by it


def tune(
    config: Config,
    options: Options,
    *,
    until: str | None = None,
    fresh: bool = False,
    planted: Mapping[str, DataFrame] | None = None,
) -> Answer:
    """Search, or go on with a search of the same log, window and settings.

    Args:
        until: look at the log up to here, ISO 8601; None is its end.
        fresh: forget what was tried.
        planted: rows that are read beside those of the log, for tests.

    Raises:
        ConfigError: where optuna is missing.
        InputError: for a log that is too short, or in whose window nobody heard anything new.
        BusyError: another search of this root runs.
    """
    optuna()
    require_place(config.store)
    folder = _folder(config)
    # not the lock of the root: a search of an hour must not hold up the nightly run, and it writes beside its tables only
    with telling(options, 2 * config.tune.trials + 20) as tell, writer_lock(str(folder)):
        spark = spark_session(config.session)
        require_classic(spark, config.train.engine)
        store = SideStore(spark, config.store, SIDE, planted)
        when = window(store, config, until)
        name = _name(store, config, when)
        if fresh:
            _journal(folder, name).unlink(missing_ok=True)
        search = Search(config, store, when, Journal(_journal(folder, name)), tell)
        replay_pending(config.mlflow, config.store.root)
        try:
            _keep_only_ours(store, name)
            with Tracker(config.mlflow, config.store.root, flow_id("tune"), "tune") as tracker:
                tracker.params(config.flat())
                winner, final = search.known() or search.run(tracker)
                tracker.params({f"best.{key}": value for key, value in winner.items()})
                tracker.metrics(
                    {key.replace(" ", "_"): one["value"] for key, one in final["measures"].items()}
                )
                tracker.tag({"trackpools.verdict": "better" if final["better"] else "present settings stay"})
                return tuned.answer(
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
    """One search: its settings, ground and studies."""

    config: Config
    store: SideStore
    window: Window
    journal: Journal
    tell: Progress

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.model = self.journal.study("trial", of_model(self.config))

    @property
    def base(self) -> Settings:
        """Settings of the best model."""
        best = self.model.best
        return {} if best is None else dict(best.user_attrs["settings"])

    @property
    def blend(self) -> Study | None:
        """The search for weights on lists of the best model; None where there are no two weights to weigh."""
        dims = of_blend(self.config)
        return (
            self.journal.study(f"blend {short_hash(self.base)}", dims) if dims and self.model.best else None
        )

    @property
    def winner(self) -> Settings:
        """What was best and, of the blend, confirmed on the half of the sample that did not choose it."""
        return self.base | confirmed(self.blend, self.config.promote.slice_margin)

    def known(self) -> tuple[Settings, dict[str, Any]] | None:
        """The answer where all that is asked for was tried and measured already."""
        wanted = self.config.tune.trials
        if len(self.model.tried) < wanted or (self.blend is not None and len(self.blend.tried) < wanted):
            return None
        final = self.model.noted(_answer(self.winner))
        return None if final is None else (self.winner, final)

    def run(self, tracker: Tracker) -> tuple[Settings, dict[str, Any]]:
        """Both searches, and pools of everybody under the best settings and the present ones."""
        minutes, trials = self.config.tune.minutes, self.config.tune.trials
        with prepared(self.store, self.config, self.window, self.tell) as ground:
            share = OF_MODEL if of_blend(self.config) else 1.0
            self.model.search(
                self._of_model(ground), trials, self.began + share * 60 * minutes, self.tell, tracker
            )
            blend = self.blend
            if blend is not None and len(blend.tried) < trials:
                self.tell("lists: all sources, by the best model")
                with ground.blends(with_settings(self.config, self.base)) as worth:
                    blend.search(
                        self._of_blend(blend, worth), trials, self.began + 60 * minutes, self.tell, tracker
                    )
            winner = self.winner
            final = self.model.noted(_answer(winner)) or self._measured(ground, winner)
        self.model.note(_answer(winner), final)
        return winner, final

    def _of_model(self, ground: Ground) -> Any:
        def worth(settings: Settings, trial: Any) -> float:
            config = with_settings(self.config, settings)
            short = max(1, round(config.train.iterations / 3))
            early = ground.recall_of_model(with_settings(config, {"train.iterations": short}))
            trial.set_user_attr("early", early)
            trial.report(early, RUNG)
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
            # nothing in the recall of new recordings speaks for those heard before, so what these lose beyond the margin is taken off
            return chosen_by(found, blend.present, self.config.promote.slice_margin)

        return worth

    def _measured(self, ground: Ground, winner: Settings) -> dict[str, Any]:
        # the best first: most of its tables are there
        made = ({"best": with_settings(self.config, winner)} if winner else {}) | {"present": self.config}
        pools = {}
        for who, config in made.items():
            self.tell(f"measure: pools of everybody under the {who} settings")
            pools[who] = ground.pools(config, lambda _: None)
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
        return [one for study in (self.model, self.blend) if study is not None for one in study.told()]


def chosen_by(found: Mapping[str, float], present: Any | None, margin: float) -> float:
    """What weights are chosen by: recall of new recordings over the first half of the sample.

    Nothing in it speaks for what was heard before, so what that loses beyond a share of what it is at present is taken off.

    Args:
        found: of `Ground.blends`.
        present: the trial of the present weights; None for itself.
    """
    lost = 0.0 if present is None else max(0.0, (1 - margin) * present.user_attrs["again0"] - found["again0"])
    return found["new0"] - lost


def confirmed(blend: Study | None, margin: float) -> Settings:
    """The best weights if the half of the sample that did not choose them finds them better too; else none, and the present ones stay."""
    best, present = (blend.best, blend.present) if blend is not None else (None, None)
    if best is None or present is None:
        return {}
    told, now = best.user_attrs, present.user_attrs
    holds = told["new1"] > now["new1"] and told["again1"] >= (1 - margin) * now["again1"]
    return dict(told["settings"]) if holds else {}


def _answer(winner: Settings) -> str:
    return f"answer {short_hash(winner)}"


def _folder(config: Config) -> Path:
    """Where studies are kept: in a local root, else in the user's cache, by root."""
    own, store = local_path(config.store.root), config.store
    return (
        own / "tuning"
        if own is not None
        else user_cache() / "tuning" / short_hash([store.root, store.catalog, store.schema_])
    )


def _journal(folder: Path, name: str) -> Path:
    return folder / f"{name}.jsonl"


def _name(store: SideStore, config: Config, when: Window) -> str:
    """What must be equal for trials to be of one search: log, windows, code, and all that is set."""
    versions = {table.name: store.version(table.name) for table in GIVEN}
    return short_hash([versions, asdict(when), identity.code_hash(), deciding(config)])


def _keep_only_ours(store: SideStore, name: str) -> None:
    """Clear what a killed search of something else left; what this one left spares it the work."""
    root = local_path(store.config.root)
    if root is None:
        return
    mark = root / SIDE / "search"
    if not (mark.is_file() and mark.read_text(encoding="utf-8") == name):
        store.clear()
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(name, encoding="utf-8")
