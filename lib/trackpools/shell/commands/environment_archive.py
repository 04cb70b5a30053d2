"""Pack this Python and the packages that trackpools requires into one archive for `--archives`.

The archive has the interpreter, the standard library and the installed packages. So a node of a cluster needs
neither Python nor packages, only the same kind of Linux. The tool venv-pack is not used: a venv has only a link
to an interpreter, venv-pack keeps this link, and its path may not exist on the node.

Three things are left out: pyspark, because the cluster provides it; trackpools, because it is sent by
`--py-files`; and packages that trackpools does not require, such as the tools of developers.
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

JOB_EXTRAS = (
    "ann",
    "local",
    "text",
    "tune",
)  # extras of trackpools that jobs need; only services need `serve`
JOB_PACKAGES = ("redis",)  # of the extra `kv`, jobs need only this one; the others are for readers
CLUSTER_PACKAGE = "pyspark"  # left out together with its requirements; delta-spark is packed
# names of files and folders of the standard library that are left out
LEFT_OUT_NAMES = {
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
GZIP_LEVEL = 1  # compression level of gzip; higher levels hardly make the large files, machine code, smaller
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# The file bin/python of the archive. It starts the interpreter with the shared library of the archive, and
# without the packages that a user of the node has installed.
LAUNCHER = f"""#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
export LD_LIBRARY_PATH="$here/../lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" PYTHONNOUSERSITE=1
exec "$here/{PYTHON}" "$@"
"""


@dataclass(frozen=True)
class Contents:
    """The contents of an archive.

    Attributes:
        files: Name in the archive → file.
        packages: Names of the packages in the archive.
        absent: Names of required packages that cannot be packed, because they are not installed or because
            only the package manager of the system knows their files.
    """

    files: dict[str, Path]
    packages: list[str]
    absent: list[str]

    @property
    def bytes(self) -> int:
        """The size of all files together in bytes, before compression."""
        return sum(path.stat().st_size for path in self.files.values())


def unsupported_reason() -> str | None:
    """Return why no environment can be packed here, or None if it can."""
    if not sys.platform.startswith("linux"):
        return (
            f"no environment archive is built, because nodes run Linux and this machine runs {sys.platform}; "
            "run this command in a container of their image"
        )
    try:
        metadata.version("trackpools")
    except metadata.PackageNotFoundError:
        return (
            "no environment archive is built, because trackpools is not installed in this Python and its requirements are unknown; "
            "type: pip install ."
        )
    return None


def contents() -> Contents:
    """List what an archive of this Python contains."""
    required, absent = _required()
    return Contents(
        dict(_interpreter()) | dict(one for dist in required.values() for one in _files(dist)),
        sorted(required),
        sorted(absent),
    )


def _required() -> tuple[dict[str, metadata.Distribution], set[str]]:
    """Find the packages that trackpools requires, directly or by another package.

    Returns:
        Name → distribution of the packages that can be packed, without trackpools itself; and the names of
        those that cannot, see `Contents.absent`.
    """
    found: dict[str, metadata.Distribution] = {}
    absent: set[str] = set()
    seen: set[tuple[str, str]] = set()
    ahead = [("trackpools", extra) for extra in ("", *JOB_EXTRAS)] + [(name, "") for name in JOB_PACKAGES]
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) in seen or name == CLUSTER_PACKAGE:
            continue
        seen.add((name, extra))
        try:
            dist = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            absent.add(name)
            continue
        if dist.files is None:  # only the package manager of the system knows the files of the package
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
    """Yield (name in the archive, file) for each file of a package.

    Scripts are left out, because their first line holds a path of this machine.
    """
    for one in dist.files or ():
        path = Path(str(dist.locate_file(one)))
        if ".." not in one.parts and "__pycache__" not in one.parts and path.is_file():
            yield f"{_packages_folder()}/{one.as_posix()}", path


@cache
def _packages_folder() -> str:
    """Return the folder of installed packages, relative to the prefix of the interpreter.

    The interpreter itself is asked, because Debian uses another folder than other systems, and inside a venv
    this folder cannot be seen.
    """
    command = [
        str(_executable()),
        "-I",
        "-c",
        "import site, sys; print(sys.prefix, site.getsitepackages()[-1], sep='\\n')",
    ]
    prefix, folder = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603 - this interpreter and fixed words
    return Path(folder).relative_to(prefix).as_posix()


def _executable() -> Path:
    """Return the path of the interpreter itself, with the links of a venv resolved."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def _interpreter() -> Iterator[tuple[str, Path]]:
    """Yield (name in the archive, file) for the interpreter, its shared library and the standard library.

    Parts of the standard library that no job imports are left out, see `LEFT_OUT_NAMES`.
    """
    yield f"bin/{PYTHON}", _executable()
    library = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file():
        yield f"lib/{library.name}", library
    prefix = Path(sys.base_prefix)
    for kind in ("stdlib", "platstdlib"):  # these are two different folders on some systems
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
            inner[:] = [one for one in inner if one not in LEFT_OUT_NAMES and not one.startswith("config-")]
            yield from (
                (path.relative_to(prefix).as_posix(), path)
                for path in (Path(folder, name) for name in names)
                if path.is_file()
            )


def pack(what: Contents, target: Path) -> None:
    """Write the archive; the same contents give the same bytes.

    For a link, the file to which it points is stored.

    Args:
        what: The contents.
        target: The file to write.
    """
    with (
        target.open("wb") as out,
        gzip.GzipFile("", "wb", GZIP_LEVEL, out, mtime=0) as zipped,
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
    """Remove owner and time from an entry, so that the archive depends on its contents alone."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    # the second name of a file would become a link; it is stored as a file of its own
    entry.type, entry.linkname = tarfile.REGTYPE, ""
    return entry
