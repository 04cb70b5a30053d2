"""Tests of what `trackpools package` builds, from a checkout and from an installed wheel.

They also check that it works where it is unpacked.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trackpools.cli import whole
from trackpools.shell.commands import cluster_package, environment_archive

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = sysconfig.get_paths()["purelib"]


def call(*words):
    result = CliRunner().invoke(whole(), ["package", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def run_without_checkout(where, *words, cwd):
    """Run trackpools from that place only, as a node without a checkout or an installation does."""
    code = f"import sys; sys.path.append({PACKAGES!r}); sys.argv[0] = 'trackpools'; from trackpools.cli import main; main()"
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "PYTHONPATH": str(where)
    }
    return subprocess.run(
        [sys.executable, "-S", "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=kept,
        cwd=cwd,
    )


def code_hashes(where, cwd):
    """Return {stage: code hash}, computed by a Python that finds trackpools in that place only."""
    code = (
        f"import sys; sys.path[:0] = [{str(where)!r}, {PACKAGES!r}]; import json; from trackpools.stages import STAGES; "
        "from trackpools.shell.identity.work_identity import code_hash; print(json.dumps({stage.name: code_hash(stage.run) for stage in STAGES}))"
    )
    told = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
        cwd=cwd,
    )
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder of the package, and the answer of the command."""
    folder = tmp_path_factory.mktemp("dist")
    code, out, _ = call("--no-environment", "--json", "--out", folder)
    assert code == 0, out
    return folder, json.loads(out)


def test_a_checkout_gives_wheel_zip_jobs_and_properties_and_says_what_to_type(built):
    folder, said = built
    assert said["ok"]
    assert said["not_built"] == []
    assert {one["kind"]: one["bytes"] > 0 for one in said["files"]} == dict.fromkeys(
        ("wheel", "zip", "jobs", "properties"), True
    )
    assert {path.name for path in (folder / "jobs").iterdir()} == {
        path.name for path in (ROOT / "jobs").glob("*.py")
    }
    assert {path.name for path in (folder / "conf/spark").iterdir()} == {
        "local.conf",
        "standalone.conf",
        "yarn.conf",
        "kubernetes.conf",
    }
    named = [one for one in said["next"].split() if one.startswith(("conf/", "trackpools.zip", "jobs/"))]
    assert named == ["conf/spark/standalone.conf", "trackpools.zip", "jobs/run_all.py"]
    assert all((folder / one).is_file() for one in named)


def test_the_zip_is_the_wheel_without_its_metadata_and_the_same_bytes_each_time(built, tmp_path):
    folder, _ = built
    (wheel,) = folder.glob("*.whl")
    in_wheel = {one for one in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in one}
    packed = zipfile.ZipFile(folder / "trackpools.zip")
    assert set(packed.namelist()) == in_wheel
    assert {
        "trackpools/_conf/base.yml",
        "trackpools/_conf/spark/yarn.conf",
        "trackpools/_jobs/run_all.py",
        "trackpools/docs/platforms.md",
    } <= in_wheel
    assert packed.namelist() == sorted(packed.namelist())
    assert all(packed.read(one) == zipfile.ZipFile(wheel).read(one) for one in in_wheel)
    assert call("--no-environment", "--quiet", "--out", tmp_path)[0] == 0
    assert (tmp_path / "trackpools.zip").read_bytes() == (folder / "trackpools.zip").read_bytes()


