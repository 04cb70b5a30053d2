"""Run Optuna studies, and save them so that a killed search can continue.

A study is a series of trials, and each trial tries one combination of settings. Studies are saved in a file.
The random seed of Optuna's sampler TPE depends only on the number of trials that have ended. So a search that
continues after a kill proposes the same settings as a search that was never stopped.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from trackpools.errors import TrackpoolsError
from trackpools.optional_packages import import_optional
from trackpools.shell.pipeline.runner import Progress
from trackpools.shell.resilience.atomic_file import atomic_file
from trackpools.shell.tracking.tracker import Tracker
from trackpools.shell.tuning.search_space import Dimension, Settings, propose

SEED = 1
RANDOM_TRIALS = 8  # number of trials with random settings, before TPE proposes settings from their values
PRUNE_AFTER = 3  # number of trials that must be complete before trials below their median are stopped early
# (settings, Optuna trial) → value of the settings. The function may report a first value to the trial, and
# stop if Optuna advises it.
Worth = Callable[[Settings, Any], float]


def optuna() -> ModuleType:
    """Import and return the package optuna.

    Raises:
        ConfigError: If the extra `tune` is not installed.
    """
    package = import_optional(
        "optuna", "a search for settings needs the package optuna; install it: pip install 'trackpools[tune]'"
    )
    package.logging.set_verbosity(package.logging.ERROR)
    return package


class StudyStorage:
    """A file in which studies are saved, for use by one process at a time.

    Args:
        path: The file. The caller must have locked its folder.
    """

    def __init__(self, path: Path) -> None:
        package = optuna()
        path.parent.mkdir(parents=True, exist_ok=True)
        _whole_lines(path)
        path.with_name(f"{path.name}.lock").unlink(
            missing_ok=True
        )  # this lock can only be left from a killed process, because the caller has locked the folder
        self._storage = package.storages.JournalStorage(
            package.storages.journal.JournalFileBackend(str(path))
        )

    def study(self, kind: str, dims: Sequence[Dimension]) -> "Study":
        """Open the study named `kind` for the settings `dims`, or create it."""
        return Study(self._storage, kind, dims)


def _whole_lines(path: Path) -> None:
    """Remove an incomplete last line, which a killed process may leave and Optuna would write on."""
    told = path.read_bytes() if path.exists() else b""
    if told and not told.endswith(b"\n"):
        with atomic_file(path) as draft:
            draft.write_bytes(told[: told.rfind(b"\n") + 1])


class Study:
    """One study; its first trial tries the present settings.

    Args:
        storage: The Optuna storage.
        kind: Name of the study. Its first word, `trial` or `blend`, is part of the names of trials in MLflow.
        dims: The settings to search and their ranges.
    """

    def __init__(self, storage: Any, kind: str, dims: Sequence[Dimension]) -> None:
        package = optuna()
        self.kind, self.dims = kind.partition(" ")[0], dims
        pruner = package.pruners.MedianPruner(n_startup_trials=PRUNE_AFTER)
        self._own = package.create_study(
            storage=storage, study_name=kind, direction="maximize", load_if_exists=True, pruner=pruner
        )
        self._state, self._pruned, self._tpe = (
            package.trial.TrialState,
            package.TrialPruned,
            package.samplers.TPESampler,
        )

    @property
    def tried(self) -> list[Any]:
        """The Optuna trials that ended: complete, pruned (stopped early), or refused.

        A trial is refused if its settings lead to an error of trackpools. Trials that a killed process left
        unfinished are not included.
        """
        states = self._state
        return [
            one
            for one in self._own.get_trials(deepcopy=False)
            if one.state in {states.COMPLETE, states.PRUNED} or "why" in one.user_attrs
        ]

    @property
    def complete(self) -> list[Any]:
        """The trials that ran to their end, which means that they were neither pruned nor refused."""
        return [one for one in self.tried if one.state == self._state.COMPLETE]

    @property
    def present(self) -> Any | None:
        """The trial of the present settings, or None if no such trial is complete."""
        return next((one for one in self.complete if not one.user_attrs["settings"]), None)

    @property
    def best(self) -> Any | None:
        """The complete trial with the greatest value, or None if no trial is complete.

        Of trials with equal values, the first one counts.
        """
        return max(self.complete, key=lambda one: (one.value, -one.number), default=None)

    def note(self, key: str, told: object) -> None:
        """Save a JSON value with the study, under a key."""
        self._own.set_user_attr(key, told)

    def noted(self, key: str) -> Any | None:
        """Return the value that `note` saved under a key, or None."""
        return self._own.user_attrs.get(key)

    def search(self, worth: Worth, trials: int, ends: float, progress: Progress, tracker: Tracker) -> None:
        """Run trials until enough have ended or the time is over.

        The present settings are tried even if the time is over.

        Args:
            worth: Computes the value of settings.
            trials: Number of trials that must have ended, including those of an interrupted search.
            ends: Moment by `time.monotonic` after which no trial begins.
            progress: Called with one line before each trial.
            tracker: Tracks each trial as a stage.

        Raises:
            TrackpoolsError: If the present settings lead to this error. Other settings are only marked as
                refused.
        """
        self._mend()
        while (done := len(self.tried)) < trials and (self.present is None or time.monotonic() < ends):
            # Each trial gets a new sampler, which knows only the earlier trials and its seed. So it proposes
            # the same settings in a search that was killed and continued.
            self._own.sampler = self._tpe(seed=SEED + done, n_startup_trials=RANDOM_TRIALS)
            trial = self._own.ask()
            settings = propose(self.dims, trial)
            trial.set_user_attr("settings", settings)
            best = f"; best so far {self.best.value:.4f}" if self.best else ""
            progress(f"{self.kind} {done + 1} of {trials}: {describe_settings(settings)}{best}")
            with tracker.stage(f"{self.kind}-{trial.number}") as scope:
                scope.params(settings or {dim.key: dim.current for dim in self.dims})
                state, value = self._one(trial, settings, worth)
                scope.tag({"trackpools.trial": state.name.lower()})
                numbers = {
                    key: number for key, number in trial.user_attrs.items() if isinstance(number, float)
                }
                scope.metrics(numbers | ({} if value is None else {"value": value}))

    def _one(self, trial: Any, settings: Settings, worth: Worth) -> tuple[Any, float | None]:
        began = time.monotonic()
        try:
            value = worth(settings, trial)
        except self._pruned:
            self._own.tell(trial, state=self._state.PRUNED)
            return self._state.PRUNED, None
        except TrackpoolsError as error:
            if not settings:
                raise
            trial.set_user_attr("why", error.message)
            self._own.tell(trial, state=self._state.FAIL)
            return self._state.FAIL, None
        trial.set_user_attr("seconds", round(time.monotonic() - began, 3))
        self._own.tell(trial, value)
        return self._state.COMPLETE, value

    def _mend(self) -> None:
        """Mark the trials that a killed process left running as failed, and queue the present settings.

        The settings of a failed trial are proposed again, because the sampler's seed depends only on the
        number of trials that have ended. The present settings are queued if they were not tried yet.
        """
        for one in self._own.get_trials(deepcopy=False, states=(self._state.RUNNING,)):
            self._own.tell(one.number, state=self._state.FAIL)
        waiting = self._own.get_trials(deepcopy=False, states=(self._state.WAITING,))
        if self.present is None and not waiting:
            self._own.enqueue_trial({name: value for dim in self.dims for name, value in dim.present.items()})

    def trial_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary for each trial that ended: `study`, `trial`, `state`, `value` and `settings`.

        The value of a pruned trial was measured after a third of its iterations. A refused trial has the
        value None, and its error message as `why`.
        """
        return [
            {
                "study": self.kind,
                "trial": one.number,
                "state": "refused" if "why" in one.user_attrs else one.state.name.lower(),
                "value": one.value,
                "settings": one.user_attrs["settings"],
                **({"why": one.user_attrs["why"]} if "why" in one.user_attrs else {}),
            }
            for one in self.tried
        ]


def describe_settings(settings: Settings) -> str:
    """Describe settings in one line; empty settings are the present ones."""
    short = ", ".join(
        f"{key.removeprefix('train.').removeprefix('sources.')} {value:.4g}"
        for key, value in settings.items()
    )
    return short or "the present settings"
