"""Tests of the ranking metrics against ir-measures, Spark's own evaluator and counts by hand."""

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, nDCG
from pyspark.ml.evaluation import RankingEvaluator
from pyspark.sql import functions as F

from trackpools.core.evaluation.metrics import all_metrics, hits, metric, parse_metric
from trackpools.errors import ConfigError

THEIRS = {"recall": R, "precision": P, "ndcg": nDCG, "map": AP, "mrr": RR}
CUTS = (1, 3, 10, 50)


@pytest.fixture(scope="module")
def runs():
    """Return (user, ranked, relevant) of random lists of many lengths; some hold nothing relevant."""
    rng = np.random.default_rng(3)
    return [
        (
            u,
            rng.permutation(80)[: rng.integers(0, 60)].tolist(),
            rng.permutation(90)[: rng.integers(1, 40)].tolist(),
        )
        for u in range(200)
    ]


def metric_values(spark, runs, names, **more):
    frame = spark.createDataFrame(runs, "user int, ranked array<int>, relevant array<int>")
    ranks = hits(F.col("ranked"), F.col("relevant"))
    return {
        row["user"]: row
        for row in frame.select("user", *all_metrics(names, ranks, F.size("relevant"), **more)).collect()
    }


def test_every_metric_is_that_of_ir_measures(spark, runs):
    names = [f"{kind}@{k}" for kind in THEIRS for k in CUTS]
    ours = metric_values(spark, runs, names)
    qrels = [ir_measures.Qrel(str(u), str(r), 1) for u, _, relevant in runs for r in relevant]
    run = [
        ir_measures.ScoredDoc(str(u), str(r), -float(i))
        for u, ranked, _ in runs
        for i, r in enumerate(ranked)
    ]
    measures = {THEIRS[kind] @ k: f"{kind}@{k}" for kind in THEIRS for k in CUTS}
    seen = 0
    for one in ir_measures.iter_calc(list(measures), qrels, run):
        assert ours[int(one.query_id)][measures[one.measure]] == pytest.approx(one.value, abs=1e-9), one
        seen += 1
    assert seen >= len(names) * sum(1 for _, ranked, _ in runs if ranked)


@pytest.mark.parametrize("k", CUTS)
def test_means_are_those_of_sparks_ranking_evaluator(spark, runs, k):
    ours = metric_values(
        spark, runs, [f"{kind}@{k}" for kind in ("precision", "recall", "ndcg", "map")], capped=False
    )
    capped = metric_values(spark, runs, [f"map@{k}"], capped=True)
    frame = spark.createDataFrame(
        [([float(r) for r in ranked], [float(r) for r in relevant]) for _, ranked, relevant in runs],
        "prediction array<double>, label array<double>",
    )

    def theirs(name):
        return RankingEvaluator(metricName=name, k=k).evaluate(frame)

    def mean(name, rows=ours):
        return np.mean([row[name] for row in rows.values()])

    assert mean(f"precision@{k}") == pytest.approx(theirs("precisionAtK"), abs=1e-9)
    assert mean(f"recall@{k}") == pytest.approx(theirs("recallAtK"), abs=1e-9)
    assert mean(f"map@{k}", capped) == pytest.approx(theirs("meanAveragePrecisionAtK"), abs=1e-9)
    assert mean(f"ndcg@{k}") == pytest.approx(theirs("ndcgAtK"), abs=1e-9)


def test_hand_counts(spark):
    (row,) = metric_values(
        spark,
        [(0, [5, 1, 9, 2], [1, 2, 3])],
        ["recall@2", "recall@4", "hr@1", "hr@2", "mrr@4", "precision@4", "map@4"],
    ).values()
    assert row["recall@2"] == row["recall@4"] / 2 == pytest.approx(1 / 3)
    assert (row["hr@1"], row["hr@2"], row["mrr@4"], row["precision@4"]) == (0.0, 1.0, 0.5, 0.5)
    assert row["map@4"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    (row,) = metric_values(spark, [(0, [1, 2], [1, 2, 3])], ["recall@2", "map@2"], capped=True).values()
    assert (row["recall@2"], row["map@2"]) == (1.0, 1.0)


def test_no_relevant_items_give_null_and_an_empty_list_finds_nothing(spark):
    rows = metric_values(spark, [(0, [1], []), (1, None, [1])], ["recall@1", "ndcg@5", "mrr@1"])
    assert list(rows[0])[1:] == [None] * 3
    assert list(rows[1])[1:] == [0.0] * 3


@pytest.mark.parametrize(
    "name", ["recall", "recall@", "recall@0", "rmse@10", "recall@1000000", "recall@1.5", "Recall@10"]
)
def test_unknown_metrics_are_named(name):
    with pytest.raises(ConfigError, match="there is no metric"):
        parse_metric(name)
    with pytest.raises(ConfigError):
        metric(name, F.col("ranks"), F.col("relevant"))
