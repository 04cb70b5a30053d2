"""One Spark session a run, a fresh root a test, the shared data where it is present."""

import os
import time
from pathlib import Path

import pytest

os.environ["TZ"] = "UTC"
time.tzset()
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def spark():
    from trackpools.shell.session import local_session
    from trackpools.shell.settings import load_config

    session = local_session(load_config(settings=["session.memory=2g"]).session)
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
        return load_config(settings=["mlflow.enabled=false", *settings], root=str(tmp_path / "root"))

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
