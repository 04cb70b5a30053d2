"""What a cluster needs of trackpools, in one folder: wheel, zip for `--py-files`, environment for `--archives`, jobs and Spark properties."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import trackpools
from trackpools.errors import ConfigError, TrackpoolsError
from trackpools.shell import environment
from trackpools.shell.command import STDERR, Answer, Options, telling

ZIP, ARCHIVE = "trackpools.zip", "environment.tar.gz"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell
JARS = """"$(python -c 'from trackpools.shell.jars import delta_jars; print(*delta_jars(), sep=",")')\""""


@dataclass(frozen=True)
class Written:
    """A file, or a folder of them, that a cluster needs."""

    kind: str
    path: str
    bytes: int
    use: str


@dataclass(frozen=True)
class Sources:
    """Where parts are taken from: a checkout, with its `project` folder, or an installed package."""

    package: Path
    conf: Path
    jobs: Path
    project: Path | None

    @classmethod
    def here(cls) -> "Sources":
        """Of the package that runs.

        Raises:
            ConfigError: where that lies in a zip.
        """
        package = Path(trackpools.__file__).resolve().parent
        if not package.is_dir():
            raise ConfigError(
                f"trackpools runs from {package.parent}, which is such a package already; run this from a checkout or an installed wheel"
            )
        if (package / "_conf").is_dir():
            return cls(package, package / "_conf", package / "_jobs", None)
        project = package.parents[1]
        return cls(package, project / "conf", project / "jobs", project)

    def files(self) -> Iterator[tuple[str, Path]]:
        """`(name, file)` of what the wheel holds too, by name: code, docs, configuration, jobs."""
        for under, top in (
            ("trackpools", self.package),
            ("trackpools/_conf", self.conf),
            ("trackpools/_jobs", self.jobs),
        ):
            for path in sorted(top.rglob("*")):
                inside = path.relative_to(top)
                if (
                    path.is_file()
                    and "__pycache__" not in inside.parts
                    and not (top == self.package and inside.parts[0] in {"_conf", "_jobs"})
                ):
                    yield f"{under}/{inside.as_posix()}", path

    def cannot(self, *, archive: bool) -> dict[str, str]:
        """What cannot be built here → why, in a sentence."""
        said = {}
        if self.project is None:
            said["wheel"] = (
                "no wheel: trackpools is installed here without its sources; what is installed makes the zip, and the wheel is what you installed"
            )
        elif find_spec("hatchling") is None:
            said["wheel"] = (
                "no wheel: hatchling, which builds it, is not installed; type: pip install hatchling"
            )
        why = environment.cannot() if archive else None
        return said | ({"environment": why} if why else {})


def package(options: Options, out: Path, *, archive: bool) -> Answer:
    """Build everything that can be built here.

    Args:
        out: folder, made where it is not there; files of the same names are replaced.
        archive: with the environment, some 340 MB that take half a minute.

    Raises:
        ConfigError: where the folder cannot be written.
    """
    sources = Sources.here()
    cannot = sources.cannot(archive=archive)
    archive = archive and "environment" not in cannot
    for why in () if options.quiet else cannot.values():
        STDERR.print(why, markup=False, highlight=False, soft_wrap=True)
    with telling(options, 3) as tell:
        _make(out)
        written = []
        if sources.project is not None and "wheel" not in cannot:
            tell("wheel: built by hatchling")
            written.append(_wheel(sources.project, out))
        tell(f"zip: {ZIP}, and the jobs and properties files beside it")
        written += [_zip(sources, out / ZIP), *_beside(sources, out)]
        warnings = []
        if archive:
            what = environment.contents()
            tell(
                f"environment: {len(what.packages)} packages, {what.bytes // 10**6:,} MB; takes some {what.bytes / 35e6:.0f} s"
            )
            written.append(_archive(what, out / ARCHIVE))
            warnings += (
                [f"not installed here, so not in the environment: {', '.join(what.absent)}"]
                if what.absent
                else []
            )
    return _answer(out, written, warnings, list(cannot.values()), archive=archive)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out must be a folder; {str(out)!a:.200} cannot be one ({error.strerror}); name another"
        ) from error
    if not os.access(out, os.W_OK):
        raise ConfigError(
            f"--out must be a folder that you may write into; {str(out)!a:.200} is not; name another"
        )


def _wheel(project: Path, out: Path) -> Written:
    before = {path: path.stat().st_mtime_ns for path in out.glob("trackpools-*.whl")}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out.resolve())]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter and fixed words
    made = [path for path in out.glob("trackpools-*.whl") if before.get(path) != path.stat().st_mtime_ns]
    if done.returncode or len(made) != 1:
        raise TrackpoolsError(
            "hatchling could not build the wheel",
            [line for line in done.stderr.splitlines() if line.strip()][-5:],
        )
    return Written(
        "wheel",
        str(made[0]),
        made[0].stat().st_size,
        "pip install, on Databricks or on the machine that submits",
    )


def _zip(sources: Sources, target: Path) -> Written:
    """The same sources give the same bytes."""
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, path in sorted(sources.files()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o100644 << 16,
            )
            made.writestr(entry, path.read_bytes())
    part.replace(target)
    return Written(
        "zip",
        str(target),
        target.stat().st_size,
        "--py-files: trackpools itself, with its configuration and docs",
    )


def _beside(sources: Sources, out: Path) -> Iterator[Written]:
    """The files that spark-submit is given by name."""
    for kind, top, pattern, use in (
        ("jobs", sources.jobs, "*.py", "what spark-submit runs, a file a command"),
        ("properties", sources.conf / "spark", "*.conf", "--properties-file, a file a kind of cluster"),
    ):
        folder = out / ("jobs" if kind == "jobs" else "conf/spark")
        folder.mkdir(parents=True, exist_ok=True)
        copied = [Path(shutil.copyfile(path, folder / path.name)) for path in sorted(top.glob(pattern))]
        yield Written(kind, str(folder), sum(path.stat().st_size for path in copied), use)


def _archive(what: environment.Contents, target: Path) -> Written:
    part = target.with_suffix(".part")
    environment.pack(what, part)
    part.replace(target)
    return Written(
        "environment",
        str(target),
        target.stat().st_size,
        "--archives: Python and the packages, for executors (and the driver, in cluster mode)",
    )


def _answer(
    out: Path, written: list[Written], warnings: list[str], cannot: list[str], *, archive: bool
) -> Answer:
    python = "PYSPARK_PYTHON=./environment/bin/python PYSPARK_DRIVER_PYTHON=python " if archive else ""
    given = f" --archives {ARCHIVE}#environment" if archive else ""
    after = (
        f"cd {shlex.quote(str(out))} && {python}spark-submit --master spark://HOST:7077 --properties-file conf/spark/standalone.conf --jars {JARS} "
        f"--py-files {ZIP}{given} jobs/run_all.py --config cluster --root s3a://BUCKET/trackpools"
    )
    lines = [f"{one.kind:<12} {one.path} ({one.bytes:,} bytes): {one.use}" for one in written]
    lines += [
        f"next: {after}",
        "a log comes first, by jobs/import_log.py; YARN, Dataproc, EMR, Kubernetes: trackpools/docs/platforms.md in the zip",
    ]
    return Answer(
        lines=lines,
        warnings=warnings,
        more={"files": [asdict(one) for one in written], "not_built": cannot, "next": after},
    )
