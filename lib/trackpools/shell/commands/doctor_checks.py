"""Check whether this machine can run trackpools, and say what to type for each failed check.

The checks start no Spark session and download nothing.
"""

import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.shell.spark import jars, runtime
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.tracking.mlflow_server import reachable, tracking_uri, without_secrets

JAVA = (17, 21)  # major versions that Spark 4 supports
PYTHON = ((3, 11), (3, 14))  # the first supported version, and the first unsupported one after it
# the packages whose version matters; pyproject.toml says which versions are supported
PACKAGES = ("pyspark", "delta-spark", "pandas", "mlflow", "pyarrow", "numpy", "implicit", "numba")
LOCAL_ONLY = {"pyspark", "delta-spark"}
# major and minor version of delta-spark → the versions of pyspark that it is built for
DELTA_NEEDS = {
    "4.0": SpecifierSet(">=4.0.1,<4.1"),
    "4.1": SpecifierSet(">=4.0.1,<4.2"),
    "4.2": SpecifierSet(">=4.0.1,<4.2"),
    "4.3": SpecifierSet(">=4.0.1,<4.2"),
    "4.4": SpecifierSet(">=4.0.1,<4.2.1"),
}
MIN_FREE_GB = 5  # in units of `GB`
GB = 1 << 30  # bytes


@dataclass(frozen=True)
class DoctorCheck:
    """The result of one check.

    Attributes:
        name: What was checked.
        ok: Whether the check passed.
        found: What was found.
        fix: What to type if the check failed.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def _managed() -> str | None:
    """Return the name of the platform that provides Spark, Java and Delta; None without a platform."""
    places = (
        (runtime.on_databricks, "Databricks runtime"),
        (runtime.is_connect, "Spark Connect"),
        (runtime.is_submitted, "spark-submit"),
    )
    return next((name for is_here, name in places if is_here()), None)


def java_version(output: str) -> str:
    """Return the version in the output of `java -version`; the result for 1.8.0 is 8.0.

    If the output contains no version, the result is an empty text.
    """
    found = re.search(r'version "([\d.]+)', output)
    return found[1].removeprefix("1.") if found else ""


def _java(_: Config) -> Iterator[DoctorCheck]:
    fix = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME to Java 17 or 21"
    if managed := _managed():
        yield DoctorCheck("Java", True, f"provided by the {managed}")
        return
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None:
        yield DoctorCheck("Java", False, "no java on PATH, and JAVA_HOME is not set", fix)
        return
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - the user's own java
        version = java_version(done.stderr + done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield DoctorCheck("Java", False, f"{java} does not run ({type(error).__name__})", fix)
        return
    yield DoctorCheck(
        "Java", version.split(".")[0] in map(str, JAVA), f"{version or 'unknown version'} ({java})", fix
    )


def _python(_: Config) -> Iterator[DoctorCheck]:
    yield DoctorCheck(
        "Python",
        PYTHON[0] <= sys.version_info[:2] < PYTHON[1],
        f"{sys.version.split()[0]} ({sys.executable})",
        "create a virtual environment with Python 3.11, 3.12 or 3.13",
    )


def installed(name: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@cache
def supported() -> dict[str, SpecifierSet]:
    """Read from the metadata of trackpools which versions of each package it supports.

    Returns:
        Package → its versions; empty if trackpools runs from a zip, which has no metadata.
    """
    try:
        lines = metadata.requires("trackpools") or ()
    except metadata.PackageNotFoundError:
        return {}
    return {one.name: one.specifier for one in map(Requirement, lines) if one.name in PACKAGES}


def package(name: str, version: str | None, managed: str | None) -> DoctorCheck:
    """Check whether the version of a package is one that trackpools supports.

    Args:
        name: One of `PACKAGES`.
        version: The installed version; None if the package is not installed.
        managed: Name of the platform that provides Spark, or None. With a platform, pyspark and delta-spark
            always pass.
    """
    versions = supported().get(name)
    fix = f"pip install '{name}{versions or ''}'"
    if managed and name in LOCAL_ONLY:
        return DoctorCheck(name, True, f"{version or 'not installed'}; provided by the {managed}")
    if version is None:
        return DoctorCheck(
            name, False, "not installed", "pip install 'trackpools[local]'" if name in LOCAL_ONLY else fix
        )
    if versions is None:
        return DoctorCheck(name, True, f"{version}; not checked, because trackpools runs from a zip")
    return DoctorCheck(name, is_in(version, versions), version, fix)


def is_in(version: str, versions: SpecifierSet) -> bool:
    """Return whether a version is one of `versions`; one that is no valid version is not."""
    try:
        return versions.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def fit(spark: str, delta: str) -> DoctorCheck:
    """Check whether delta-spark of version `delta` is built for pyspark of version `spark`."""
    versions = DELTA_NEEDS.get(".".join(delta.split(".")[:2]))
    ok = versions is not None and is_in(spark, versions)
    return DoctorCheck(
        "pyspark and delta-spark", ok, f"{spark} and {delta}", "pip install pyspark==4.2.0 delta-spark==4.4.0"
    )


def _packages(_: Config) -> Iterator[DoctorCheck]:
    managed = _managed()
    found = {name: installed(name) for name in PACKAGES}
    yield from (package(name, version, managed) for name, version in found.items())
    spark, delta = found["pyspark"], found["delta-spark"]
    if not managed and spark and delta:
        yield fit(spark, delta)


def _delta_jars(_: Config) -> Iterator[DoctorCheck]:
    if managed := _managed():
        yield DoctorCheck("Delta jars", True, f"provided by the {managed}")
        return
    folder = os.environ.get("TRACKPOOLS_JARS")
    where = Path(folder) if folder else jars.cache_dir()
    try:
        wanted = ["{1}-{2}.jar".format(*one.split(":")) for one in jars.coordinates()]
    except ConfigError as error:
        yield DoctorCheck("Delta jars", False, error.message, "pip install 'trackpools[local]'")
        return
    bad = [name for name in wanted if (where / name).exists() and not jars.verified(where / name)]
    missing = [name for name in wanted if not (where / name).exists()]
    if bad:
        yield DoctorCheck(
            "Delta jars",
            False,
            f"wrong SHA-256 in {where}: {', '.join(bad)}",
            "rm " + " ".join(str(where / name) for name in bad),
        )
    elif missing and folder:
        yield DoctorCheck(
            "Delta jars",
            False,
            f"TRACKPOOLS_JARS={folder} lacks {', '.join(missing)}",
            f"cp {' '.join(missing)} {folder}/ (or unset TRACKPOOLS_JARS)",
        )
    elif missing:
        yield DoctorCheck(
            "Delta jars",
            True,
            f"not in {where} yet; the first run downloads them, which needs the network once",
        )
    else:
        yield DoctorCheck("Delta jars", True, f"{len(wanted)} verified in {where}")


def _arrow(_: Config) -> Iterator[DoctorCheck]:
    fix = f"pip install --force-reinstall 'pyarrow{supported().get('pyarrow', '')}'"
    try:
        import pyarrow as pa

        ok = pa.repeat(1, 3).nbytes == 24  # not pa.array(), which would import pandas, which takes seconds
        yield DoctorCheck("Arrow", ok, f"pyarrow {pa.__version__} works", fix)
    except ImportError as error:
        yield DoctorCheck("Arrow", False, f"pyarrow cannot be imported: {error}", fix)


def _mlflow(config: Config) -> Iterator[DoctorCheck]:
    if not config.mlflow.enabled:
        yield DoctorCheck("MLflow server", True, "switched off (mlflow.enabled=false)")
        return
    uri = without_secrets(tracking_uri(config.mlflow, config.store.root))
    reason = reachable(config.mlflow, config.store.root)
    fix = "start the server, or give --set mlflow.tracking_uri=URI; commands also run without it, and send what they track later"
    yield DoctorCheck("MLflow server", reason is None, uri if reason is None else f"{uri}: {reason}", fix)


def _blas(_: Config) -> Iterator[DoctorCheck]:
    import numpy as np  # noqa: F401 - loads the BLAS that `threadpool_info` then finds
    from threadpoolctl import threadpool_info

    found = [
        f"{one.get('internal_api')} {one.get('version') or ''}".strip()
        for one in threadpool_info()
        if one.get("user_api") == "blas"
    ]
    yield DoctorCheck(
        "BLAS of numpy",
        bool(found),
        ", ".join(sorted(set(found))) or "none found",
        "pip install --force-reinstall numpy",
    )
    native = ctypes.util.find_library("openblas") or ctypes.util.find_library("blas")
    plain = "none found; engine mllib computes in plain Java, which is slower but correct"
    yield DoctorCheck(
        "BLAS of the JVM",
        True,
        native or plain,
        "" if native else "apt-get install libopenblas-dev makes it faster",
    )


def _existing(folder: Path) -> Path:
    """Return the folder if it exists, else the nearest parent that exists."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())


