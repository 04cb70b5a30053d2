"""Fixtures of all tests: a Spark session for each process, a root for each test, and shared data."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

os.environ["TZ"] = "UTC"
time.tzset()
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
PASSWORD_ENV = "TRACKPOOLS_TEST_PASSWORD"
os.environ[PASSWORD_ENV] = "secret"  # here, because workers inherit it when the first one starts

LONG = (
    "test_flow.py",
    "test_spark_submit.py",
    "test_kill.py",
    "test_tune.py",
    "test_full_demo.py",
    "test_backtest.py",
    "test_promote.py",
    "test_cli.py",
    "test_notebooks.py",
)
# Most plans run once, so the second compiler costs more than it saves: a tenth of the time.
FEWER = {
    "spark.driver.defaultJavaOptions": "-XX:Tier4InvocationThreshold=20000 -XX:Tier4MinInvocationThreshold=5000 -XX:Tier4CompileThreshold=60000 -XX:Tier4BackEdgeThreshold=200000"
}
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser):
    parser.addoption(
        "--record-soak", action="store_true", help="record soak tests that pass in tests/soak.json"
    )


def pytest_configure(config):
    if config.getoption("--record-soak") and not hasattr(config, "workerinput"):
        from soak_ledger import SoakRecorder

        config.pluginmanager.register(SoakRecorder.of_this_commit())


def pytest_collection_modifyitems(items):
    """Sort long files first, so that two processes that take file by file end together."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def spark():
    from trackpools.config.loading import load_config
    from trackpools.shell.spark.session import local_session

    session = local_session(
        load_config(
            settings=["session.memory=3g", "session.quick_start=false", f"session.conf={json.dumps(FEWER)}"]
        ).session
    )
    # Tests plan much and compute little, so interpreted plans with two partitions halve the time.
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.sql.adaptive.enabled", "false")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


@pytest.fixture
def config(tmp_path):
    """Return a function that builds a configuration: `config("train.rank=8")`.

    It is base plus these settings, on this test's own root and without MLflow.
    """
    from trackpools.config.loading import load_config

    def build(*settings):
        # The root is given as a setting, so that a later setting may name another root.
        return load_config(settings=["mlflow.enabled=false", f"store.root={tmp_path / 'root'}", *settings])

    return build


@pytest.fixture
def store(spark, config):
    from trackpools.shell.store.store import Store

    return Store(spark, config().store)


def shared_data(name: str) -> Path:
    """Return a folder of the real data, or skip the test and name the folder."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real data not present: {folder}")
    return folder


@pytest.fixture(scope="session")
def published(spark, tmp_path_factory):
    """Return the root of a published release of `flows.events()` as of `flows.AS_OF`.

    One test process builds it for all, so copy it before you write.
    """
    from flows import AS_OF, SMALL, events, import_events, run
    from trackpools.config.loading import load_config

    of_all = (
        tmp_path_factory.getbasetemp().parent
        if "PYTEST_XDIST_WORKER" in os.environ
        else tmp_path_factory.getbasetemp()
    )
    folder = of_all / "published"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "made").exists():
            c = load_config(settings=["mlflow.enabled=false", *SMALL], root=str(folder / "root"))
            import_events(c, folder, events())
            run(c, AS_OF)
            (folder / "made").touch()
    return folder / "root"


@pytest.fixture
def released(published, config, tmp_path):
    """Return the configuration of this test's own copy of `published`."""
    from flows import SMALL

    return config(*SMALL, f"store.root={shutil.copytree(published, tmp_path / 'released')}")
