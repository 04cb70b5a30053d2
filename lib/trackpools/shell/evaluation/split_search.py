"""Search for good settings of an engine on a part of the training data of a public split.

The sampler TPE of Optuna proposes the settings. The test file is never opened here.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from trackpools.config import Config
from trackpools.datasets.public_splits import InteractionMatrix, PublicTestSet
from trackpools.errors import ConfigError
from trackpools.optional_packages import import_optional
from trackpools.shell.evaluation.split_scoring import measure_ranking, scorer
from trackpools.shell.spark.session import spark_session

LOG = logging.getLogger(__name__)
SHARE, SEED = 0.1, 1  # share of the training pairs that is held out to measure settings, and the random seed
Space = Callable[[Any], dict[str, Any]]
# name of an engine → function from an Optuna trial to the proposed settings: section → setting → value
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
    # ν is 0, because with the large α₀ of Rendle et al. 2021 the regularisation is nearly the same for all
    # users and items anyway. There are few iterations, because later ones lower the metric (evaluation.md).
    "blocked": lambda t: {
        "train": {
            "nu": 0.0,
            "reg": t.suggest_float("reg", 20, 300, log=True),
            "alpha": t.suggest_float("alpha", 10, 200, log=True),
            "iterations": t.suggest_int("iterations", 3, 8),
        }
    },
}


def parted(train: InteractionMatrix) -> tuple[InteractionMatrix, PublicTestSet]:
    """Draw about a tenth of the training pairs at random, and hold them out as a test set.

    The last remaining pair of a user is never held out.

    Returns:
        The remaining pairs, and the test set.
    """
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
    return InteractionMatrix(train.users, train.items, part), PublicTestSet(
        rows, part[rows], relevant, None, []
    )


def search_settings(
    config: Config,
    train: InteractionMatrix,
    engine: str,
    metric: str,
    *,
    trials: int,
    progress: Callable[[str], None],
) -> Config:
    """Return the configuration with the settings that were best on held-out training pairs.

    Args:
        config: The present configuration.
        train: The training pairs.
        engine: Name of the engine.
        metric: Name of the metric that is maximised, such as `ndcg@10`.
        trials: Number of combinations of settings to try.
        progress: Called with one line before each step.

    Raises:
        ConfigError: If the engine has no settings to search, or optuna is not installed.
    """
    if engine not in SPACES:
        raise ConfigError(
            f"engine {engine} has no settings to search for; engines that have some: {', '.join(SPACES)}"
        )
    optuna = import_optional(
        "optuna", "a search for settings needs the package optuna; install it: pip install 'trackpools[tune]'"
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spark, (part, asked) = spark_session(config.session), parted(train)

    def tried(trial: Any) -> float:
        one = _with(config, SPACES[engine](trial))
        value = measure_ranking(
            spark, scorer(spark, one, part, engine)(asked), asked, [metric], capped=False
        )[metric][0]
        shown = ", ".join(
            f"{key} {told:.4g}" if isinstance(told, float) else f"{key} {told}"
            for key, told in trial.params.items()
        )
        progress(
            f"trial {trial.number + 1} of {trials}: {shown}: {metric} {value:.4f} on a part of the training data"
        )
        return value

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    study.optimize(tried, n_trials=trials)
    LOG.info(
        "best of %s trials on a part of the training data: %s %.4f at %s",
        trials,
        metric,
        study.best_value,
        study.best_params,
    )
    return _with(config, SPACES[engine](optuna.trial.FixedTrial(study.best_params)))


def _with(config: Config, told: dict[str, dict[str, Any]]) -> Config:
    """Return the configuration with these settings, validated like settings from a file."""
    values = config.model_dump(by_alias=True)
    for section, settings in told.items():
        values[section] |= settings
    return Config.model_validate(values)
