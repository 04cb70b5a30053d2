"""A search for settings on a part of train: Optuna's TPE over what an engine has to be told; the test file is not opened here."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from trackpools.config import Config
from trackpools.datasets.splits import Asked, Interactions
from trackpools.errors import ConfigError
from trackpools.extras import library

LOG = logging.getLogger(__name__)
SHARE, SEED = 0.1, 1  # of train's pairs that are kept back, of users who have more than one
Space = Callable[[Any], dict[str, Any]]
# engine → what a trial proposes, by section
SPACES: dict[str, Space] = {
    "item_knn": lambda t: {
        "baselines": {
            "item_knn_neighbours": t.suggest_int("item_knn_neighbours", 20, 2000, log=True),
            "item_knn_weighting": t.suggest_categorical(
                "item_knn_weighting", ["cosine", "tfidf", "bm25", "asymmetric"]
            ),
        }
    },
    "ease": lambda t: {"baselines": {"ease_reg": t.suggest_float("ease_reg", 10, 3000, log=True)}},
    "implicit": lambda t: {
        "train": {
            "reg": t.suggest_float("reg", 0.1, 1000, log=True),
            "alpha": t.suggest_float("alpha", 0.5, 100, log=True),
        }
    },
    "mllib": lambda t: {
        "train": {
            "reg": t.suggest_float("reg", 0.001, 10, log=True),
            "alpha": t.suggest_float("alpha", 0.5, 100, log=True),
        }
    },
    # ν = 0: α₀ of Rendle et al. 2021 is so large that their regularisation is nearly the same for all; few iterations, for later ones lose (evaluation.md)
    "blocked": lambda t: {
        "train": {
            "nu": 0.0,
            "reg": t.suggest_float("reg", 20, 300, log=True),
            "alpha": t.suggest_float("alpha", 10, 200, log=True),
            "iterations": t.suggest_int("iterations", 3, 8),
        }
    },
}


def parted(train: Interactions) -> tuple[Interactions, Asked]:
    """Train without a tenth of its pairs, and these as a test; who has one pair keeps it."""
    coo = train.matrix.tocoo()
    order = np.random.default_rng(SEED).permutation(coo.nnz)
    held = order[: int(SHARE * coo.nnz)]
    left = np.bincount(coo.row, minlength=coo.shape[0])
    kept = np.ones(coo.nnz, bool)
    for one in held:
        if left[coo.row[one]] > 1:
            kept[one], left[coo.row[one]] = False, left[coo.row[one]] - 1
    part = sparse.csr_matrix((coo.data[kept], (coo.row[kept], coo.col[kept])), coo.shape)
    by_user = sparse.csr_matrix((coo.data[~kept], (coo.row[~kept], coo.col[~kept])), coo.shape)
    rows = np.flatnonzero(np.diff(by_user.indptr))
    relevant = [
        np.sort(by_user.indices[by_user.indptr[u] : by_user.indptr[u + 1]]).astype(np.int64) for u in rows
    ]
    return Interactions(train.users, train.items, part), Asked(rows, part[rows], relevant, None, [])


def searched(
    config: Config, train: Interactions, engine: str, metric: str, *, trials: int, tell: Callable[[str], None]
) -> Config:
    """The configuration with the settings that were best by `metric` on the part of train kept back.

    Raises:
        ConfigError: where the engine has nothing to search for, or optuna is missing.
    """
    from trackpools.shell.published import measured, scorer
    from trackpools.shell.session import spark_session

    if engine not in SPACES:
        raise ConfigError(
            f"engine {engine} has no settings to search for; engines that have: {', '.join(SPACES)}"
        )
    optuna = library(
        "optuna", "a search for settings needs the package optuna; install it: pip install 'trackpools[tune]'"
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spark, (part, asked) = spark_session(config.session), parted(train)

    def tried(trial: Any) -> float:
        one = _with(config, SPACES[engine](trial))
        value = measured(spark, scorer(spark, one, part, engine)(asked), asked, [metric], capped=False)[
            metric
        ][0]
        shown = ", ".join(
            f"{key} {told:.4g}" if isinstance(told, float) else f"{key} {told}"
            for key, told in trial.params.items()
        )
        tell(f"trial {trial.number + 1} of {trials}: {shown}: {metric} {value:.4f} on a part of train")
        return value

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    study.optimize(tried, n_trials=trials)
    LOG.info(
        "best of %s trials on a part of train: %s %.4f at %s",
        trials,
        metric,
        study.best_value,
        study.best_params,
    )
    return _with(config, SPACES[engine](optuna.trial.FixedTrial(study.best_params)))


def _with(config: Config, told: dict[str, dict[str, Any]]) -> Config:
    """The configuration with these settings, checked as if they stood in a file."""
    values = config.model_dump(by_alias=True)
    for section, settings in told.items():
        values[section] |= settings
    return Config.model_validate(values)
