"""Tests of `trackpools doctor`: each line is ok or says what to type, without Spark or downloads."""

import shutil
import time
from importlib.metadata import PackageNotFoundError

import pytest

from trackpools.shell.commands import doctor_checks
from trackpools.shell.commands.doctor_checks import (
    checks,
    fit,
    java_version,
    package,
)
from trackpools.shell.spark import jars


def raise_not_found(_):
    raise PackageNotFoundError


def by_name(found):
    return {check.name: check for check in found}


def test_on_this_machine_everything_a_local_run_needs_is_ok(config, monkeypatch):
    for name in ("DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE", "PYSPARK_GATEWAY_PORT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    found = checks(config("mlflow.enabled=true"))
    seconds = time.monotonic() - began
    print(f"\ndoctor: {seconds:.2f} s")
    assert seconds < 3
    assert [check for check in found if not check.ok] == []
    names = {
        "Java",
        "Python",
        "pyspark",
        "delta-spark",
        "pyspark and delta-spark",
        "pandas",
        "mlflow",
        "pyarrow",
        "implicit",
        "numba",
        "numpy",
    }
    assert names | {
        "Delta jars",
        "Arrow",
        "MLflow server",
        "BLAS of numpy",
        "BLAS of the JVM",
        "root",
        "free disk",
        "memory",
    } == set(by_name(found))


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15"),
        ('java version "1.8.0_402"', "8.0"),
        ('openjdk version "21" 2023-09-19', "21"),
        ("command not found", ""),
    ],
)
def test_java_versions_are_read_as_java_prints_them(output, version):
    assert java_version(output) == version


def test_a_missing_java_says_what_to_install(config, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (check,) = doctor_checks._java(config())
    assert not check.ok
    assert "apt-get install openjdk-17" in check.fix


@pytest.mark.parametrize(
    ("name", "version", "ok"),
    [
        ("pyspark", "4.2.0", True),
        ("pyspark", "4.2.1", False),
        ("pyspark", "4.3.0", False),
        ("pyspark", "3.5.1", False),
        ("pyspark", None, False),
        ("delta-spark", "4.4.0", True),
        ("delta-spark", "4.4.1", False),
        ("pandas", "2.3.3", True),
        ("pandas", "3.0.0", False),
        ("mlflow", "3.17.2", True),
        ("mlflow", "2.9.0", False),
        ("pyarrow", "25.0.1", True),
        ("pyarrow", "26.0.0", False),
        ("implicit", "0.7.2", False),
        ("numpy", "3.0.0", False),
        ("numpy", "no version", False),
    ],
)
def test_versions_that_do_not_fit_are_reported_with_the_command_that_fixes_them(name, version, ok):
    check = package(name, version, None)
    assert check.ok is ok
    assert "pip install" in check.fix


def test_delta_must_be_built_for_the_spark_that_is_there():
    assert fit("4.2.0", "4.4.0").ok
    assert not fit("4.2.0", "4.0.1").ok
    assert not fit("4.2.0", "9.9.0").ok
    assert fit("4.1.0.dev1", "4.4.0").ok


def test_without_metadata_as_in_a_zip_doctor_says_that_versions_are_not_checked(monkeypatch):
    doctor_checks.supported.cache_clear()
    monkeypatch.setattr(doctor_checks.metadata, "requires", raise_not_found)
    try:
        check = package("pandas", "1.0.0", None)
        assert (check.ok, "not checked" in check.found) == (True, True)
    finally:
        doctor_checks.supported.cache_clear()


def test_a_managed_runtime_brings_its_own_spark(config, monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    assert package("pyspark", None, "Databricks runtime").ok
    found = [check.found for check in (*doctor_checks._java(config()), *doctor_checks._delta_jars(config()))]
    assert found == ["provided by the Databricks runtime", "provided by the Databricks runtime"]


def test_jars_are_checked_but_never_fetched(config, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRACKPOOLS_JARS", raising=False)
    monkeypatch.setattr(jars, "delta_jars", lambda: pytest.fail("fetched"))
    (check,) = doctor_checks._delta_jars(config())
    assert (check.ok, "first run downloads" in check.found) == (True, True)
    name = next(iter(jars.SHA256))
    jars.cache_dir().mkdir(parents=True)
    (jars.cache_dir() / name).write_bytes(b"PK not the jar")
    (check,) = doctor_checks._delta_jars(config())
    assert (check.ok, check.fix) == (False, f"rm {jars.cache_dir() / name}")
    monkeypatch.setenv("TRACKPOOLS_JARS", str(tmp_path / "elsewhere"))
    (check,) = doctor_checks._delta_jars(config())
    assert not check.ok
    assert "lacks" in check.found


def test_a_read_only_root_and_a_heap_that_does_not_fit_are_reported(config, tmp_path, monkeypatch):
    from trackpools.config.loading import load_config

    (tmp_path / "file").write_text("x")
    assert not next(iter(doctor_checks._root(load_config(root=str(tmp_path / "file"))))).ok
    assert [check.fix for check in doctor_checks._root(load_config())] == ["give --root FOLDER"]
    assert next(iter(doctor_checks._root(load_config(root="s3a://bucket/x")))).ok
    monkeypatch.setattr(doctor_checks, "_memory_gb", lambda: 3.9)
    (check,) = doctor_checks._memory(config("session.memory=4g"))
    assert not check.ok
    assert "--set session.memory=" in check.fix


def test_an_unreachable_mlflow_server_is_reported_without_its_password(config):
    (check,) = doctor_checks._mlflow(
        config("mlflow.enabled=true", "mlflow.tracking_uri=http://me:hunter2@127.0.0.1:9")
    )
    assert not check.ok
    assert "hunter2" not in check.found
    assert "127.0.0.1" in check.found
