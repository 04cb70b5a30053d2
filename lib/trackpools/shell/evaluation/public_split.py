"""The command `trackpools evaluate` on a public split.

A public split consists of published files of training and test data, which others use too. One engine is
trained on the training file and measured on the test file. The test file is read once, after all settings are
final.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trackpools.config import ENGINES, Config
from trackpools.core.evaluation.metrics import parse_metric
from trackpools.datasets.public_splits import build_test_set, build_training_matrix, read_pairs
from trackpools.errors import ConfigError
from trackpools.shell.command import CommandResult, TextTable
from trackpools.shell.evaluation.split_scoring import BASELINES, measure_ranking, scorer
from trackpools.shell.evaluation.split_search import search_settings
from trackpools.shell.spark.context import require_classic
from trackpools.shell.spark.session import spark_session

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Files:
    """The files of a split and their format.

    Attributes:
        form: Name of the format.
        train: File of the training pairs (user, item).
        test: File of the test pairs.
        negatives: File with the items among which each test item is ranked. It is given for the format `ncf`
            and only for it; in other formats, a test item is ranked among all items.
        fold_in: File with the histories of the test users, who are not in the training file. It is given for
            the format `vae` and only for it.

    Raises:
        ConfigError: If `negatives` or `fold_in` does not fit the format.
    """

    form: str
    train: Path
    test: Path
    negatives: Path | None = None
    fold_in: Path | None = None

    def __post_init__(self) -> None:
        if (self.negatives is not None) != (self.form == "ncf"):
            raise ConfigError(
                f"--negatives must be given with --format ncf, and only with it; the format is {self.form}"
            )
        if (self.fold_in is not None) != (self.form == "vae"):
            raise ConfigError(
                f"--fold-in must be given with --format vae, and only with it; the format is {self.form}"
            )


def evaluate_split(
    config: Config, files: Files, engine: str, ks: Sequence[int], *, trials: int, progress: Progress
) -> CommandResult:
    """Measure one engine on a split, and report the metrics, the settings and remarks on the data.

    Args:
        config: The merged configuration.
        files: The files of the split.
        engine: Name of a baseline or an ALS engine.
        ks: Numbers k of the metrics recall@k, nDCG@k and hit rate@k.
        trials: Number of combinations of settings to try before the test file is read. They are trained on
            nine tenths of the training pairs and measured on the other tenth. With 0, the settings of the
            configuration are used.
        progress: Called with one line before each step.

    Raises:
        ConfigError: If the engine, the format or a cut is not valid.
        InputError: If a file is not valid.
    """
    if engine not in (*BASELINES, *ENGINES):
        raise ConfigError(
            f"there is no engine {engine!r:.40}; the engines are: {', '.join((*BASELINES, *ENGINES))}"
        )
    if (
        engine in ENGINES and config.train.engine != engine
    ):  # the configuration was validated for train.engine, so its settings may not fit another engine
        raise ConfigError(
            f"the engine to evaluate is {engine}, but train.engine is {config.train.engine}; set train.engine={engine}"
        )
    names = [f"{name}@{k}" for name in ("recall", "ndcg", "hr") for k in ks]
    for name in names:
        parse_metric(name)
    progress("read: the training data")
    train, notes = build_training_matrix(read_pairs(files.train, files.form))
    if trials:
        config = search_settings(config, train, engine, f"ndcg@{ks[0]}", trials=trials, progress=progress)
    spark = spark_session(config.session)
    require_classic(spark, engine)
    progress(f"train: {engine}")
    made = scorer(spark, config, train, engine, folds=files.fold_in is not None)
    progress(f"read: the test data {files.test.name}, once")
    fold = None if files.fold_in is None else read_pairs(files.fold_in, files.form)
    asked = build_test_set(train, read_pairs(files.test, files.form), negatives=files.negatives, fold_in=fold)
    if max(ks) > len(train.items):
        notes.append(
            f"k = {max(ks)} is above the number of items, {len(train.items):,}, so lists end before k"
        )
    found = measure_ranking(spark, made(asked), asked, names, capped=files.form == "vae")
    counts = {
        "train_users": len(train.users),
        "items": len(train.items),
        "train_pairs": int(train.matrix.nnz),
        "test_users": len(asked.rows),
        "test_pairs": sum(map(len, asked.relevant)),
    }
    return _answer(config, engine, counts, found, [*notes, *asked.notes])


def _answer(
    config: Config,
    engine: str,
    counts: dict[str, int],
    found: dict[str, tuple[float, float, float]],
    notes: list[str],
) -> CommandResult:
    settings = {"engine": engine} | (config.train if engine in ENGINES else config.baselines).model_dump(
        mode="json"
    )
    grid = TextTable(
        ("metric", "mean", "95 %"),
        [(name, f"{mean:.4f}", f"{low:.4f} to {high:.4f}") for name, (mean, low, high) in found.items()],
        title=f"{engine}: {counts['test_users']:,} test users, {counts['items']:,} items",
    )
    return CommandResult(
        lines=[grid, *notes],
        more={
            "metrics": {name: mean for name, (mean, *_) in found.items()},
            "intervals": {name: [low, high] for name, (_, low, high) in found.items()},
            "settings": settings,
            "counts": counts,
            "notes": notes,
        },
    )
