"""Tests of the flow on s3a:// against an S3 server on this machine, by Hadoop's real client.

The tables are the same as on a local root, and the bucket holds nothing but tables.
"""

import json
import urllib.request
from types import SimpleNamespace

import pytest

from conftest import FEWER
from elsewhere import asked_elsewhere, environment
from flows import SMALL, events, hashes
from trackpools.config.loading import load_config
from trackpools.shell.spark import jars
from trackpools.shell.spark.temporary_conf import second_writer_warning

ROOT = "s3a://music/some/trackpools"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}  # given by the environment, as users do


@pytest.fixture(scope="module")
def endpoint():
    """Yield the address of an S3 server on loopback with the bucket `music`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with urllib.request.urlopen(urllib.request.Request(f"{address}/music", method="PUT")) as made:
        assert made.status == 200
    yield address
    server.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="module")
def ask(place, endpoint, migrated):
    """Return a function that runs the flow on a local session and returns its answer.

    The session gets its jars and its S3 by configuration, and MLflow is tracked as by default.
    """
    packages = load_config("s3a").session.packages
    own = place / "cache" / "trackpools"
    own.mkdir(parents=True)
    jars.package_jars(packages)
    (own / "jars").symlink_to(jars.cache_dir())  # the rest of the cache belongs to this test
    (own / "mlflow.db").write_bytes(migrated.read_bytes())
    confs = {
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }
    fast = {
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
    }
    of_session = [
        "session.memory=3g",
        "session.quick_start=true",
        "session.cores=1",
        f"session.conf={json.dumps(confs | fast | FEWER)}",
    ]
    of_delta_rs = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
    env = environment(XDG_CACHE_HOME=str(place / "cache"), **CREDENTIALS, **of_delta_rs)

    def _ask(folder, *settings):
        return asked_elsewhere(
            folder,
            env=env,
            overlay="s3a",
            settings=["mlflow.enabled=true", *of_session, *settings],
            root=ROOT,
            serve=True,
        )

    return _ask


@pytest.fixture(scope="module")
def told(ask, place):
    return ask(place)


def test_the_flow_on_s3_writes_the_tables_of_a_local_root(told, spark, published):
    here = load_config(settings=["mlflow.enabled=false", *SMALL], root=str(published))
    assert told["imported"] == len(events())
    assert told["hashes"] == hashes(spark, here)


@pytest.mark.soak
def test_a_second_import_and_run_on_s3_change_nothing(told, ask, tmp_path):
    again = ask(tmp_path)
    assert [again[name] for name in ("imported", "release", "versions")] == [
        0,
        told["release"],
        told["versions"],
    ]


@pytest.mark.soak
def test_a_report_goes_to_mlflow_alone(ask, place, tmp_path):
    other = ask(tmp_path, "report.enabled=true", "pools.k=30")
    assert (
        "report: report.html of the MLflow run (a local root keeps a copy beside its tables)"
        in other["lines"]
    )
    assert list((place / "cache" / "trackpools").rglob("report.html"))
    assert {one.name for one in tmp_path.iterdir()} == {"log"}, "a path by mistake"


def test_pools_are_shown_explained_and_made_on_demand_from_s3(told):
    (pool,) = told["pools"]
    assert told["explained"] == len(told["on demand"]) == pool["k"] == len(pool["candidates"])


def test_tables_are_stored_in_the_bucket_and_the_rest_in_the_users_cache(told, place, endpoint):
    with urllib.request.urlopen(f"{endpoint}/music?list-type=2&prefix=some/trackpools/&delimiter=/") as found:
        listed = found.read().decode()
    assert "<Prefix>some/trackpools/tables/</Prefix>" in listed
    assert "<Key>" not in listed
    cache = place / "cache" / "trackpools"
    assert {one.name for one in cache.iterdir()} >= {"jars", "mlflow.db", "mlartifacts"}
    assert {one.name for one in place.iterdir()} == {"cache", "log"}, "a path by mistake"


def test_confs_are_set_on_a_session_of_ours(told):
    """Check that the test of Connect, which expects no conf, would notice one."""
    assert set(told["confs set"]) == {"spark.databricks.delta.commitInfo.userMetadata"}


def test_a_possible_second_writer_is_warned_of_where_no_lock_exists(told):
    assert told["warnings"] == [
        f"nothing stops a second writer at {ROOT}: let only one command write at a time, see docs/object_stores.md"
    ]


@pytest.mark.parametrize(
    ("root", "log_store", "warned"),
    [
        ("s3a://bucket/x", None, True),
        ("s3://bucket/x", None, True),
        ("s3a://bucket/x", "io.delta.storage.S3DynamoDBLogStore", False),
        ("abfss://c@a.dfs.core.windows.net/x", None, False),
        ("/data/s3", None, False),
        (None, None, False),
    ],
)
def test_only_s3_without_a_log_store_for_many_is_unguarded(root, log_store, warned):
    session = SimpleNamespace(
        conf=SimpleNamespace(
            get=lambda key, default: log_store if key.startswith("spark.delta.logStore.s3") else default
        )
    )
    assert bool(second_writer_warning(session, root)) == warned
