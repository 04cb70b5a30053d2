"""This Python with what trackpools requires, as one archive for `--archives`: interpreter, standard library, installed packages.

An environment of venv has no interpreter of its own, only a link to a path that a node of a cluster need not have, and venv-pack keeps that link. Here the
interpreter comes along, so a node needs neither Python nor packages, only the same kind of Linux. Left out are pyspark, which is the cluster's, trackpools,
which comes by `--py-files`, and whatever nothing requires, such as the tools of developers.
"""

import gzip
import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OF_JOBS = ("ann", "local", "text", "tune")  # extras that a job imports from; `serve` is of services
OF_THE_CLUSTER = "pyspark"  # of `local`: Delta's Python comes along, Spark and its own does not
NOT_ON_A_NODE = {
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
}
LEVEL = 1  # of gzip: what is large is machine code, which higher ones hardly make smaller
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# the interpreter's own library is looked for beside it; packages of a node's users stay out
LAUNCHER = f"""#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
export LD_LIBRARY_PATH="$here/../lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" PYTHONNOUSERSITE=1
exec "$here/{PYTHON}" "$@"
"""


@dataclass(frozen=True)
class Contents:
    """Name in the archive → file; packages that are in it, and those that a job's extra names but that are not installed."""

    files: dict[str, Path]
    packages: list[str]
    absent: list[str]

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


def cannot() -> str | None:
    """Why no environment can be packed here; None where it can."""
    if not sys.platform.startswith("linux"):
        return f"no environment archive: nodes run Linux, and this is {sys.platform}; type the same in a container of their image"
    try:
        metadata.version("trackpools")
    except metadata.PackageNotFoundError:
        return "no environment archive: trackpools is not installed in this Python, which therefore does not know what it requires; type: pip install ."
    return None


def contents() -> Contents:
    """What an archive of this Python holds."""
    required, absent = _required()
    return Contents(
        dict(_interpreter()) | dict(one for dist in required.values() for one in _files(dist)),
        sorted(required),
        sorted(absent),
    )


def _required() -> tuple[dict[str, metadata.Distribution], set[str]]:
    """Name → package of all that trackpools requires, itself not among them; and names of what is not installed, or only the system's."""
    found: dict[str, metadata.Distribution] = {}
    absent: set[str] = set()
    seen: set[tuple[str, str]] = set()
    ahead = [("trackpools", extra) for extra in ("", *OF_JOBS)]
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) in seen or name == OF_THE_CLUSTER:
            continue
        seen.add((name, extra))
        try:
            dist = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            absent.add(name)
            continue
        if dist.files is None:  # installed by the system's own manager, which alone knows its files
            absent.add(name)
        else:
            found[name] = dist
        wanted = [
            one
            for one in map(Requirement, dist.requires or ())
            if one.marker is None or one.marker.evaluate({"extra": extra})
        ]
        ahead += [(canonicalize_name(one.name), of) for one in wanted for of in ("", *one.extras)]
    return {name: dist for name, dist in found.items() if name != "trackpools"}, absent - {"trackpools"}


def _files(dist: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Files of a package; none of its scripts, whose first line is a path of here."""
    for one in dist.files or ():
        path = Path(str(dist.locate_file(one)))
        if ".." not in one.parts and "__pycache__" not in one.parts and path.is_file():
            yield f"{_of_packages()}/{one.as_posix()}", path


@cache
def _of_packages() -> str:
    """Where the interpreter looks for packages, from its prefix: not the same on Debian as elsewhere, and a venv does not tell."""
    command = [
        str(_executable()),
        "-I",
        "-c",
        "import site, sys; print(sys.prefix, site.getsitepackages()[-1], sep='\\n')",
    ]
    prefix, folder = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603 - this interpreter and fixed words
    return Path(folder).relative_to(prefix).as_posix()


def _executable() -> Path:
    """The interpreter itself, behind the links of an environment."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _interpreter() -> Iterator[tuple[str, Path]]:
    """The interpreter, its library where it has one, and the standard library without what no job imports."""
    yield f"bin/{PYTHON}", _executable()
    library = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file():
        yield f"lib/{library.name}", library
    prefix = Path(sys.base_prefix)
    for kind in ("stdlib", "platstdlib"):  # two folders on some systems
        top = Path(
            sysconfig.get_path(
                kind,
                vars={
                    "base": sys.base_prefix,
                    "platbase": sys.base_prefix,
                    "installed_base": sys.base_prefix,
                },
            )
        )
        for folder, inner, names in os.walk(top):
            inner[:] = [one for one in inner if one not in NOT_ON_A_NODE and not one.startswith("config-")]
            yield from (
                (path.relative_to(prefix).as_posix(), path)
                for path in (Path(folder, name) for name in names)
                if path.is_file()
            )


def pack(what: Contents, target: Path) -> None:
    """Write the archive; the same contents give the same bytes. Links become the files that they point to."""
    with (
        target.open("wb") as out,
        gzip.GzipFile("", "wb", LEVEL, out, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", dereference=True) as tar,
    ):
        for name in ("bin/python", "bin/python3"):
            launcher = _plain(tarfile.TarInfo(name))
            launcher.size, launcher.mode = len(LAUNCHER.encode()), 0o755
            tar.addfile(launcher, io.BytesIO(LAUNCHER.encode()))
        for name, path in sorted(what.files.items()):
            with path.open("rb") as content:
                tar.addfile(_plain(tar.gettarinfo(path, name)), content)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Of nobody, at no time: an archive tells of its contents alone."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.type, entry.linkname = tarfile.REGTYPE, ""  # a file with two names in the archive is two files
    return entry
