"""What this machine has for a run: each line ok, or what to type. Starts no Spark and fetches nothing."""

import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.table import Table
from rich.text import Text

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.shell import jars
from trackpools.shell.lock import local_path
from trackpools.shell.mlflow_client import reachable, tracking_uri, without_secrets

Version = tuple[int, ...]
JAVA = (17, 21)
PYTHON: tuple[Version, Version] = ((3, 11), (3, 14))
# (first that fits, first that no longer does), as in pyproject.toml
PACKAGES: dict[str, tuple[Version, Version]] = {
    "pyspark": ((4, 0, 1), (4, 2, 1)),
    "delta-spark": ((4, 0, 1), (4, 4, 1)),
    "pandas": ((2, 2), (3,)),
    "mlflow": ((3, 8), (3, 18)),
    "pyarrow": ((18,), (26,)),
    "numpy": ((1, 26), (3,)),
    "implicit": ((0, 7, 3), (1,)),
    "numba": ((0, 60), (1,)),
}
LOCAL_ONLY = {"pyspark", "delta-spark"}
# delta-spark's line → the pyspark it is built for
DELTA_NEEDS: dict[Version, tuple[Version, Version]] = {
    (4, 0): ((4, 0, 1), (4, 1)),
    (4, 1): ((4, 0, 1), (4, 2)),
    (4, 2): ((4, 0, 1), (4, 2)),
    (4, 3): ((4, 0, 1), (4, 2)),
    (4, 4): ((4, 0, 1), (4, 2, 1)),
}
MIN_FREE_GB = 5
GB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it will do, what was found, and what to type if it will not."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def parse(version: str) -> Version:
    """Leading numbers of a version: 4.2.0.dev1 is (4, 2, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def text(version: Version) -> str:
    return ".".join(map(str, version))


def _managed() -> str | None:
    """Who brings Spark, Java and Delta, where it is not us."""
    for variable, name in (
        ("DATABRICKS_RUNTIME_VERSION", "Databricks runtime"),
        ("SPARK_REMOTE", "Spark Connect"),
        ("PYSPARK_GATEWAY_PORT", "spark-submit"),
    ):
        if os.environ.get(variable) and not (
            variable == "SPARK_REMOTE" and os.environ[variable].startswith("local")
        ):
            return name
    return None


def java_version(output: str) -> Version:
    """Version that `java -version` printed; 1.8.0 is (8, 0)."""
    found = re.search(r'version "([^"]+)"', output)
    version = parse(found.group(1)) if found else ()
    return version[1:] if version[:1] == (1,) else version


def _java(_: Config) -> Iterator[Check]:
    fix = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME to a Java 17 or 21"
    if managed := _managed():
        yield Check("Java", True, f"that of the {managed}")
        return
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None:
        yield Check("Java", False, "none on PATH and JAVA_HOME is not set", fix)
        return
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - the user's own java
        version = java_version(done.stderr + done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Check("Java", False, f"{java} does not run ({type(error).__name__})", fix)
        return
    yield Check(
        "Java", version[:1] in {(one,) for one in JAVA}, f"{text(version) or 'unknown version'} ({java})", fix
    )


def _python(_: Config) -> Iterator[Check]:
    low, high = PYTHON
    ok = low <= sys.version_info[:2] < high
    yield Check(
        "Python",
        ok,
        f"{sys.version.split()[0]} ({sys.executable})",
        "make a virtual environment with Python 3.11, 3.12 or 3.13",
    )


def installed(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package(name: str, version: str | None, managed: str | None) -> Check:
    """Whether a package's version lies in our range."""
    low, high = PACKAGES[name]
    fix = f"pip install '{name}>={text(low)},<{text(high)}'"
    if managed and name in LOCAL_ONLY:
        return Check(name, True, f"{version or 'not installed'}; brought by the {managed}")
    if version is None:
        return Check(
            name, False, "not installed", "pip install 'trackpools[local]'" if name in LOCAL_ONLY else fix
        )
    return Check(name, low <= parse(version) < high, version, fix)


def fit(spark: str, delta: str) -> Check:
    """Whether delta-spark is built for this pyspark."""
    low, high = DELTA_NEEDS.get(parse(delta)[:2], ((), ()))
    ok = bool(low) and low <= parse(spark) < high
    return Check(
        "pyspark and delta-spark", ok, f"{spark} and {delta}", "pip install pyspark==4.2.0 delta-spark==4.4.0"
    )


def _packages(_: Config) -> Iterator[Check]:
    managed = _managed()
    found = {name: installed(name) for name in PACKAGES}
    yield from (package(name, version, managed) for name, version in found.items())
    spark, delta = found["pyspark"], found["delta-spark"]
    if not managed and spark and delta:
        yield fit(spark, delta)


