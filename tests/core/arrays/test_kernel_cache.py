"""Tests of the cache of compiled kernels.

A kernel is cached by its source text, in a folder that only its owner can write, and from a zip too.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from numba import config
from numba.core import caching

import trackpools
from trackpools.core.arrays import kernel_cache

SAY = """
from trackpools.core.topk import rescore_kernel
from trackpools.core.arrays.kernel_cache import kernel_cache
kernel = next(one for one in vars(rescore_kernel).values() if hasattr(one, "py_func"))
print(kernel_cache(), kernel._cache.cache_path, type(kernel._cache._impl.locator).__name__)
"""


def run_and_report(folder, path, **more):
    """Return the words that a fresh process prints which imports trackpools from `path`."""
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
    """Return three zips of the package: two equal ones in different places, and one with a changed module.

    The third has an added line in another module of `core`.
    """
    folder, library = tmp_path_factory.mktemp("zips"), Path(trackpools.__file__).parent
    for name in ("one", "two", "other"):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / "trackpools.zip", "w") as archive:
            for source in sorted(library.rglob("*.py")):
                text = source.read_text(encoding="utf-8")
                archive.writestr(
                    f"trackpools/{source.relative_to(library)}",
                    text + "\n# changed\n" * (name == "other" and source.name == "confidence.py"),
                )
    return {name: folder / name / "trackpools.zip" for name in ("one", "two", "other")}


def test_kernels_are_cached_by_their_text_and_not_by_its_place(tmp_path, zipped):
    said = {name: run_and_report(tmp_path, path) for name, path in zipped.items()}
    assert said["one"] == said["two"]
    assert said["one"][0] == said["one"][1]
    assert said["one"][2] == "SourceTextLocator"
    assert said["one"][0].startswith(str(tmp_path / "cache" / "trackpools" / "kernels"))
    assert said["other"][0] != said["one"][0]


def test_settings_of_numba_win(tmp_path, zipped):
    assert (
        run_and_report(tmp_path, zipped["one"], NUMBA_CACHE_DIR=str(tmp_path / "mine"))[2]
        != "SourceTextLocator"
    )
    assert (
        run_and_report(
            tmp_path, zipped["one"], NUMBA_CACHE_LOCATOR_CLASSES="numba.core.caching.ZipCacheLocator"
        )[2]
        == "ZipCacheLocator"
    )


def test_the_locators_of_numba_are_set_while_it_decorates_and_restored_afterwards():
    """Check that our setting names all locators of Numba's list, because it replaces that list."""
    own = caching.CompileResultCacheImpl._locator_classes
    assert kernel_cache.SourceTextLocator not in own
    assert (
        "trackpools.core.arrays.kernel_cache.SourceTextLocator",
        *(f"{one.__module__}.{one.__name__}" for one in own),
    ) == kernel_cache.LOCATORS
    assert os.environ.get("NUMBA_CACHE_LOCATOR_CLASSES", "") == config.CACHE_LOCATOR_CLASSES


def test_a_kernel_of_another_package_is_kept_where_numba_keeps_it(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "import trackpools.core.topk.selection_kernels\nfrom numba import njit\n\n\n@njit(cache=True)\ndef one():\n    return 1\n"
    )
    code = "import theirs; print(type(theirs.one._cache._impl.locator).__name__)"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")} | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(trackpools.__file__).parents[2]}"
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout == "InTreeCacheLocator\n"


def test_without_a_usable_home_the_temporary_folder_is_used_unless_others_can_write_there(tmp_path, zipped):
    (tmp_path / "cache").write_text("a file is no folder")
    place = tmp_path / f"trackpools-{os.getuid()}"
    assert run_and_report(tmp_path, zipped["one"])[0].startswith(str(place))
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    assert run_and_report(tmp_path, zipped["one"])[0] == "None"


def test_a_user_without_a_home_gets_no_folder_in_the_working_one(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(
        Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home directory."))
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert kernel_cache.kernel_cache.__wrapped__().startswith(str(tmp_path / "temporary"))
    assert not list((tmp_path / "work").iterdir())


def test_this_process_caches_its_kernels_in_the_folder():
    from trackpools.core.topk import selection_kernels

    kernels = [one for one in vars(selection_kernels).values() if hasattr(one, "py_func")]
    assert kernels
    assert {kernel._cache.cache_path for kernel in kernels} == {kernel_cache.kernel_cache()}