def test_an_installed_wheel_gives_the_same_zip_and_warns_that_there_is_no_wheel(built, tmp_path):
    folder, _ = built
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")  # pip does the same
    done = run_without_checkout(
        tmp_path / "installed", "package", "--no-environment", "--out", tmp_path / "dist", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert said.startswith("warning: no wheel is built, ")
    assert len(said.split(". ")) == 1
    assert (tmp_path / "dist/trackpools.zip").read_bytes() == (folder / "trackpools.zip").read_bytes()
    for part in ("jobs", "conf/spark"):
        assert {path.name: path.read_bytes() for path in (tmp_path / "dist" / part).iterdir()} == {
            path.name: path.read_bytes() for path in (folder / part).iterdir()
        }


def test_in_the_zip_the_configuration_is_found_and_the_work_is_the_same_work(built, tmp_path):
    packed = built[0] / "trackpools.zip"
    done = run_without_checkout(
        packed, "run", "--root", "/nowhere", "--config", "cluster", "--dry-run", "--json", cwd=tmp_path
    )
    assert json.loads(done.stdout)["config"]["train.engine"] == "mllib"
    assert code_hashes(packed, cwd=tmp_path) == code_hashes(ROOT / "lib", cwd=tmp_path)
    done = run_without_checkout(packed, "package", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "a zip that this command built" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize(
    ("file", "before", "after", "whose"),
    [
        ("pools/build.py", b"\n\n", b"\n# other\n", set()),
        ("log/non_taste.py", b'LOOP = "loop"', b'LOOP = "lap"', {"daily", "taste"}),
    ],
)
def test_a_changed_constant_in_the_zip_changes_the_work_and_a_comment_does_not(
    built, tmp_path, file, before, after, whose
):
    changed = tmp_path / "trackpools.zip"
    with zipfile.ZipFile(built[0] / "trackpools.zip") as packed, zipfile.ZipFile(changed, "w") as out:
        for name in packed.namelist():
            out.writestr(
                name,
                packed.read(name).replace(before, after, 1)
                if name == f"trackpools/core/{file}"
                else packed.read(name),
            )
    then, now = code_hashes(changed, cwd=tmp_path), code_hashes(built[0] / "trackpools.zip", cwd=tmp_path)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in now.values())
    assert {stage for stage in now if then[stage] != now[stage]} == whose


def test_without_hatchling_the_rest_is_built(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_package, "find_spec", lambda _: None)
    code, out, _ = call("--no-environment", "--json", "--out", tmp_path)
    said = json.loads(out)
    assert code == 0
    assert {one["kind"] for one in said["files"]} == {"zip", "jobs", "properties"}
    assert said["not_built"] == [
        "no wheel is built, because hatchling is not installed; type: pip install hatchling"
    ]
    assert said["warnings"] == said["not_built"]


def test_on_another_system_no_environment_is_packed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    code, out, _ = call("--json", "--out", tmp_path)
    assert code == 0
    assert json.loads(out)["warnings"] == json.loads(out)["not_built"]
    assert json.loads(out)["not_built"] == [
        "no environment archive is built, because nodes run Linux and this machine runs darwin; run this command in a container of their image"
    ]
    assert not (tmp_path / "environment.tar.gz").exists()


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    code, out, _ = call("--no-environment", "--json", "--out", tmp_path / "file")
    assert code == 2
    assert "--out must be a folder" in json.loads(out)["error"]["message"]


def test_the_environment_is_what_trackpools_requires_and_nothing_else():
    what = environment_archive.contents()
    assert {
        "numpy",
        "numba",
        "implicit",
        "mlflow",
        "pydantic",
        "faiss-cpu",
        "optuna",
        "model2vec",
        "delta-spark",
    } <= set(what.packages)
    assert (
        set(what.packages) & {"pyspark", "py4j", "trackpools", "pytest", "ruff", "mypy", "hatchling"} == set()
    )
    names = list(what.files)
    assert not [one for one in names if "__pycache__" in one or one.startswith("/") or ".." in one.split("/")]
    assert f"bin/{environment_archive.PYTHON}" in names
    assert any(one.endswith("/numpy/__init__.py") for one in names)


def test_the_interpreter_runs_where_it_is_unpacked_and_touches_nothing_of_the_place_it_came_from(tmp_path):
    whole = environment_archive.contents()
    alone = environment_archive.Contents(
        {
            name: path
            for name, path in whole.files.items()
            if "-packages/" not in name or "/packaging/" in name
        },
        ["packaging"],
        [],
    )
    for name in ("first", "second"):
        environment_archive.pack(alone, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    with tarfile.open(tmp_path / "first") as packed:
        packed.extractall(tmp_path / "elsewhere", filter="fully_trusted")
    code = (
        "import sys, ssl, sqlite3, ctypes, lzma, packaging.version as v; print(sys.prefix); print(v.__file__); "
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if '/' in line}, sep='\\n')"
    )
    done = subprocess.run(
        ["elsewhere/bin/python", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    prefix, module, *mapped = done.stdout.splitlines()
    assert prefix == str(tmp_path / "elsewhere")
    assert module.startswith(prefix)
    system = ("/usr/lib", "/lib", "/usr/share") if sys.base_prefix != "/usr" else ("/",)
    assert [one for one in mapped if not one.startswith((prefix, *system))] == []
