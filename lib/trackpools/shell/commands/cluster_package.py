"""The command that builds a folder with everything that a cluster needs to run trackpools.

The folder has a wheel, a zip for `--py-files`, jobs (scripts for spark-submit) and Spark properties. On
request, it also has an environment for `--archives`: an archive with Python and the required packages.
"""

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
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.commands import environment_archive
from trackpools.shell.resilience.atomic_file import atomic_file

ZIP, ARCHIVE = "trackpools.zip", "environment.tar.gz"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can store
# the argument of `--jars`: a shell command that prints the paths of the jars of Delta
JARS = (
    """"$(python -c 'from trackpools.shell.spark.jars import delta_jars; print(*delta_jars(), sep=",")')\""""
)


@dataclass(frozen=True)
class PackagedFile:
    """A part of the built folder: a file, or a folder of files.

    Attributes:
        kind: Kind of the part: `wheel`, `zip`, `jobs`, `properties` or `environment`.
        path: Path of the part.
        bytes: Size of the part in bytes.
        use: What the part is for, in words.
    """

    kind: str
    path: str
    bytes: int
    use: str


@dataclass(frozen=True)
class PackageSources:
    """Where the parts are read from: a checkout, or an installed package.

    Attributes:
        package: Folder of the package trackpools.
        conf: Folder of the configuration.
        jobs: Folder of the jobs.
        project: Folder of the checkout; None for an installed package.
    """

    package: Path
    conf: Path
    jobs: Path
    project: Path | None

    @classmethod
    def here(cls) -> "PackageSources":
        """Return the sources of the running package.

        Raises:
            ConfigError: If the package runs from a zip.
        """
        package = Path(trackpools.__file__).resolve().parent
        if not package.is_dir():
            raise ConfigError(
                f"trackpools runs from {package.parent}, a zip that this command built; run the command from a checkout or an installed wheel"
            )
        if (package / "_conf").is_dir():
            return cls(package, package / "_conf", package / "_jobs", None)
        project = package.parents[1]
        return cls(package, project / "conf", project / "jobs", project)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield (name in the zip, file) for each file of the zip: code, docs, configuration and jobs.

        The names are the same as in the wheel.
        """
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

    def unsupported_reasons(self, *, archive: bool) -> dict[str, str]:
        """Return the parts that cannot be built on this machine, as part → reason (a sentence).

        Args:
            archive: Whether the environment is wanted too.
        """
        said = {}
        if self.project is None:
            said["wheel"] = (
                "no wheel is built, because trackpools is installed here without its sources; "
                "the zip contains the installed code, and the wheel is the one that you installed"
            )
        elif find_spec("hatchling") is None:
            said["wheel"] = (
                "no wheel is built, because hatchling is not installed; type: pip install hatchling"
            )
        why = environment_archive.unsupported_reason() if archive else None
        return said | ({"environment": why} if why else {})


def package(options: Options, out: Path, *, archive: bool) -> CommandResult:
    """Build every part that can be built here; the answer names the parts that cannot.

    Args:
        options: Options of the command line.
        out: Output folder, created if it does not exist; files of the same names are replaced.
        archive: Whether to build the environment too; it has about 340 MB, and building takes half a minute.

    Raises:
        ConfigError: If the folder cannot be written.
        TrackpoolsError: If the wheel could not be built.
    """
    sources = PackageSources.here()
    cannot = sources.unsupported_reasons(archive=archive)
    archive = archive and "environment" not in cannot
    with options.progress(3) as progress:
        _create_folder(out)
        written = []
        if sources.project is not None and "wheel" not in cannot:
            progress("wheel: build it with hatchling")
            written.append(_wheel(sources.project, out))
        progress(f"zip: write {ZIP}, and the jobs and properties files beside it")
        written += [_zip(sources, out / ZIP), *_copy_folders(sources, out)]
        warnings = list(cannot.values())
        if archive:
            what = environment_archive.contents()
            progress(
                f"environment: pack {len(what.packages)} packages, {what.bytes // 10**6:,} MB; takes about {what.bytes / 35e6:.0f} s"
            )
            written.append(_archive(what, out / ARCHIVE))
            warnings += (
                [f"the environment lacks packages that are not installed here: {', '.join(what.absent)}"]
                if what.absent
                else []
            )
    return _answer(out, written, warnings, list(cannot.values()), archive=archive)


def _create_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out must be a folder, but {str(out)!a:.200} cannot be one ({error.strerror}); give another"
        ) from error
    if not os.access(out, os.W_OK):
        raise ConfigError(
            f"--out must be a folder that you may write to, but {str(out)!a:.200} is not; give another"
        )


def _wheel(project: Path, out: Path) -> PackagedFile:
    before = {path: path.stat().st_mtime_ns for path in out.glob("trackpools-*.whl")}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out.resolve())]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter and fixed words
    made = [path for path in out.glob("trackpools-*.whl") if before.get(path) != path.stat().st_mtime_ns]
    if done.returncode or len(made) != 1:
        raise TrackpoolsError(
            "hatchling could not build the wheel",
            [line for line in done.stderr.splitlines() if line.strip()][-5:],
        )
    return PackagedFile(
        "wheel",
        str(made[0]),
        made[0].stat().st_size,
        "for pip install, on Databricks or on the machine that submits",
    )


def _zip(sources: PackageSources, target: Path) -> PackagedFile:
    """Write the zip; the same sources give the same bytes."""
    with (
        atomic_file(target) as draft,
        zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made,
    ):
        for name, path in sorted(sources.files()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o100644 << 16,
            )
            made.writestr(entry, path.read_bytes())
    return PackagedFile(
        "zip",
        str(target),
        target.stat().st_size,
        "for --py-files: trackpools itself, with its configuration and docs",
    )


def _copy_folders(sources: PackageSources, out: Path) -> Iterator[PackagedFile]:
    """Copy the jobs and the properties files, which spark-submit reads by name, and yield both folders."""
    for kind, top, pattern, use in (
        ("jobs", sources.jobs, "*.py", "for spark-submit: one file for each command"),
        (
            "properties",
            sources.conf / "spark",
            "*.conf",
            "for --properties-file: one file for each kind of cluster",
        ),
    ):
        folder = out / ("jobs" if kind == "jobs" else "conf/spark")
        folder.mkdir(parents=True, exist_ok=True)
        copied = [Path(shutil.copyfile(path, folder / path.name)) for path in sorted(top.glob(pattern))]
        yield PackagedFile(kind, str(folder), sum(path.stat().st_size for path in copied), use)


def _archive(what: environment_archive.Contents, target: Path) -> PackagedFile:
    with atomic_file(target) as draft:
        environment_archive.pack(what, draft)
    return PackagedFile(
        "environment",
        str(target),
        target.stat().st_size,
        "for --archives: Python and the packages, for executors (and in cluster mode for the driver)",
    )


def _answer(
    out: Path, written: list[PackagedFile], warnings: list[str], cannot: list[str], *, archive: bool
) -> CommandResult:
    python = "PYSPARK_PYTHON=./environment/bin/python PYSPARK_DRIVER_PYTHON=python " if archive else ""
    given = f" --archives {ARCHIVE}#environment" if archive else ""
    after = (
        f"cd {shlex.quote(str(out))} && {python}spark-submit --master spark://HOST:7077 --properties-file conf/spark/standalone.conf --jars {JARS} "
        f"--py-files {ZIP}{given} jobs/run_all.py --config cluster --root s3a://BUCKET/trackpools"
    )
    lines = [f"{one.kind:<12} {one.path} ({one.bytes:,} bytes): {one.use}" for one in written]
    lines += [
        f"next: {after}",
        "import a log first, with jobs/import_log.py; for YARN, Dataproc, EMR and Kubernetes see trackpools/docs/platforms.md in the zip",
    ]
    return CommandResult(
        lines=lines,
        warnings=warnings,
        more={"files": [asdict(one) for one in written], "not_built": cannot, "next": after},
    )
