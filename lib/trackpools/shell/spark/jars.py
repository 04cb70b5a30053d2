"""Find the two Delta jars, and the jars that a configuration names.

The jars come from the folder `TRACKPOOLS_JARS`, or else from the cache. Missing jars are fetched into the
cache with Maven and, only if that fails, with one Spark start that uses Ivy in a temporary home.

Only delta-spark and delta-storage are needed for path and metastore tables; their other dependencies ship
with Spark.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from trackpools.errors import ConfigError
from trackpools.paths import user_cache
from trackpools.shell.resilience.atomic_file import atomic_file

# file name → pinned SHA-256; a jar of another version, without a pin, only has to be a zip
SHA256 = {
    "delta-spark_4.2_2.13-4.4.0.jar": "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    "delta-storage-4.4.0.jar": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
}
FETCH_TIMEOUT_S = 300


def coordinates() -> list[str]:
    """Return the Maven coordinates of the jars that fit the installed pyspark and delta-spark.

    Raises:
        ConfigError: if either package is not installed.
    """
    try:
        spark, delta = metadata.version("pyspark"), metadata.version("delta-spark")
    except metadata.PackageNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed; type: pip install 'trackpools[local]'") from error
    line = ".".join(spark.split(".")[:2])
    # Since Delta 4.1, the name of the artifact holds the Spark minor version that it was built for.
    artifact = "delta-spark_2.13" if delta.startswith("4.0.") else f"delta-spark_{line}_2.13"
    return [f"io.delta:{artifact}:{delta}", f"io.delta:delta-storage:{delta}"]


def cache_dir() -> Path:
    """Return the folder in the user's cache that keeps fetched jars."""
    return user_cache() / "jars"


def _file_name(coordinate: str) -> str:
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def verified(path: Path, pin: str | None = None) -> bool:
    """Return whether a file is a jar with the pinned SHA-256; without a pin, it has to be a whole zip."""
    if not path.is_file():
        return False
    want = pin or SHA256.get(path.name)
    if want is None:
        return zipfile.is_zipfile(path)
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest() == want


def _run(command: list[str]) -> str:
    """Run a command for at most FETCH_TIMEOUT_S, and return what it printed; its exit code does not matter."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words, and coordinates of a checked form
            command, capture_output=True, text=True, errors="replace", timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} was stopped after {FETCH_TIMEOUT_S} s"
    return done.stdout + done.stderr


POM = """<project><modelVersion>4.0.0</modelVersion><groupId>trackpools</groupId><artifactId>jars</artifactId><version>1</version>
<dependencies>{}</dependencies></project>"""


def _with_maven(wanted: list[str], folder: Path) -> None:
    """Fetch all jars, without their dependencies, in one call: a start of Maven takes a second or two.

    It does nothing if Maven is not installed.
    """
    maven = shutil.which("mvn")
    if maven:
        names = ("groupId", "artifactId", "version")
        each = (
            "".join(f"<{name}>{part}</{name}>" for name, part in zip(names, one.split(":"), strict=True))
            for one in wanted
        )
        pom = folder / "pom.xml"
        pom.write_text(
            POM.format("".join(f"<dependency>{one}</dependency>" for one in each)), encoding="utf-8"
        )
        command = [
            maven,
            "-q",
            "-B",
            "-f",
            str(pom),
            "dependency:copy-dependencies",
            "-DexcludeTransitive=true",
            f"-DoutputDirectory={folder}",
        ]
        _run(command)


IVY = """
import sys
from pyspark.sql import SparkSession
SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.jars.ivy", sys.argv[1]) \\
    .config("spark.jars.packages", sys.argv[2]).config("spark.jars.excludes", sys.argv[3]).getOrCreate().stop()
"""


def _with_ivy(wanted: list[str], folder: Path) -> str:
    """Start Spark once to fetch the jars in a temporary Ivy home, and return what it printed."""
    excludes = "io.delta:delta-kernel-api,org.antlr:antlr4-runtime"
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-c", IVY, home, ",".join(wanted), excludes]
        printed = _run(command)
        for coordinate in wanted:
            for found in Path(home, "jars").glob(f"*{_file_name(coordinate)}"):
                shutil.copy(found, folder / _file_name(coordinate))
    return printed


def _adopt(found: Path, target: Path, pin: str | None) -> None:
    """Put a verified jar into the cache in one step, so that a concurrent run never sees half of it."""
    if verified(found, pin):
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as draft:
            shutil.copy(found, draft)


def delta_jars() -> list[Path]:
    """Return the paths of the Delta jars, which are fetched on first use.

    Raises:
        ConfigError: if pyspark or delta-spark is not installed, a jar is missing from `TRACKPOOLS_JARS`, or a
            jar cannot be fetched; the error lists the jars or the commands to type.
    """
    return _jars(coordinates(), "the Delta jars", {})


def package_jars(packages: Sequence[str]) -> list[Path]:
    """Return the paths of the jars of `session.packages`, which are fetched on first use.

    The dependencies of these packages are not fetched, so list them too.

    Args:
        packages: each is group:artifact:version, or group:artifact:version:SHA-256.

    Raises:
        ConfigError: if a jar is missing from `TRACKPOOLS_JARS`, or cannot be fetched.
    """
    split = [one.split(":") for one in packages]
    return _jars(
        [":".join(one[:3]) for one in split],
        "the jars of session.packages",
        {":".join(one[:3]): one[3] for one in split if len(one) > 3},
    )


def _jars(wanted: list[str], what: str, pins: Mapping[str, str]) -> list[Path]:
    """Return the paths of jars, and fetch the missing ones.

    Args:
        wanted: Maven coordinates.
        what: how error messages name the jars.
        pins: coordinate → SHA-256, in addition to the pins in `SHA256`.

    Raises:
        ConfigError: if a jar is missing from `TRACKPOOLS_JARS`, or cannot be fetched.
    """
    folder = os.environ.get("TRACKPOOLS_JARS")
    where = Path(folder) if folder else cache_dir()
    there = {one: where / _file_name(one) for one in wanted}

    def missing() -> list[str]:
        return [one for one, path in there.items() if not verified(path, pins.get(one))]

    if folder and (wrong := [str(there[one]) for one in missing()]):
        raise ConfigError(
            f"TRACKPOOLS_JARS={folder} lacks these jars, or they have another SHA-256; copy them there, or unset TRACKPOOLS_JARS",
            wrong,
        )
    output = ""
    for fetch in ("mvn", "ivy"):
        lacking = missing()
        if not lacking:
            break
        with tempfile.TemporaryDirectory() as scratch:
            if fetch == "mvn":
                _with_maven(lacking, Path(scratch))
            else:
                output = _with_ivy(lacking, Path(scratch))
            for one in lacking:
                _adopt(Path(scratch) / _file_name(one), there[one], pins.get(one))
    if lacking := missing():
        artifact = "mvn dependency:copy -Dartifact={} -DoutputDirectory=" + str(cache_dir())
        tail = re.sub(r"\s+", " ", output)[-300:]
        commands = [artifact.format(one) for one in lacking]
        raise ConfigError(
            f"{what} could not be fetched; type the commands below, or set TRACKPOOLS_JARS. Ivy said: {tail}",
            commands,
        )
    return list(there.values())
