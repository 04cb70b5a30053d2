"""Fixtures for a local root whose MLflow database is already migrated."""

import shutil

import pytest

from trackpools.shell.tracking import mlflow_server


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """Return a migrated database to copy, because the first migration takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(tmp_path, migrated, monkeypatch):
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow_server.forget_down()
    (tmp_path / "root").mkdir()
    shutil.copy(migrated, tmp_path / "root" / "mlflow.db")
    yield str(tmp_path / "root")
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    mlflow_server.forget_down()
