"""Tests of the costs of a run: they are stored with its release, and budgets are checked first."""

import json
import time

from flows import SMALL
from trackpools.cli import invoke
from trackpools.shell.releases import releases
from trackpools.shell.spark.context import Usage
from trackpools.shell.store.store import Store
from trackpools.stages import STAGES


def run(config, capsys, *words):
    told = [part for setting in ("mlflow.enabled=false", *SMALL) for part in ("--set", setting)]
    code = invoke([*words, "--root", config.store.root, "--json", *told])
    return code, json.loads(capsys.readouterr().out)


def test_core_seconds_are_those_of_tasks_and_not_of_the_clock(spark):
    time.sleep(2)  # Spark has reported the work of earlier tests by then
    used = Usage(spark)
    time.sleep(3)
    assert used.totals()["core_seconds"] < 0.05, "nothing ran"
    until = time.monotonic() + 60
    spark.range(0, 20_000_000, 1, 2).selectExpr("max(xxhash64(id))").collect()
    while used.totals()["core_seconds"] < 0.1 and time.monotonic() < until:
        time.sleep(0.2)  # Spark reports a moment later
    assert used.totals()["core_seconds"] >= 0.1


def test_costs_are_kept_and_a_budget_below_them_is_refused_before_anything_runs(spark, released, capsys):
    store = Store(spark, released.store)
    kept = store.read("pool_metrics").where("metric LIKE 'cost:%'").collect()
    whole = {row["metric"].removeprefix("cost:"): row for row in kept if row["slice"] == "all"}
    each = {row["metric"].removeprefix("cost:"): row for row in kept if row["slice"] == "per 1000 users"}
    assert set(whole) == {stage.name for stage in STAGES} | {"publish", "plays"}
    assert whole["plays"]["value"] == store.read("plays").count()
    assert set(each) == set(whole) - {"plays"}
    for name, row in each.items():
        assert 0 < row["value"] == whole[name]["value"] * 1000 / 40
    versions = {name: store.version(name) for name in ("plays_daily", "pools", "user_factors")}
    before = releases.releases(store)
    for words in (("run",), ("run", "--from", "2025-03-20", "--to", "2025-03-22")):
        code, said = run(released, capsys, *words, "--budget", "0.000001")
        assert code == 2
        assert "nothing was run" in said["error"]["message"]
        assert {problem.split(":")[0] for problem in said["error"]["problems"]} == {
            stage.name for stage in STAGES
        }
    code, said = run(released, capsys, "refresh", "--budget", "100")
    assert code == 2
    assert "the cost of fold, refresh was never recorded here" in said["error"]["message"]
    store = Store(spark, released.store)
    assert {name: store.version(name) for name in versions} == versions
    assert releases.releases(store) == before
