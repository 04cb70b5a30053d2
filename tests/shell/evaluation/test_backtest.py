"""Tests of `trackpools evaluate` on the root's own log.

All engines are measured on one cut, beside the store and without a change to it. The canary engine is
reported when the cut leaks.
"""

import json
import random
import shutil

import pytest

import flows
from trackpools.cli import invoke
from trackpools.config.loading import load_config
from trackpools.core.log import interactions
from trackpools.shell.evaluation.engine_comparison import ALL_ENGINES
from trackpools.shell.store.store import Store

DAYS = ("holdout.days=15", "holdout.short_days=5", "mlflow.enabled=false")


@pytest.fixture(scope="module")
def root(spark, published, tmp_path_factory):
    return shutil.copytree(published, tmp_path_factory.mktemp("log") / "root")


def run_evaluate(capsys, root, *options, settings=flows.SMALL):
    told = [argument for setting in (*settings, *DAYS) for argument in ("--set", setting)]
    capsys.readouterr()
    code = invoke(["evaluate", "--root", str(root), "--json", "--quiet", "--k", "10,40", *told, *options])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.soak
def test_all_engines_share_one_cut(spark, capsys, root):
    before = flows.hashes(spark, load_config(root=str(root)))
    files = {path.relative_to(root) for path in root.rglob("*.parquet")}
    code, answer = run_evaluate(capsys, root, "--canary", "--share", "0.3")
    assert code == 0, answer["error"]
    n = answer["counts"]
    assert n["test_rows"] / (n["train_rows"] + n["test_rows"]) == pytest.approx(0.3, abs=0.02)
    days = max(
        int(one["metric"].split("_")[1][:-1]) for one in answer["pools"] if one["metric"].startswith("again")
    )
    assert 14 <= days <= 22  # of 60 days, with about as many plays on each
    assert set(answer["engines"]) == set(ALL_ENGINES)
    users = {measure["users"] for engine in answer["engines"].values() for measure in engine["metrics"]}
    assert len(users) == 1  # the same users for all engines
    recall = {
        name: {one["metric"]: one for one in engine["metrics"]}["recall@40"]
        for name, engine in answer["engines"].items()
    }
    assert all(one["low"] <= one["value"] <= one["high"] for one in recall.values())
    assert recall["item_knn"]["value"] > recall["popularity"]["value"]
    gain = {one["metric"]: one for one in answer["engines"]["popularity"]["blend_gains"]}["recall@40"]
    assert 0 < gain["p"] <= 1
    assert gain["value"] == pytest.approx(recall["blend"]["value"] - recall["popularity"]["value"])
    assert {"train_rows", "test_rows", "cold_users", "cold_recordings"} <= set(answer["counts"])
    measures = {(one["metric"], one["slice"]): one for one in answer["pools"]}
    assert measures[f"again_{days}d_recall@all", "all"]["value"] > 0
    assert (f"new_{days}d_recall@500", "activity_decile=1") in measures
    assert {"diversity", "gini", "coverage", "users_without_pool"} <= {metric for metric, _ in measures}
    kept = {
        (row["metric"], row["slice"]): row["value"]
        for row in Store(spark, load_config(root=str(root)).store)
        .read("pool_metrics")
        .where("metric NOT LIKE 'cost:%'")
        .collect()
    }
    assert kept == {key: one["value"] for key, one in measures.items()}
    page = next((root / "reports").glob("evaluation-*.html")).read_text(encoding="utf-8")
    for title in (
        "Recall by depth",
        "Accuracy against diversity",
        "Recall by slice: new",
        "Recall by source",
        "gain of the blend",
    ):
        assert title in page
    assert flows.hashes(spark, load_config(root=str(root))) == before
    left = {path.relative_to(root) for path in root.rglob("*.parquet")} - files
    assert {path.parts[:2] for path in left} == {("tables", "pool_metrics")}  # the temporary tables are gone


@pytest.mark.soak
def test_the_canary_engine_reports_a_leaking_cut(spark, capsys, root, monkeypatch):
    real = interactions.is_known_by
    monkeypatch.setattr(
        interactions,
        "is_known_by",
        lambda as_of, known: real(as_of.replace(year=as_of.year + 1), known.replace(year=known.year + 1)),
    )
    code, answer = run_evaluate(capsys, root, "--canary", "--engine", "popularity")
    assert (code, answer["error"]["code"]) == (3, "contract")
    assert "the leakage test failed" in answer["error"]["message"]
    assert any("could not be known yet" in line for line in answer["error"]["problems"])
    assert any("plays_daily holds a day after" in line for line in answer["error"]["problems"])


@pytest.mark.soak
def test_playlists_are_continued(spark, capsys, tmp_path):
    """Check a log of totals without times, with one playlist for each user.

    A random fifth of each playlist is held out.
    """
    config = load_config(settings=[*DAYS, *flows.SMALL], root=str(tmp_path / "root"))
    rng = random.Random(1)
    rows = [
        {"user_id": f"party {p}", "track_id": f"t{p % 3 * 40 + r:03}", "plays": 1}
        for p in range(45)
        for r in rng.sample(range(40), 20)
    ]
    flows.import_events(config, tmp_path, rows)
    code, answer = run_evaluate(
        capsys,
        tmp_path / "root",
        "--engine",
        "popularity,item_knn",
        settings=(*flows.SMALL, "ingest.columns={plays: plays}"),
    )
    assert code == 0, answer["error"]
    assert (
        answer["counts"]["test_rows"],
        answer["counts"]["train_rows"],
        answer["counts"]["cold_users"],
    ) == (45 * 4, 45 * 16, 0)
    recall = {
        name: {one["metric"]: one["value"] for one in engine["metrics"]}["recall@20"]
        for name, engine in answer["engines"].items()
    }
    assert (
        recall["item_knn"] > 0.6 > recall["popularity"]
    )  # 4 are among the 24 recordings of its kind that the playlist lacks
    assert {one["metric"] for one in answer["pools"]} >= {"new_0d_recall@all", "diversity"}
    code, answer = run_evaluate(capsys, tmp_path / "root", "--canary")
    assert code == 2
    assert "have no times" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "svd"), "there is no engine 'svd'"),
        (("--set", "holdout.days=360"), "leaves nothing to learn from"),
        (("--until", "2025-01-01"), "no plays before"),
    ],
)
def test_invalid_options_are_refused(spark, capsys, root, options, message):
    code, answer = run_evaluate(capsys, root, *options)
    assert code == 2
    assert message in answer["error"]["message"]
