"""Studies of a search, in a file that survives a kill: Optuna's TPE, seeded by how much was tried, so that going on is the same as not having stopped."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trackpools.errors import TrackpoolsError
from trackpools.extras import library
from trackpools.shell.flow import Progress
from trackpools.shell.search_space import Dim, Settings, proposed
from trackpools.shell.tracking import Tracker

SEED = 1
BY_LOT = 8  # trials before TPE has enough to learn from
PRUNE_AFTER = 3  # of which the median is known
Worth = Callable[[Settings, Any], float]  # of settings; may report to the trial, and ask it whether to go on


def optuna() -> Any:
    """The package.

    Raises:
        ConfigError: where the extra `tune` is not installed.
    """
    package = library(
        "optuna", "a search for settings needs the package optuna; install it: pip install 'trackpools[tune]'"
    )
    package.logging.set_verbosity(package.logging.ERROR)
    return package


class Journal:
    """A file of studies; one process at a time."""

    def __init__(self, path: Path) -> None:
        package = optuna()
        path.parent.mkdir(parents=True, exist_ok=True)
        _whole_lines(path)
        path.with_name(f"{path.name}.lock").unlink(
            missing_ok=True
        )  # of a killed process: the caller holds the folder
        self._storage = package.storages.JournalStorage(
            package.storages.journal.JournalFileBackend(str(path))
        )

    def study(self, kind: str, dims: Sequence[Dim]) -> "Study":
        return Study(self._storage, kind, dims)


def _whole_lines(path: Path) -> None:
    """A line that a kill tore off would swallow the next one."""
    if path.exists():
        told = path.read_bytes()
        path.write_bytes(told[: told.rfind(b"\n") + 1])


class Study:
    """One search, the present settings first.

    Args:
        kind: names its trials: `trial` or `blend`.
    """

    def __init__(self, storage: Any, kind: str, dims: Sequence[Dim]) -> None:
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
        """Optuna's frozen trials that ended: complete, pruned, or refused by an engine; those of a killed process did not."""
        states = self._state
        return [
            one
            for one in self._own.get_trials(deepcopy=False)
            if one.state in {states.COMPLETE, states.PRUNED} or "why" in one.user_attrs
        ]

    @property
    def complete(self) -> list[Any]:
        return [one for one in self.tried if one.state == self._state.COMPLETE]

    @property
    def present(self) -> Any | None:
        """The trial of the present settings; None before it ended."""
        return next((one for one in self.complete if not one.user_attrs["settings"]), None)

    @property
    def best(self) -> Any | None:
        """The trial of the greatest value, the first of equals; None before one is complete."""
        return max(self.complete, key=lambda one: (one.value, -one.number), default=None)

    def note(self, key: str, told: Any) -> None:
        """Keep something JSON beside the trials."""
        self._own.set_user_attr(key, told)

    def noted(self, key: str) -> Any | None:
        return self._own.user_attrs.get(key)

    def search(self, worth: Worth, trials: int, ends: float, tell: Progress, tracker: Tracker) -> None:
        """Try settings until so many ended or `ends` (by `time.monotonic`) has passed; the present ones in any case.

        Raises:
            TrackpoolsError: where the present settings are refused; of others it is a failed trial.
        """
        self._mend()
        while (done := len(self.tried)) < trials and (self.present is None or time.monotonic() < ends):
            # a sampler that had lived on would know no more than the trials themselves, and a new one is the same after a kill
            self._own.sampler = self._tpe(seed=SEED + done, n_startup_trials=BY_LOT)
            trial = self._own.ask()
            settings = proposed(self.dims, trial)
            trial.set_user_attr("settings", settings)
            best = f"; best so far {self.best.value:.4f}" if self.best else ""
            tell(f"{self.kind} {done + 1} of {trials}: {said(settings)}{best}")
            with tracker.stage(f"{self.kind}-{trial.number}") as scope:
                scope.params(settings or {dim.key: dim.now for dim in self.dims})
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
        """What a killed process left running has failed; what it tried is proposed again, for the sampler's seed is how much ended."""
        for one in self._own.get_trials(deepcopy=False, states=(self._state.RUNNING,)):
            self._own.tell(one.number, state=self._state.FAIL)
        waiting = self._own.get_trials(deepcopy=False, states=(self._state.WAITING,))
        if self.present is None and not waiting:
            self._own.enqueue_trial({name: value for dim in self.dims for name, value in dim.present.items()})

    def told(self) -> list[dict[str, Any]]:
        """Trials for scripts: `study, trial, state, value, settings`; a pruned one's value is that of a third of its iterations."""
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


def said(settings: Settings) -> str:
    """For people, in one line."""
    short = ", ".join(
        f"{key.removeprefix('train.').removeprefix('sources.')} {value:.4g}"
        for key, value in settings.items()
    )
    return short or "the present settings"
