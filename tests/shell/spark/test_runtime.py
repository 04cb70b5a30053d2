"""Tests of where the process runs, as the variables of Databricks and Spark say."""

import pytest

from trackpools.config.loading import load_config
from trackpools.shell.commands import doctor_checks
from trackpools.shell.spark import runtime
from trackpools.shell.tracking.mlflow_server import tracking_uri

NOWHERE = {"databricks": False, "submitted": False, "connect": False, "address": None}


def runtime_state():
    return {
        "databricks": runtime.on_databricks(),
        "submitted": runtime.is_submitted(),
        "connect": runtime.is_connect(),
        "address": runtime.connect_address(),
    }


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in ("DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE", "PYSPARK_GATEWAY_PORT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "differs", "brings"),
    [
        ({}, {}, None),
        ({"DATABRICKS_RUNTIME_VERSION": "", "SPARK_REMOTE": "", "PYSPARK_GATEWAY_PORT": ""}, {}, None),
        ({"DATABRICKS_RUNTIME_VERSION": "18.0"}, {"databricks": True}, "Databricks runtime"),
        ({"PYSPARK_GATEWAY_PORT": "40123"}, {"submitted": True}, "spark-submit"),
        ({"SPARK_REMOTE": "sc://host"}, {"connect": True, "address": "sc://host"}, "Spark Connect"),
        ({"SPARK_REMOTE": "local[2]"}, {"address": "local[2]"}, None),
        (
            {"DATABRICKS_RUNTIME_VERSION": "18.0", "SPARK_REMOTE": "sc://host"},
            {"databricks": True, "connect": True, "address": "sc://host"},
            "Databricks runtime",
        ),
    ],
)
def test_the_environment_decides_where_the_process_runs_and_whose_spark_is_used(
    monkeypatch, environment, differs, brings
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert runtime_state() == NOWHERE | differs
    assert doctor_checks._managed() == brings
    assert (tracking_uri(load_config().mlflow, "/root") == "databricks") == runtime.on_databricks()
