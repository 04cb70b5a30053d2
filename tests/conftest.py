"""One Spark session a test process, a fresh root a test, the shared data where it is present."""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import pytest

os.environ["TZ"] = "UTC"
time.tzset()
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
PASSWORD_ENV = "TRACKPOOLS_TEST_PASSWORD"
os.environ[PASSWORD_ENV] = "secret"  # here, for workers inherit what is there when the first of them starts

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
# the second compiler is worth less than it costs where so much is planned once: a tenth of the time
FEWER = {
    "spark.driver.defaultJavaOptions": "-XX:Tier4InvocationThreshold=20000 -XX:Tier4MinInvocationThreshold=5000 -XX:Tier4CompileThreshold=60000 -XX:Tier4BackEdgeThreshold=200000"
}
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    """Long files first: two processes that take file by file then end together."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def spark():
    from trackpools.shell.session import local_session
    from trackpools.shell.settings import load_config

    session = local_session(
        load_config(
            settings=["session.memory=3g", "session.quick_start=false", f"session.conf={json.dumps(FEWER)}"]
        ).session
    )
    # tests plan much and compute little: interpreted plans of two partitions halve the time
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.sql.adaptive.enabled", "false")
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


@pytest.fixture
def config(tmp_path):
    """Build a configuration: `config("train.rank=8")` is base plus these settings, on this test's own root, without MLflow."""
    from trackpools.shell.settings import load_config

    def build(*settings):
        # a setting may name another root; an argument would win over it
        return load_config(settings=["mlflow.enabled=false", f"store.root={tmp_path / 'root'}", *settings])

    return build


@pytest.fixture
def store(spark, config):
    from trackpools.shell.store import Store

    return Store(spark, config().store)


def shared_data(name: str) -> Path:
    """A folder of the real data, or a skip that says where it was looked for."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"real data not present: {folder}")
    return folder


@pytest.fixture(scope="session")
def published(spark, tmp_path_factory):
    """The folder of a root with a published release of `flows.events()` as of `flows.AS_OF`; made by one test process for all, so copy it before you write."""
    from flows import AS_OF, SMALL, events, import_events, run
    from trackpools.shell.settings import load_config

    of_all = (
        tmp_path_factory.getbasetemp().parent
        if "PYTEST_XDIST_WORKER" in os.environ
        else tmp_path_factory.getbasetemp()
    )
    folder = of_all / "published"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            c = load_config(settings=["mlflow.enabled=false", *SMALL], root=str(folder / "root"))
            import_events(c, folder, events())
            run(c, AS_OF)
            (folder / "made").touch()
    return folder / "root"


@pytest.fixture
def released(published, config, tmp_path):
    """Configuration of this test's own copy of `published`."""
    from flows import SMALL

    return config(*SMALL, f"store.root={shutil.copytree(published, tmp_path / 'released')}")
