"""Score the items for the users of a public split with one engine, and measure the ranking."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy import sparse

from trackpools.config import Config
from trackpools.core.als.factors import factor_matrix
from trackpools.core.als.fold_in_users import fold_in, signed_values
from trackpools.core.evaluation.baselines import (
    Ease,
    FactorScorer,
    ItemKnn,
    Popularity,
    Scorer,
    rank_among,
    top_items,
)
from trackpools.core.evaluation.bootstrap import combine_sums, resample
from trackpools.core.evaluation.metrics import all_metrics, hits, parse_metric
from trackpools.datasets.public_splits import InteractionMatrix, PublicTestSet
from trackpools.errors import InputError
from trackpools.shell.training.train import train

BASELINES = ("popularity", "item_knn", "ease")
USERS = 512  # number of users whose scores are in memory at a time


def scorer(
    spark: SparkSession, config: Config, interactions: InteractionMatrix, engine: str, *, folds: bool = False
) -> Callable[[PublicTestSet], Scorer]:
    """Train an engine, and return a function that builds its scorer for a test set.

    Args:
        spark: The session.
        config: The merged configuration.
        interactions: The training pairs.
        engine: Name of a baseline or an ALS engine.
        folds: Whether the test users are not in the training data. If so, an ALS engine computes their
            factors from the histories of the test set.
    """
    if engine in BASELINES:
        made = baseline(config, interactions.matrix, engine)
        return lambda _: made
    settings = config.train
    fit = train(training_of(spark, interactions.matrix), settings)
    users, items = (
        dense(frame, n)
        for frame, n in (
            (fit.users, interactions.matrix.shape[0]),
            (fit.recordings, interactions.matrix.shape[1]),
        )
    )
    if not folds:
        return lambda _: FactorScorer(users, items)

    def folded(asked: PublicTestSet) -> Scorer:
        catalogue = np.arange(len(items), dtype=np.int32)
        rows = signed_values(training_of(spark, asked.history), settings)
        return FactorScorer(
            dense(fold_in(rows, catalogue, items.astype(np.float64), settings), len(asked.rows)), items
        )

    return folded


def baseline(config: Config, matrix_: sparse.csr_matrix, engine: str) -> Scorer:
    """Fit one of `BASELINES` to a csr matrix [users, items] of ones."""
    own = config.baselines
    if engine == "popularity":
        return Popularity(matrix_)
    return (
        ItemKnn(matrix_, own.item_knn_neighbours, own.item_knn_weighting)
        if engine == "item_knn"
        else Ease(matrix_, own.ease_reg)
    )


def training_of(spark: SparkSession, matrix_: sparse.csr_matrix) -> DataFrame:
    """Return a sparse matrix of ones as a frame for training.

    Returns:
        `user_idx int, recording_idx int, positive double, negative double`: one row for each entry of the
        matrix, with `positive` 1 and `negative` 0.
    """
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


def dense(factors: DataFrame, n: int) -> NDArray[np.float32]:
    """Return the factors of a frame `idx, factors` as a float32 array [n, rank].

    Row i has the factors of idx i, or zeros if the frame has no such idx.
    """
    rows = factors.toArrow()
    y = factor_matrix(rows["factors"])
    made = np.zeros((n, y.shape[1]), np.float32)
    made[rows["idx"].to_numpy()] = y
    return made


def ranks(scorer_: Scorer, asked: PublicTestSet, longest: int) -> pa.Table:
    """Rank the items for each test user, without the items in the user's history or in `asked.heard`.

    Args:
        scorer_: Scores items for users.
        asked: The test set.
        longest: Greatest length of a list.

    Returns:
        An Arrow table with one row for each test user; `user_idx` is the user's position in the test set.
        Without negatives, there are the columns `ranked`, list<int>, the ranked items (empty for a user
        without a history), and `relevant`, list<int>, the test items. With negatives, there are `ranks`,
        list<long>, which holds the rank of the user's test item among its negatives, and `relevant`, which is
        always 1.

    Raises:
        InputError: If a score is infinite or not a number.
    """
    lists: list[Any] = []
    for start in range(0, len(asked.rows), USERS):
        mine = range(start, min(start + USERS, len(asked.rows)))
        history = asked.history[mine.start : mine.stop]
        scores = scorer_.scores(asked.rows[mine.start : mine.stop], history)
        cold = np.diff(history.indptr) == 0
        if not np.isfinite(scores).all():
            raise InputError(
                "the engine computed scores that are infinite or not a number; increase its regularisation"
            )
        for met in (history, *(() if asked.heard is None else (asked.heard[mine.start : mine.stop],))):
            row, column = met.nonzero()
            scores[row, column] = -np.inf
        for i, u in enumerate(mine):
            if asked.negatives is None:
                lists.append(np.empty(0, np.int64) if cold[i] else top_items(scores[i], longest))
            else:
                lists.append([rank_among(scores[i], int(asked.relevant[u][0]), asked.negatives[u])])
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


def measure_ranking(
    spark: SparkSession, scorer_: Scorer, asked: PublicTestSet, names: Sequence[str], *, capped: bool
) -> dict[str, tuple[float, float, float]]:
    """Rank the items for each test user, and measure the rankings.

    Args:
        spark: The session.
        scorer_: Scores items for users.
        asked: The test set.
        names: Names of metrics, such as `recall@20`.
        capped: Whether recall@k is divided by at most k, see `core.evaluation.metrics`.

    Returns:
        Name of the metric → `(mean over users, low, high)`, with the ends of the 95 % bootstrap interval.
    """
    rows = spark.createDataFrame(ranks(scorer_, asked, max(parse_metric(name)[1] for name in names)))
    if asked.negatives is None:
        rows = rows.select(
            "user_idx",
            hits(F.col("ranked"), F.col("relevant")).alias("ranks"),
            F.size("relevant").alias("relevant"),
        )
    values = rows.select("user_idx", *all_metrics(names, F.col("ranks"), F.col("relevant"), capped=capped))
    found = combine_sums(resample(values, names).toArrow(), len(names))
    return {
        name: (float(mean), float(low), float(high))
        for name, mean, low, high in zip(names, found.mean, *found.interval(), strict=True)
    }
