"""What a search may change: the settings of a model by engine, and the weights of sources; each with a range that also holds what is set now."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackpools.config import Config
from trackpools.core.sources import enabled

Settings = dict[str, Any]  # `section.key` → value
REG = {"implicit": (0.1, 1000.0), "mllib": (0.001, 10.0), "blocked": (0.001, 300.0)}
SWEEPS = 24  # iterations at most; the loss is flat long before
SHORT_LINEAGE = 10  # of mllib without a folder for checkpoints, see conf/base.yml
TIMES = 8.0  # a source's weight may become so many times what it is, or so many times less
# what decides nothing here: where, with which means, and how long
ELSEWHERE = {"store", "session", "ingest", "synthetic", "candidates", "baselines", "mlflow"}


@dataclass(frozen=True)
class Dim:
    """One setting and its range.

    Attributes:
        low, high: inclusive; a search between them is by logarithms where `log`.
        now: what is set.
        whole: a whole number.
        off: 0 is a choice of its own beside the range.
    """

    key: str
    low: float
    high: float
    now: float
    log: bool = True
    whole: bool = False
    off: bool = False

    @property
    def present(self) -> dict[str, Any]:
        """What is set, as parameters of a trial."""
        if not self.off:
            return {self.key: self.now}
        return {self._switch: True, self.key: self.now} if self.now > 0 else {self._switch: False}

    @property
    def _switch(self) -> str:
        return f"{self.key} above 0"

    def asked(self, trial: Any) -> float:
        """The value that an Optuna trial proposes, of four digits; what is set now stays to the last digit."""
        if self.off and not trial.suggest_categorical(self._switch, [False, True]):
            return 0.0
        low, high = (
            (min(self.low, self.now), max(self.high, self.now))
            if self.now > 0 or not self.log
            else (self.low, self.high)
        )
        if self.whole:
            return int(trial.suggest_int(self.key, int(low), int(high), log=self.log))
        value = trial.suggest_float(self.key, low, high, log=self.log)
        return self.now if value == self.now else float(f"{value:.4g}")


def of_model(config: Config) -> list[Dim]:
    """What an ALS engine has to be told, and how plays become evidence; the engine stays."""
    train, weights = config.train, config.weights
    most = SHORT_LINEAGE if train.engine == "mllib" and train.checkpoint_dir is None else SWEEPS
    low, high = REG[train.engine]
    own = (
        [
            Dim("train.nu", 0, 1, train.exponent, log=False),
            Dim("train.alpha0", 1e-4, 1, train.alpha0, off=True),
        ]
        if train.engine == "blocked"
        else []
    )
    return [
        Dim("train.rank", 4, config.tune.rank_max, train.rank, whole=True),
        Dim("train.reg", low, high, train.regularisation),
        *own,
        Dim("train.alpha", 0.5, 100, train.alpha),
        Dim("train.beta", 0.1, 30, train.beta, off=True),
        Dim("train.iterations", 4, most, train.iterations, log=False, whole=True),
        Dim("weights.half_life_days", 14, 1500, weights.half_life_days),
        Dim("weights.saturation", 0.1, 30, weights.saturation),
    ]


def of_blend(config: Config) -> list[Dim]:
    """Weights of the sources that are asked for new recordings, but the heaviest: only their ratios count.

    Sources of heard recordings keep theirs, for nothing new is lost by leaving them out; so does what is drawn by lot, which is there to learn from.
    """
    weights = {
        s.name: getattr(config.sources, s.name).weight
        for s in enabled(config)
        if s.emits != "heard" and not s.lots
    }
    heaviest = max(weights, key=lambda name: weights[name], default=None)
    return [
        Dim(f"sources.{name}.weight", now / TIMES, now * TIMES, now)
        for name, now in weights.items()
        if name != heaviest
    ]


def proposed(dims: Sequence[Dim], trial: Any) -> Settings:
    """The settings of a trial; none where it is what is set now."""
    told = {dim.key: dim.asked(trial) for dim in dims}
    return {} if all(told[dim.key] == dim.now for dim in dims) else told


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with these settings, checked as if they stood in a file."""
    values = config.model_dump(by_alias=True)
    for key, value in settings.items():
        *path, last = key.split(".")
        at = values
        for part in path:
            at = at[part]
        at[last] = value
    return Config.model_validate(values)


def differences(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What of `other` differs, nested as it is; both are dumps of a configuration."""
    found = {}
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if below := differences(base[key], value):
                found[key] = below
        elif key not in base or base[key] != value:
            found[key] = value
    return found


def dump(config: Config) -> dict[str, Any]:
    """As YAML and JSON would hold it."""
    return config.model_dump(mode="json", by_alias=True)


def short_hash(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]


def deciding(config: Config) -> dict[str, Any]:
    """All of the configuration that the values of a search depend on."""
    told = {section: values for section, values in dump(config).items() if section not in ELSEWHERE}
    return told | {
        "tune": {key: value for key, value in told["tune"].items() if key not in {"trials", "minutes"}}
    }
