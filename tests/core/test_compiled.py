"""Compiled kernels are kept by their source text, in a folder that only we can write; from a zip too."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

import trackpools
from trackpools.core import compiled

SAY = """
from trackpools.core import rescoring
from trackpools.core.compiled import kernel_cache
kernel = next(one for one in vars(rescoring).values() if hasattr(one, "py_func"))
print(kernel_cache(), kernel._cache.cache_path, type(kernel._cache._impl.locator).__name__)
"""


def told(folder, path, **more):
    """What a process of its own says that imports trackpools from `path`."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "XDG_", "PYTHON"))
    }
    environment |= {
        "PYTHONPATH": str(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(folder),
    } | more
    done = subprocess.run(
        [sys.executable, "-c", SAY], capture_output=True, text=True, env=environment, cwd=folder, check=True
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """The package in two zips of different places, and one in which a line of another module of `core` differs."""
    folder, library = tmp_path_factory.mktemp("zips"), Path(trackpools.__file__).parent
    for name in ("one", "two", "other"):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / "trackpools.zip", "w") as archive:
            for source in sorted(library.rglob("*.py")):
                text = source.read_text(encoding="utf-8")
                archive.writestr(
                    f"trackpools/{source.relative_to(library)}",
                    text + "\n# changed\n" * (name == "other" and source.name == "weights.py"),
                )
    return {name: folder / name / "trackpools.zip" for name in ("one", "two", "other")}


def test_kernels_are_kept_by_their_text_not_by_where_it_lies(tmp_path, zipped):
    said = {name: told(tmp_path, path) for name, path in zipped.items()}
    assert said["one"] == said["two"]
    assert said["one"][0] == said["one"][1]
    assert said["one"][2] == "BySourceText"
    assert said["one"][0].startswith(str(tmp_path / "cache" / "trackpools" / "kernels"))
    assert said["other"][0] != said["one"][0]


def test_numba_s_own_setting_wins(tmp_path, zipped):
    assert told(tmp_path, zipped["one"], NUMBA_CACHE_DIR=str(tmp_path / "mine"))[2] != "BySourceText"


def test_without_a_usable_home_the_temporary_folder_serves_unless_others_can_write_there(tmp_path, zipped):
    (tmp_path / "cache").write_text("a file is no folder")
    place = tmp_path / f"trackpools-{os.getuid()}"
    assert told(tmp_path, zipped["one"])[0].startswith(str(place))
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    assert told(tmp_path, zipped["one"])[0] == "None"


def test_a_user_without_a_home_gets_no_folder_in_the_working_one(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(
        Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home directory."))
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert compiled.kernel_cache.__wrapped__().startswith(str(tmp_path / "temporary"))
    assert not list((tmp_path / "work").iterdir())


def test_this_process_keeps_its_kernels_there():
    from trackpools.core import selection

    kernels = [one for one in vars(selection).values() if hasattr(one, "py_func")]
    assert kernels
    assert {kernel._cache.cache_path for kernel in kernels} == {compiled.kernel_cache()}