def _delta_jars(_: Config) -> Iterator[Check]:
    if managed := _managed():
        yield Check("Delta jars", True, f"those of the {managed}")
        return
    folder = os.environ.get("TRACKPOOLS_JARS")
    where = Path(folder) if folder else jars.cache_dir()
    try:
        wanted = ["{1}-{2}.jar".format(*one.split(":")) for one in jars.coordinates()]
    except ConfigError as error:
        yield Check("Delta jars", False, error.message, "pip install 'trackpools[local]'")
        return
    bad = [name for name in wanted if (where / name).exists() and not jars.verified(where / name)]
    missing = [name for name in wanted if not (where / name).exists()]
    if bad:
        yield Check(
            "Delta jars",
            False,
            f"wrong SHA-256 in {where}: {', '.join(bad)}",
            "rm " + " ".join(str(where / name) for name in bad),
        )
    elif missing and folder:
        yield Check(
            "Delta jars",
            False,
            f"TRACKPOOLS_JARS={folder} lacks {', '.join(missing)}",
            f"cp {' '.join(missing)} {folder}/ (or unset TRACKPOOLS_JARS)",
        )
    elif missing:
        yield Check(
            "Delta jars", True, f"not in {where} yet; the first run fetches them (needs the network once)"
        )
    else:
        yield Check("Delta jars", True, f"{len(wanted)} verified in {where}")


def _arrow(_: Config) -> Iterator[Check]:
    try:
        import pyarrow as pa

        ok = pa.repeat(1, 3).nbytes == 24  # not array(): that would import pandas, which takes seconds
        yield Check(
            "Arrow", ok, f"pyarrow {pa.__version__} works", "pip install --force-reinstall 'pyarrow>=18,<26'"
        )
    except ImportError as error:
        yield Check(
            "Arrow",
            False,
            f"pyarrow does not import: {error}",
            "pip install --force-reinstall 'pyarrow>=18,<26'",
        )


def _mlflow(config: Config) -> Iterator[Check]:
    if not config.mlflow.enabled:
        yield Check("MLflow server", True, "switched off (mlflow.enabled=false)")
        return
    uri = without_secrets(tracking_uri(config.mlflow, config.store.root))
    reason = reachable(config.mlflow, config.store.root)
    fix = "start the server, or give --set mlflow.tracking_uri=URI; runs go on without it and are sent later"
    yield Check("MLflow server", reason is None, uri if reason is None else f"{uri}: {reason}", fix)


def _blas(_: Config) -> Iterator[Check]:
    import numpy as np  # noqa: F401 - loads its BLAS, which is what is looked at
    from threadpoolctl import threadpool_info

    found = [
        f"{one.get('internal_api')} {one.get('version') or ''}".strip()
        for one in threadpool_info()
        if one.get("user_api") == "blas"
    ]
    yield Check(
        "BLAS of numpy",
        bool(found),
        ", ".join(sorted(set(found))) or "none found",
        "pip install --force-reinstall numpy",
    )
    native = ctypes.util.find_library("openblas") or ctypes.util.find_library("blas")
    plain = "none; engine mllib computes in plain Java, slower but right"
    yield Check(
        "BLAS of the JVM",
        True,
        native or plain,
        "" if native else "apt-get install libopenblas-dev makes it faster",
    )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())


def _root(config: Config) -> Iterator[Check]:
    folder = local_path(config.store.root)
    if folder is None:
        where = config.store.root or (
            f"catalog {config.store.catalog}.{config.store.schema_}" if config.store.catalog else ""
        )
        yield Check(
            "root",
            bool(where),
            f"{where} (checked when it is written)" if where else "not given",
            "give --root FOLDER",
        )
        return
    there = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            ok = there.is_dir()
    except OSError:
        ok = False
    yield Check(
        "root",
        ok,
        f"{folder} {'can' if ok else 'cannot'} be written",
        f"choose another --root, or: chmod u+rwx {there}",
    )
    free = shutil.disk_usage(there).free / GB
    yield Check(
        "free disk",
        free >= MIN_FREE_GB,
        f"{free:.1f} GB at {there}",
        f"free {MIN_FREE_GB} GB there, or choose another --root",
    )


def _memory_gb() -> float:
    """Memory of the machine, or of the container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if limit.is_file() and (given := limit.read_text().strip()).isdigit():
            total = min(total, int(given))
    return total / GB


def _memory(config: Config) -> Iterator[Check]:
    heap = int(config.session.memory[:-1]) / (1 if config.session.memory.endswith("g") else 1024)
    have = _memory_gb()
    # Python, Arrow and the engines live beside the heap
    ok = bool(_managed()) or have >= heap + 1
    yield Check(
        "memory",
        ok,
        f"{have:.1f} GB; session.memory={config.session.memory}",
        f"--set session.memory={max(int(have / 2), 1)}g",
    )


CHECKS: tuple[Callable[[Config], Iterator[Check]], ...] = (
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


def checks(config: Config) -> list[Check]:
    """Every check, in the order a run meets them; takes a second or two."""
    return [check for look in CHECKS for check in look(config)]


def render(found: list[Check]) -> Table:
    """The checks as a table for the terminal: ok, or what to type."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "found", "to do"):
        table.add_column(column, overflow="fold")
    for check in found:
        mark = Text("ok", "green") if check.ok else Text("no", "bold red")
        # a hint may stand beside an ok line; what is found is untrusted text, never markup
        table.add_row(
            mark,
            Text(check.name),
            Text(check.found),
            Text(check.fix if not check.ok or check.name == "BLAS of the JVM" else ""),
        )
    return table
