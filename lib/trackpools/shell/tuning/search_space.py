"""The settings that a search may change, with their ranges.

These are the settings of the engine that trains the model, the settings that weigh plays, and the weights of
sources. A range is widened if the present value is outside it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trackpools.config import Config
from trackpools.core.sources import active_sources

Settings = dict[str, Any]  # `section.key` → value
# Engine → range of `train.reg`.
REG = {"implicit": (0.1, 1000.0), "mllib": (0.001, 10.0), "blocked": (0.001, 300.0)}
MAX_ITERATIONS = 24  # greatest number of iterations; long before it, the loss hardly falls any more
MAX_ITERATIONS_MLLIB = 10  # the same for `mllib` without `train.checkpoint_dir`, see conf/base.yml
MAX_WEIGHT_FACTOR = 8.0  # the weight of a source may be multiplied or divided by at most this factor
# Sections of the configuration that do not change the values of trials, such as those for storage, resources
# and tracking.
NEUTRAL_SECTIONS = {"store", "session", "ingest", "synthetic", "candidates", "baselines", "mlflow"}


@dataclass(frozen=True)
class Dimension:
    """One setting and the range in which it is searched.

    Attributes:
        key: `section.key` of the setting.
        low: Least value, inclusive.
        high: Greatest value, inclusive.
        current: The present value.
        log: Whether values are drawn on a logarithmic scale.
        whole: Whether the value is an integer.
        off: Whether 0 may be chosen too, although it is outside the range.
    """

    key: str
    low: float
    high: float
    current: float
    log: bool = True
    whole: bool = False
    off: bool = False

    @property
    def present(self) -> dict[str, Any]:
        """The present value as parameters of an Optuna trial."""
        if not self.off:
            return {self.key: self.current}
        return {self._switch: True, self.key: self.current} if self.current > 0 else {self._switch: False}

    @property
    def _switch(self) -> str:
        return f"{self.key} above 0"

    def suggest(self, trial: Any) -> float:
        """Return the value that an Optuna trial proposes, rounded to four significant digits.

        If the trial proposes the present value, it is not rounded.
        """
        if self.off and not trial.suggest_categorical(self._switch, [False, True]):
            return 0.0
        low, high = (
            (min(self.low, self.current), max(self.high, self.current))
            if self.current > 0 or not self.log
            else (self.low, self.high)
        )
        if self.whole:
            return int(trial.suggest_int(self.key, int(low), int(high), log=self.log))
        value = trial.suggest_float(self.key, low, high, log=self.log)
        return self.current if value == self.current else float(f"{value:.4g}")


def of_model(config: Config) -> list[Dimension]:
    """Return the settings of the configured engine and of the weights of plays; the engine never changes."""
    train, weights = config.train, config.weights
    most = (
        MAX_ITERATIONS_MLLIB if train.engine == "mllib" and train.checkpoint_dir is None else MAX_ITERATIONS
    )
    low, high = REG[train.engine]
    own = (
        [
            Dimension("train.nu", 0, 1, train.exponent, log=False),
            Dimension("train.alpha0", 1e-4, 1, train.alpha0, off=True),
        ]
        if train.engine == "blocked"
        else []
    )
    return [
        Dimension("train.rank", 4, config.tune.rank_max, train.rank, whole=True),
        Dimension("train.reg", low, high, train.regularisation),
        *own,
        Dimension("train.alpha", 0.5, 100, train.alpha),
        Dimension("train.beta", 0.1, 30, train.beta, off=True),
        Dimension("train.iterations", 4, most, train.iterations, log=False, whole=True),
        Dimension("weights.half_life_days", 14, 1500, weights.half_life_days),
        Dimension("weights.saturation", 0.1, 30, weights.saturation),
    ]


def of_blend(config: Config) -> list[Dimension]:
    """Return the weights of sources that a search may change.

    The weights of these sources never change:

    - Sources of heard recordings. A search for more new recordings would only lower their weights.
    - The source of randomly drawn recordings. It is there to learn from, not to find what users like.
    - Of all other sources, the one with the largest weight, because only the ratios of weights matter.
    """
    weights = {
        s.name: getattr(config.sources, s.name).weight
        for s in active_sources(config)
        if s.emits != "heard" and not s.lots
    }
    heaviest = max(weights, key=lambda name: weights[name], default=None)
    return [
        Dimension(f"sources.{name}.weight", now / MAX_WEIGHT_FACTOR, now * MAX_WEIGHT_FACTOR, now)
        for name, now in weights.items()
        if name != heaviest
    ]


def propose(dims: Sequence[Dimension], trial: Any) -> Settings:
    """Return the settings that a trial proposes; empty if they equal the present settings."""
    told = {dim.key: dim.suggest(trial) for dim in dims}
    return {} if all(told[dim.key] == dim.current for dim in dims) else told


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """Return the configuration with these settings, validated like settings from a file.

    Raises:
        ValidationError: If the configuration does not allow a value (an error of pydantic).
    """
    values = config.model_dump(by_alias=True)
    for key, value in settings.items():
        *path, last = key.split(".")
        at = values
        for part in path:
            at = at[part]
        at[last] = value
    return Config.model_validate(values)


def differences(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `other` that are missing or different in `base`, in the same nesting.

    Args:
        base: Result of `dump`.
        other: Result of `dump`.
    """
    found = {}
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if below := differences(base[key], value):
                found[key] = below
        elif key not in base or base[key] != value:
            found[key] = value
    return found


def dump(config: Config) -> dict[str, Any]:
    """Return the configuration as nested values that YAML and JSON can hold."""
    return config.model_dump(mode="json", by_alias=True)


def short_hash(told: object) -> str:
    """Write a value as JSON, and return the first 12 hex digits of its SHA-256 hash."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]


def deciding(config: Config) -> dict[str, Any]:
    """Return the part of the configuration on which the values of trials depend.

    The sections in `NEUTRAL_SECTIONS` and the settings `tune.trials` and `tune.minutes` are left out.
    """
    told = {section: values for section, values in dump(config).items() if section not in NEUTRAL_SECTIONS}
    return told | {
        "tune": {key: value for key, value in told["tune"].items() if key not in {"trials", "minutes"}}
    }
