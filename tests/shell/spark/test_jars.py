"""Tests of how the Delta jars, and those that a configuration names, are found.

They come from a folder, the cache or the network. A jar whose SHA-256 differs from its pin is never used.
"""

import os
import shutil
import zipfile

import pytest

from trackpools.errors import ConfigError
from trackpools.shell.spark import jars

with_maven = jars._with_maven


@pytest.fixture
def real(spark):
    """Return {name: path} of the two Delta jars that the Spark session of the tests uses."""
    return {path.name: path for path in jars.delta_jars()}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Make the cache empty and every fetch fail; return the list to which each attempt to fetch is added."""
    tried = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TRACKPOOLS_JARS", raising=False)
    monkeypatch.setattr(jars, "_with_maven", lambda wanted, folder: tried.append("mvn"))
    monkeypatch.setattr(
        jars, "_with_ivy", lambda wanted, folder: tried.append("ivy") or "module not found\n  unresolved"
    )
    return tried


def test_the_locked_versions_have_pinned_hashes():
    assert {jars._file_name(coordinate) for coordinate in jars.coordinates()} == set(jars.SHA256)


def test_a_folder_of_the_right_jars_is_used_as_it_is(real, offline, monkeypatch, tmp_path):
    for name, path in real.items():
        (tmp_path / name).symlink_to(path)
    monkeypatch.setenv("TRACKPOOLS_JARS", str(tmp_path))
    assert jars.delta_jars() == [tmp_path / name for name in real]
    assert offline == []
    assert not jars.cache_dir().exists()


def test_wrong_and_missing_jars_of_a_folder_are_refused_by_name(real, offline, monkeypatch, tmp_path):
    spark_jar, storage_jar = real
    (tmp_path / spark_jar).write_bytes(real[spark_jar].read_bytes()[:-1] + b"!")
    monkeypatch.setenv("TRACKPOOLS_JARS", str(tmp_path))
    with pytest.raises(ConfigError, match="SHA-256; copy them there, or unset TRACKPOOLS_JARS") as refusal:
        jars.delta_jars()
    assert refusal.value.problems == [str(tmp_path / spark_jar), str(tmp_path / storage_jar)]
    assert refusal.value.exit_code == 2


def test_the_cache_is_used_without_a_fetch(real, offline):
    jars.cache_dir().mkdir(parents=True)
    for name, path in real.items():
        (jars.cache_dir() / name).symlink_to(path)
    assert jars.delta_jars() == [jars.cache_dir() / name for name in real]
    assert offline == []


def test_a_broken_cache_is_fetched_again_and_the_new_jars_are_checked(real, offline, monkeypatch):
    def bring(wanted, folder):
        offline.append("mvn")
        for coordinate in wanted:
            shutil.copy(real[jars._file_name(coordinate)], folder)

    jars.cache_dir().mkdir(parents=True)
    for name in real:
        (jars.cache_dir() / name).write_bytes(b"PK half a jar")
    monkeypatch.setattr(jars, "_with_maven", bring)
    assert all(jars.verified(path) for path in jars.delta_jars())
    assert offline == ["mvn"]
    assert sorted(path.name for path in jars.cache_dir().iterdir()) == sorted(real)


def test_a_jar_with_another_content_from_the_net_never_enters_the_cache(offline, monkeypatch):
    monkeypatch.setattr(
        jars,
        "_with_maven",
        lambda wanted, folder: [(folder / jars._file_name(one)).write_bytes(b"PK evil") for one in wanted],
    )
    with pytest.raises(ConfigError, match="could not be fetched"):
        jars.delta_jars()
    assert not jars.cache_dir().exists()


def test_without_access_to_the_jars_the_error_has_the_commands_to_type(offline):
    with pytest.raises(ConfigError, match="Ivy said: module not found unresolved") as refusal:
        jars.delta_jars()
    assert offline == ["mvn", "ivy"]
    assert [
        f"-Dartifact={coordinate}" in problem
        for coordinate, problem in zip(jars.coordinates(), refusal.value.problems, strict=True)
    ] == [True, True]


def test_a_jar_without_a_pin_must_be_whole(tmp_path):
    whole, half = tmp_path / "other-1.jar", tmp_path / "half-1.jar"
    with zipfile.ZipFile(whole, "w") as jar:
        jar.writestr("A.class", b"a" * 1000)
    half.write_bytes(whole.read_bytes()[:500])
    assert (jars.verified(whole), jars.verified(half)) == (True, False)


def test_a_maven_that_hangs_is_stopped_and_ivy_is_tried(offline, monkeypatch, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mvn").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    (tools / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(jars, "_with_maven", with_maven)
    monkeypatch.setattr(jars, "FETCH_TIMEOUT_S", 0.2)
    with pytest.raises(ConfigError, match="Ivy said"):
        jars.delta_jars()
    assert offline == ["ivy"]


def test_the_jars_of_a_configuration_are_checked_like_those_of_delta(real, offline, monkeypatch):
    (name, path), *_ = real.items()
    jar, pin = "io.delta:" + ":".join(name.removesuffix(".jar").rsplit("-", 1)), jars.SHA256[name]
    monkeypatch.setattr(
        jars,
        "_with_maven",
        lambda wanted, folder: [shutil.copy(path, folder / jars._file_name(one)) for one in wanted],
    )
    assert jars.package_jars([f"{jar}:{pin}"]) == [jars.cache_dir() / name]
    assert jars.package_jars([]) == []
    with pytest.raises(ConfigError, match=r"session.packages could not be fetched"):
        jars.package_jars([f"com.example:other:1:{'0' * 64}"])
    assert [one.name for one in jars.cache_dir().iterdir()] == [name]


def test_a_missing_pyspark_is_reported_with_what_to_install(monkeypatch):
    def absent(name):
        raise jars.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(jars.metadata, "version", absent)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[local\]'"):
        jars.coordinates()


@pytest.mark.parametrize(
    ("spark", "delta", "artifact"),
    [
        ("4.0.1", "4.0.1", "io.delta:delta-spark_2.13:4.0.1"),
        ("4.1.0", "4.1.0", "io.delta:delta-spark_4.1_2.13:4.1.0"),
        ("4.2.0", "4.4.0", "io.delta:delta-spark_4.2_2.13:4.4.0"),
    ],
)
def test_the_artifact_is_the_one_built_for_the_installed_spark(spark, delta, artifact, monkeypatch):
    monkeypatch.setattr(jars.metadata, "version", {"pyspark": spark, "delta-spark": delta}.__getitem__)
    assert jars.coordinates()[0] == artifact


@pytest.mark.soak  # takes about 20 s and needs the network
def test_the_jars_are_fetched_through_ivy_where_there_is_no_mvn(monkeypatch, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("java", "bash", "sh", "dirname", "ls", "cat", "id", "uname", "tr", "ps"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TRACKPOOLS_JARS", raising=False)
    assert shutil.which("mvn") is None
    assert all(jars.verified(path) for path in jars.delta_jars())