def _root(config: Config) -> Iterator[DoctorCheck]:
    folder = local_path(config.store.root)
    if folder is None:
        where = config.store.root or (
            f"catalog {config.store.catalog}.{config.store.schema_}" if config.store.catalog else ""
        )
        yield DoctorCheck(
            "root",
            bool(where),
            f"{where} (checked when a command writes to it)" if where else "not given",
            "give --root FOLDER",
        )
        return
    there = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            ok = there.is_dir()
    except OSError:
        ok = False
    yield DoctorCheck(
        "root",
        ok,
        f"{folder} {'can' if ok else 'cannot'} be written to",
        f"choose another --root, or: chmod u+rwx {there}",
    )
    free = shutil.disk_usage(there).free / GB
    yield DoctorCheck(
        "free disk",
        free >= MIN_FREE_GB,
        f"{free:.1f} GB at {there}",
        f"free at least {MIN_FREE_GB} GB there, or choose another --root",
    )


def _memory_gb() -> float:
    """Return the memory of the machine in GiB, or the memory limit of the container if this is smaller."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if limit.is_file() and (given := limit.read_text().strip()).isdigit():
            total = min(total, int(given))
    return total / GB


def _memory(config: Config) -> Iterator[DoctorCheck]:
    heap = int(config.session.memory[:-1]) / (1 if config.session.memory.endswith("g") else 1024)
    have = _memory_gb()
    # Python, Arrow and the training engines need about 1 GiB outside the heap of the JVM
    ok = bool(_managed()) or have >= heap + 1
    yield DoctorCheck(
        "memory",
        ok,
        f"{have:.1f} GB; session.memory={config.session.memory}",
        f"--set session.memory={max(int(have / 2), 1)}g",
    )


CHECKS: tuple[Callable[[Config], Iterator[DoctorCheck]], ...] = (
    _java,
    _python,
    _packages,
    _delta_jars,
    _arrow,
    _mlflow,
    _blas,
    _root,
    _memory,
)


def checks(config: Config) -> list[DoctorCheck]:
    """Run every check, in the order in which a run needs the checked parts; this takes a second or two."""
    return [check for look in CHECKS for check in look(config)]
