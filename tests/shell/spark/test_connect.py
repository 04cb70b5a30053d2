"""Tests of the flow on Spark Connect: the same tables as on a classic session.

The server has no plugin of Delta's, and no conf is set on it.
"""

import json
import subprocess
import sys

import pytest

from conftest import FEWER
from elsewhere import asked_elsewhere, environment
from flows import AS_OF, SMALL, events, hashes
from trackpools.config.loading import load_config
from trackpools.config.operations import SessionConfig
from trackpools.errors import ConfigError
from trackpools.shell.spark import session
from trackpools.shell.spark.jars import delta_jars
from trackpools.shell.training.train import train
from worlds import Blocks

# A foreign server could be set up like this. The confs that are not Delta's are for speed.
SERVER = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.memory": "3g",
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -Xss16m " + FEWER["spark.driver.defaultJavaOptions"],
    "spark.ui.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.buffer.pageSize": "4m",
}
FREE_PORT = {"SPARK_TESTING": "1"}  # `flow_elsewhere.connected` says why


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("connect")


@pytest.fixture(scope="module")
def ask(place, tmp_path_factory):
    """Run the flow in a separate process on its own server; every call uses the same root."""

    def _ask():
        jars = {"spark.jars": ",".join(map(str, delta_jars()))}
        return asked_elsewhere(
            tmp_path_factory.mktemp("ask"), env=environment(), connect=SERVER | jars, root=str(place / "root")
        )

    return _ask


@pytest.fixture(scope="module")
def told(ask):
    return ask()


def test_the_flow_on_a_connect_session_writes_the_tables_of_a_classic_one(told, spark, published):
    here = load_config(settings=["mlflow.enabled=false", *SMALL], root=str(published))
    assert told["imported"] == len(events())
    assert told["hashes"] == hashes(spark, here)
    assert len(told["hashes"]) > 10


@pytest.mark.soak
def test_a_second_import_and_run_on_connect_change_nothing(told, ask):
    again = ask()
    assert [again[name] for name in ("imported", "release", "versions")] == [
        0,
        told["release"],
        told["versions"],
    ]


def test_no_conf_is_set_on_a_connect_session_of_others(told):
    assert told["confs set"] == []


def test_pools_are_shown_and_explained_on_connect(told):
    (pool,) = told["pools"]
    assert (pool["user_id"], len(pool["candidates"])) == ("u001", pool["k"])
    assert told["explained"] == pool["k"]


def test_blocked_trains_the_same_factors_on_connect_to_the_bit(told, spark):
    fit = train(
        Blocks().training(spark),
        load_config(settings=["train.engine=blocked", "train.rank=4", "train.iterations=3"]).train,
    )
    assert told["blocked"] == [
        side.orderBy("idx").toArrow().to_pylist() for side in (fit.users, fit.recordings)
    ]


def test_mllib_is_refused_on_connect_in_one_sentence_before_any_work(told):
    said = "engine mllib needs a classic Spark session, but this one is Spark Connect; use another engine (train.engine=implicit or blocked)"
    assert told["refused"] == ["ConfigError", 2, said]
    assert not told["tables after that"]


@pytest.mark.soak
def test_a_local_connect_server_started_by_trackpools_has_delta(told, place):
    """Run the command line as a user types it, with `SPARK_REMOTE=local[2]` and nothing else."""
    where = ["--root", str(place / "root"), "--set", "mlflow.enabled=false"]

    def command(*words):
        line = [sys.executable, "-m", "trackpools", *words, *where]
        return subprocess.run(
            line,
            env=environment(SPARK_REMOTE="local[2]", **FREE_PORT),
            capture_output=True,
            text=True,
            timeout=300,
            cwd=place,
            check=False,
        )

    shown = command("show", "pools", "--user", "u001", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == told["pools"][0]
    refused = command("run", "--as-of", AS_OF, "--set", "train.engine=mllib", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["message"]) == (2, told["refused"][2])


def test_missing_packages_of_connect_are_reported_with_what_to_install(monkeypatch):
    class Sessions:
        @staticmethod
        def getActiveSession():
            raise ImportError("[PACKAGE_NOT_INSTALLED] grpcio >= 1.48.1 must be installed")

    monkeypatch.setenv("SPARK_REMOTE", "sc://host")
    monkeypatch.setattr(session, "SparkSession", Sessions)
    with pytest.raises(
        ConfigError, match=r"grpcio .* must be installed.*pip install 'trackpools\[connect\]'"
    ):
        session.spark_session(SessionConfig(cores=1, memory="1g", quick_start=True, packages=[], conf={}))
