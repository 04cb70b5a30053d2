"""Tests of `demo --full` on a small world: a first release, a search, a challenger and a verdict.

MLflow on sqlite says the same as the tables.
"""

import mlflow
import pytest

import flows
from trackpools.config.loading import load_config
from trackpools.shell.command import Options
from trackpools.shell.commands.demo import full_demo
from trackpools.shell.releases import releases
from trackpools.shell.store.store import Store

WORLD = (
    "synthetic.users=150",
    "synthetic.tracks=500",
    "synthetic.days=50",
    "synthetic.plays_per_user_day=6",
    "pools.k=60",
    "sources.als.k=80",
    "train.iterations=4",
    "promote.min_users=30",
    "promote.slice_margin=0.9",
    *flows.OFF,
)


@pytest.mark.soak
def test_tune_train_promote_release(spark, tmp_path):
    root = tmp_path / "root"
    answer = full_demo(Options(root=str(root), settings=WORLD, quiet=True), trials=3)
    found = releases.releases(Store(spark, load_config(root=str(root)).store))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("trackpools").experiment_id], max_results=500)
    names = [run.info.run_name for run in runs]
    assert {"run", "tune", "train", "promote"} <= set(names)
    assert sum(name.startswith("trial-") for name in names) == 3
    assert answer.more["tuned"], "two factors and two iterations are easy to beat"
    assert client.get_model_version_by_alias("trackpools", "challenger") is not None
    champion = client.get_model_version_by_alias("trackpools", "champion")
    assert champion.tags["trackpools.model_version"] == found[0].model_version  # the release row is the truth
    assert len(found) == 1 + answer.more["promoted"]
    verdicts = [run.data.tags["trackpools.verdict"] for run in runs if run.info.run_name == "promote"]
    assert verdicts == ["promoted" if answer.more["promoted"] else "refused"]
    rows = {
        (row["metric"], row["slice"])
        for row in Store(spark, load_config(root=str(root)).store).read("pool_metrics").collect()
    }
    assert {("gain:new_recall@100", "all"), ("champion:new_recall@100", "all")} <= rows
