"""`trackpools evaluate` on published splits: train files in, metrics of one engine out; the test file is read once, when everything is settled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import ENGINES, Config
from trackpools.core.als.factors import matrix
from trackpools.core.als.foldin import fold_in, signed
from trackpools.core.baselines import Ease, Factors, ItemKnn, Popularity, Scorer, leaders, place_among
from trackpools.core.metrics import all_metrics, hits, parse
from trackpools.core.resampling import resampled, total
from trackpools.datasets.splits import Asked, Interactions, asked_of, read_pairs, trained_on
from trackpools.errors import ConfigError, InputError
from trackpools.shell import engines
from trackpools.shell.cluster import require_classic
from trackpools.shell.command import Answer
from trackpools.shell.session import spark_session

BASELINES = ("popularity", "item_knn", "ease")
USERS = 512  # scored at a time
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Files:
    """Where a split lies, and how it is written.

    Attributes:
        negatives: what stands beside each test item (ncf); None, and every item does.
        fold_in: histories of test users who are not in train (vae).
    """

    form: str
    train: Path
    test: Path
    negatives: Path | None = None
    fold_in: Path | None = None

    def __post_init__(self) -> None:
        if (self.negatives is not None) != (self.form == "ncf"):
            raise ConfigError(
                f"--negatives goes with --format ncf and only with it; the format is {self.form}"
            )
        if (self.fold_in is not None) != (self.form == "vae"):
            raise ConfigError(f"--fold-in goes with --format vae and only with it; the format is {self.form}")


def evaluate(
    config: Config, files: Files, engine: str, ks: Sequence[int], *, trials: int, tell: Tell
) -> Answer:
    """Metrics of one engine on a split, with settings and what was odd.

    Args:
        ks: cuts of recall, nDCG and hit rate.
        trials: settings tried on a tenth of train before the test is read; 0 takes the configuration's.

    Raises:
        ConfigError: for an engine, format or k that nobody knows.
        InputError: for files that are not what they should be.
    """
    if engine not in (*BASELINES, *ENGINES):
        raise ConfigError(f"no engine is called {engine!r:.40}; known: {', '.join((*BASELINES, *ENGINES))}")
    if (
        engine in ENGINES and config.train.engine != engine
    ):  # what an engine can be told was checked for that one
        raise ConfigError(
            f"engine {engine} is asked for and train.engine is {config.train.engine}; set train.engine={engine}"
        )
    names = [f"{name}@{k}" for name in ("recall", "ndcg", "hr") for k in ks]
    for name in names:
        parse(name)
    tell("read train")
    train, notes = trained_on(read_pairs(files.train, files.form))
    if trials:
        from trackpools.shell.tuning import searched

        config = searched(config, train, engine, f"ndcg@{ks[0]}", trials=trials, tell=tell)
    spark = spark_session(config.session)
    require_classic(spark, engine)
    tell(f"train {engine}")
    made = scorer(spark, config, train, engine, folds=files.fold_in is not None)
    tell(f"read the test, once: {files.test.name}")
    fold = None if files.fold_in is None else read_pairs(files.fold_in, files.form)
    asked = asked_of(train, read_pairs(files.test, files.form), negatives=files.negatives, fold_in=fold)
    if max(ks) > len(train.items):
        notes.append(f"k = {max(ks)} is above the {len(train.items):,} items there are: lists end before it")
    found = measured(spark, made(asked), asked, names, capped=files.form == "vae")
    counts = {
        "train_users": len(train.users),
        "items": len(train.items),
        "train_pairs": int(train.matrix.nnz),
        "test_users": len(asked.rows),
        "test_pairs": sum(map(len, asked.relevant)),
    }
    return _answer(config, engine, counts, found, [*notes, *asked.notes])


def scorer(
    spark: SparkSession, config: Config, train: Interactions, engine: str, *, folds: bool = False
) -> Callable[[Asked], Scorer]:
    """Who scores the users of a test: one trained engine; ALS folds in users who were not trained.

    Args:
        folds: whether the test's users come with histories of their own.
    """
    if engine in BASELINES:
        made = baseline(config, train.matrix, engine)
        return lambda _: made
    settings = config.train
    fit = engines.train(training_of(spark, train.matrix), settings)
    users, items = (
        dense(frame, n)
        for frame, n in ((fit.users, train.matrix.shape[0]), (fit.recordings, train.matrix.shape[1]))
    )
    if not folds:
        return lambda _: Factors(users, items)

    def folded(asked: Asked) -> Scorer:
        catalogue = np.arange(len(items), dtype=np.int32)
        rows = signed(training_of(spark, asked.history), settings)
        return Factors(
            dense(fold_in(rows, catalogue, items.astype(np.float64), settings), len(asked.rows)), items
        )

    return folded


def baseline(config: Config, matrix_: Any, engine: str) -> Scorer:
    """One of `BASELINES`, of a binary csr matrix [users, items]."""
    own = config.baselines
    if engine == "popularity":
        return Popularity(matrix_)
    return (
        ItemKnn(matrix_, own.item_knn_neighbours, own.item_knn_weighting)
        if engine == "item_knn"
        else Ease(matrix_, own.ease_reg)
    )


def training_of(spark: SparkSession, matrix_: Any) -> DataFrame:
    """`user_idx, recording_idx, positive, negative` of a binary matrix."""
    coo = matrix_.tocoo()
    return spark.createDataFrame(
        pa.table(
            {
                "user_idx": coo.row.astype(np.int32),
                "recording_idx": coo.col.astype(np.int32),
                "positive": np.ones(coo.nnz),
                "negative": np.zeros(coo.nnz),
            }
        )
    )


def dense(factors: DataFrame, n: int) -> Any:
    """[n, rank] float32 of `idx, factors`; zeros where there are none."""
    rows = factors.toArrow()
    y = matrix(rows["factors"])
    made = np.zeros((n, y.shape[1]), np.float32)
    made[rows["idx"].to_numpy()] = y
    return made


def ranks(scorer_: Scorer, asked: Asked, longest: int) -> Any:
    """Arrow `user_idx`, the place in the test, `ranked list<int>` and `relevant list<int>`; beside negatives `ranks list<long>` and how many are relevant."""
    lists: list[Any] = []
    for start in range(0, len(asked.rows), USERS):
        mine = range(start, min(start + USERS, len(asked.rows)))
        history = asked.history[mine.start : mine.stop]
        scores = scorer_.scores(asked.rows[mine.start : mine.stop], history)
        cold = np.diff(history.indptr) == 0
        if not np.isfinite(scores).all():
            raise InputError("the engine scored items as infinite or as no number; raise its regularisation")
        for met in (history, *(() if asked.heard is None else (asked.heard[mine.start : mine.stop],))):
            row, column = met.nonzero()
            scores[row, column] = -np.inf
        for i, u in enumerate(mine):
            if asked.negatives is None:
                lists.append(np.empty(0, np.int64) if cold[i] else leaders(scores[i], longest))
            else:
                lists.append([place_among(scores[i], int(asked.relevant[u][0]), asked.negatives[u])])
    everybody = np.arange(len(lists))
    if asked.negatives is not None:
        return pa.table(
            {
                "user_idx": everybody,
                "ranks": pa.array(lists, pa.list_(pa.int64())),
                "relevant": pa.array([1] * len(lists), pa.int32()),
            }
        )
    relevant = [one.astype(np.int32) for one in asked.relevant]
    ranked = [one.astype(np.int32) for one in lists]
    return pa.table(
        {
            "user_idx": everybody,
            **{
                name: pa.array(rows, pa.list_(pa.int32()))
                for name, rows in (("ranked", ranked), ("relevant", relevant))
            },
        }
    )


def measured(
    spark: SparkSession, scorer_: Scorer, asked: Asked, names: Sequence[str], *, capped: bool
) -> dict[str, tuple[float, float, float]]:
    """Metric → its mean over users and the ends of that mean's 95 % interval, by the bootstrap."""
    rows = spark.createDataFrame(ranks(scorer_, asked, max(parse(name)[1] for name in names)))
    if asked.negatives is None:
        rows = rows.select(
            "user_idx",
            hits(F.col("ranked"), F.col("relevant")).alias("ranks"),
            F.size("relevant").alias("relevant"),
        )
    values = rows.select("user_idx", *all_metrics(names, F.col("ranks"), F.col("relevant"), capped=capped))
    found = total(resampled(values, names).toArrow(), len(names))
    return {
        name: (float(mean), float(low), float(high))
        for name, mean, low, high in zip(names, found.mean, *found.interval(), strict=True)
    }


def _answer(
    config: Config,
    engine: str,
    counts: dict[str, int],
    found: dict[str, tuple[float, float, float]],
    notes: list[str],
) -> Answer:
    from rich.table import Table

    settings = {"engine": engine} | (config.train if engine in ENGINES else config.baselines).model_dump(
        mode="json"
    )
    grid = Table(
        "metric",
        "mean",
        "95 %",
        title=f"{engine}: {counts['test_users']:,} test users, {counts['items']:,} items",
    )
    for name, (mean, low, high) in found.items():
        grid.add_row(name, f"{mean:.4f}", f"{low:.4f} to {high:.4f}")
    return Answer(
        lines=[grid, *notes],
        more={
            "metrics": {name: mean for name, (mean, *_) in found.items()},
            "intervals": {name: [low, high] for name, (_, low, high) in found.items()},
            "settings": settings,
            "counts": counts,
            "notes": notes,
        },
    )
