"""The jobs under a real spark-submit: a standalone master and worker on loopback, the package shipped as one zip."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from standalone import spark_submit, standalone_cluster
from trackpools.shell import work
from trackpools.shell.command import Options
from trackpools.shell.jars import delta_jars
from trackpools.shell.releases import releases
from trackpools.shell.settings import load_config
from trackpools.shell.store import Store

ROOT = Path(__file__).resolve().parents[2]
OFF = [f"sources.{name}.enabled=false" for name in ("als_neighbours", "cooccurrence", "artist_graph", "tags", "fresh")]
SMALL = [f"--set={key}" for key in (*OFF, "pools.k=20", "sources.als.k=40", "sources.als.k_heard=20", "sources.popular.k=60", "train.rank=8", "train.iterations=3")]
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # these JVMs end before the second compiler pays


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package as docs/running.md ships it: the wheel, named .zip, since executors import from a .zip only."""
    folder = tmp_path_factory.mktemp("package")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel.rename(folder / "trackpools.zip")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """This Python with its packages, but blind to the checkout: only the zip can bring trackpools to it."""
    shim = tmp_path_factory.mktemp("python") / "python"
    packages = sysconfig.get_paths()["purelib"]
    shim.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} -S "$@"\n')
    shim.chmod(0o755)
    blind = subprocess.run([shim, "-c", "import pyspark, trackpools.cli"], capture_output=True, text=True, check=False, cwd=shim.parent)
    assert "No module named 'trackpools" in blind.stderr
    return shim


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def submit(cluster, package, python, tmp_path_factory):
    """Submit a job to the cluster; returns its exit code, its JSON answer and its events."""
    events = tmp_path_factory.mktemp("events")

    def run(job, *arguments):
        confs = {
            "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.executor.memory": "900m",
            "spark.sql.shuffle.partitions": "2", "spark.databricks.delta.snapshotPartitions": "2", "spark.ui.enabled": "false",
            "spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
            "spark.driver.extraJavaOptions": SHORT_LIVED, "spark.executor.extraJavaOptions": SHORT_LIVED,
        }
        submitted = [
            "--master", cluster, "--properties-file", ROOT / "conf" / "spark" / "standalone.conf", "--jars", ",".join(map(str, delta_jars())),
            "--py-files", package, *(f"--conf={key}={value}" for key, value in confs.items()), ROOT / "jobs" / f"{job}.py", *arguments, "--json",
        ]
        done = spark_submit(submitted, python=python)
        # spark-submit joins a job's standard error to its standard output; the answer is the last line
        assert done.stdout.endswith("}\n"), done.stdout[-2000:] + done.stderr[-2000:]
        told = [json.loads(line) for log in events.iterdir() for line in log.read_text().splitlines()]
        shutil.rmtree(events)
        events.mkdir()
        return done.returncode, json.loads(done.stdout.splitlines()[-1]), told

    return run


@pytest.fixture(scope="module")
def root(spark, tmp_path_factory):
    """A small imported world."""
    folder = str(tmp_path_factory.mktemp("root"))
    settings = [f"synthetic.{key}" for key in ("users=60", "tracks=200", "days=20")]
    assert work.import_log(load_config(settings=settings, root=folder), Options(quiet=True), "synthetic", None).more["accepted"] > 1000
    return folder


@pytest.fixture(scope="module")
def released(submit, root):
    return submit("run_all", "--root", root, *SMALL)


@pytest.fixture(scope="module")
def retrained(submit, root, released):
    return submit("train", "--root", root, *SMALL, "--set=train.engine=mllib", "--set=train.blocks=2")


def assert_executors_ran(events):
    (environment,) = (event for event in events if event["Event"] == "SparkListenerEnvironmentUpdate")
    assert environment["Spark Properties"]["spark.master"].startswith("spark://127.0.0.1:")
    ran = [event["Task Info"]["Executor ID"] for event in events if event["Event"] == "SparkListenerTaskEnd"]
    assert len(ran) > 20
    assert set(ran) == {"0"}, "the driver ran tasks"


def test_run_all_publishes_a_release_from_a_standalone_cluster(spark, root, released):
    code, said, events = released
    assert (code, said["ok"], said["error"]) == (0, True, None)
    assert_executors_ran(events)
    (release,) = releases(Store(spark, load_config(root=root).store))
    assert (release.release_id, release.mlflow_run_id) == (said["release_id"], said["mlflow_run_id"])
    assert {table["name"]: table["rows"] for table in said["tables"]}["pools"] == 60


def test_mllib_trains_on_the_executors(retrained):
    code, said, events = retrained
    assert (code, said["ok"], said["error"]) == (0, True, None)
    assert {table["name"] for table in said["tables"]} == {"user_factors", "recording_factors"}
    assert_executors_ran(events)


def test_a_refused_publish_ends_spark_submit_with_the_exit_code_of_the_gate(submit, root, retrained):
    code, said, _ = submit("publish", "--root", root, *SMALL)
    assert (code, said["error"]["code"]) == (3, "contract")
    assert "tables changed after the pools were built" in said["error"]["message"]


def test_a_bad_configuration_ends_spark_submit_with_2(submit):
    code, said, events = submit("ids", "--set=train.rank=0")
    assert (code, said["error"]["code"], events) == (2, "config", [])


def test_the_local_properties_give_a_session_that_a_job_can_work_in(tmp_path):
    properties, job = ROOT / "conf" / "spark" / "local.conf", ROOT / "jobs" / "ids.py"
    jars = ",".join(map(str, delta_jars()))
    done = spark_submit(
        ["--master", "local[2,3]", "--properties-file", properties, "--jars", jars, "--driver-memory", "700m", job, "--root", tmp_path / "root",
         "--set=mlflow.enabled=false", "--json"], SPARK_LOCAL_IP=None,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, said["error"]["code"]) == (2, "input")
    assert "no plays under" in said["error"]["message"]
