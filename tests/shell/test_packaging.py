"""What `trackpools package` builds: from a checkout, from an installed wheel, and whether it works where it is unpacked."""

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

from trackpools import cli_package  # noqa: F401 - registers the command
from trackpools.cli import app
from trackpools.shell import environment, packaging
from trackpools.shell.identity import code_hash

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sysconfig.get_paths()["purelib"]


def call(*words):
    result = CliRunner().invoke(app, ["package", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def blind(where, *words, cwd):
    """Python that finds trackpools in that place only, as a node does that has neither a checkout nor an installation."""
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


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder, and the answer."""
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


def test_an_installed_wheel_gives_the_same_zip_and_says_first_that_there_is_no_wheel(built, tmp_path):
    folder, _ = built
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")  # what pip does with it
    done = blind(
        tmp_path / "installed", "package", "--no-environment", "--out", tmp_path / "dist", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0].startswith("no wheel: ")
    assert len(said[0].split(". ")) == 1
    assert (tmp_path / "dist/trackpools.zip").read_bytes() == (folder / "trackpools.zip").read_bytes()
    for part in ("jobs", "conf/spark"):
        assert {path.name: path.read_bytes() for path in (tmp_path / "dist" / part).iterdir()} == {
            path.name: path.read_bytes() for path in (folder / part).iterdir()
        }


def test_in_the_zip_the_configuration_is_found_and_the_work_is_the_same_work(built, tmp_path):
    packed = built[0] / "trackpools.zip"
    done = blind(
        packed, "run", "--root", "/nowhere", "--config", "cluster", "--dry-run", "--json", cwd=tmp_path
    )
    assert json.loads(done.stdout)["config"]["train.engine"] == "mllib"
    code = f"import sys; sys.path[:0] = [{str(packed)!r}, {PACKAGES!r}]; from trackpools.shell.identity import code_hash; print(code_hash())"
    told = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
    )
    assert told.stdout.strip() == code_hash()
    done = blind(packed, "package", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "which is such a package already" in json.loads(done.stdout)["error"]["message"]


def test_a_changed_line_in_the_zip_is_other_work(built, tmp_path):
    changed = tmp_path / "trackpools.zip"
    with zipfile.ZipFile(built[0] / "trackpools.zip") as packed, zipfile.ZipFile(changed, "w") as out:
        for name in packed.namelist():
            out.writestr(
                name, packed.read(name) + (b"# other\n" if name == "trackpools/core/pools.py" else b"")
            )
    code = f"import sys; sys.path[:0] = [{str(changed)!r}, {PACKAGES!r}]; from trackpools.shell.identity import code_hash; print(code_hash())"
    told = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
    )
    assert re.fullmatch("[0-9a-f]{16}", told.stdout.strip())
    assert told.stdout.strip() != code_hash()


def test_without_hatchling_the_rest_is_built(monkeypatch, tmp_path):
    monkeypatch.setattr(packaging, "find_spec", lambda _: None)
    code, out, err = call("--no-environment", "--json", "--out", tmp_path)
    said = json.loads(out)
    assert code == 0
    assert {one["kind"] for one in said["files"]} == {"zip", "jobs", "properties"}
    assert said["not_built"] == [
        "no wheel: hatchling, which builds it, is not installed; type: pip install hatchling"
    ]
    assert err.startswith(said["not_built"][0])


def test_on_another_system_no_environment_is_packed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    code, out, err = call("--json", "--out", tmp_path)
    assert code == 0
    assert json.loads(out)["not_built"] == [
        "no environment archive: nodes run Linux, and this is darwin; type the same in a container of their image"
    ]
    assert err.startswith("no environment archive")
    assert not (tmp_path / "environment.tar.gz").exists()


def test_a_file_is_no_folder_to_build_in(tmp_path):
    (tmp_path / "file").touch()
    code, out, _ = call("--no-environment", "--json", "--out", tmp_path / "file")
    assert code == 2
    assert "--out must be a folder" in json.loads(out)["error"]["message"]


def test_the_environment_is_what_trackpools_requires_and_nothing_else():
    what = environment.contents()
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
    assert f"bin/{environment.PYTHON}" in names
    assert any(one.endswith("/numpy/__init__.py") for one in names)


def test_the_interpreter_runs_where_it_is_unpacked_and_touches_nothing_of_the_place_it_came_from(tmp_path):
    whole = environment.contents()
    alone = environment.Contents(
        {
            name: path
            for name, path in whole.files.items()
            if "-packages/" not in name or "/packaging/" in name
        },
        ["packaging"],
        [],
    )
    for name in ("first", "second"):
        environment.pack(alone, tmp_path / name)
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
