"""Tests of how a session is found or built, and of the confs that are set on it."""

import gc
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from trackpools.config.loading import load_config
from trackpools.config.operations import SessionConfig
from trackpools.errors import ConfigError
from trackpools.shell.spark import session
from trackpools.shell.spark.temporary_conf import temporary_confs


def test_an_active_session_is_returned_as_it_is_and_no_conf_is_set_on_it(spark):
    before = dict(spark.conf.getAll)
    odd = SessionConfig(cores=7, memory="9g", quick_start=True, packages=[], conf={})
    assert session.spark_session(odd) is SparkSession.getActiveSession()
    assert dict(spark.conf.getAll) == before
    assert session.is_ours(spark)


@pytest.mark.parametrize(("key", "value"), [("PYSPARK_GATEWAY_PORT", "1"), ("SPARK_REMOTE", "sc://host")])
def test_a_submitted_session_is_taken_without_master_and_conf(key, value, monkeypatch):
    class Builder:
        """A builder that has only getOrCreate, so that calls of master, config or appName fail."""

        @staticmethod
        def getOrCreate():
            return "the submitted session"

    class Sessions:
        builder = Builder()

        @staticmethod
        def getActiveSession():
            return None

    monkeypatch.setenv(key, value)
    monkeypatch.setattr(session, "SparkSession", Sessions)
    assert session.spark_session(load_config().session) == "the submitted session"


def test_a_local_session_is_built_without_an_active_or_submitted_session(monkeypatch):
    class Sessions:
        @staticmethod
        def getActiveSession():
            return None

    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setattr(session, "SparkSession", Sessions)
    monkeypatch.setattr(session, "local_session", lambda config, remote: ("local", config.cores, remote))
    assert session.spark_session(load_config(settings=["session.cores=3"]).session) == ("local", 3, None)
    monkeypatch.setenv("SPARK_REMOTE", "local[2]")  # a Connect server that is not started yet
    assert session.spark_session(load_config(settings=["session.cores=3"]).session) == (
        "local",
        3,
        "local[2]",
    )


def test_the_local_session_is_ours_in_utc_with_delta_ansi_and_retries(spark):
    assert session.is_ours(spark)
    wanted = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.master": "local[2,3]",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.buffer.pageSize": "4m",
    }
    assert {key: spark.conf.get(key) for key in wanted} == wanted
    assert os.environ["PYSPARK_PYTHON"] == sys.executable


def test_a_session_without_our_mark_is_not_ours():
    class Conf:
        @staticmethod
        def get(key, default):
            return default

    class Foreign:
        conf = Conf()

    assert not session.is_ours(Foreign())


def test_a_missing_java_is_reported_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ConfigError, match="install Java 17 or 21"):
        session.local_session(load_config().session)


def test_a_scratch_folder_that_others_may_write_to_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"trackpools-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"trackpools-{os.getuid()}").chmod(0o777)
    with pytest.raises(ConfigError, match=r"does not belong to this account alone.*set TMPDIR"):
        session.local_session(load_config().session, None)


def test_importing_the_session_module_starts_no_jvm():
    code = "import trackpools.shell.spark.session; from pyspark import SparkContext; print(SparkContext._gateway)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        == "None\n"
    )


def test_confs_of_a_call_are_as_they_were_after_it(spark):
    values = {
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.adaptive.forceApply": "true",
    }  # the fixture sets the first key, and nothing sets the second
    with temporary_confs(spark, values):
        assert {key: spark.conf.get(key) for key in values} == values
    assert [spark.conf.get(key, None) for key in values] == ["false", None]


def test_workers_of_a_local_session_start_with_all_modules_imported_and_frozen(spark):
    def told(batches):
        """Report whether the worker has imported these modules, and how many objects are frozen.

        The function needs nothing of trackpools, so only the daemon can have imported its modules.
        """
        there = {
            "numpy",
            "pyarrow",
            "numba",
            "trackpools.core.pools.batch",
            "trackpools.core.pools.blend_kernel",
        } <= set(sys.modules)
        for batch in batches:
            yield pa.RecordBatch.from_pydict(
                {"there": [there] * len(batch), "frozen": [gc.get_freeze_count()] * len(batch)}
            )

    found = spark.range(4, numPartitions=2).mapInArrow(told, "there boolean, frozen long").collect()
    assert len(found) == 4
    assert all(row["there"] and row["frozen"] > 50_000 for row in found)
