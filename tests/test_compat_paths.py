"""Tests that documented import paths of trackpools 0.1 still work and name the present ones."""

import importlib
import subprocess
import sys

import pytest

from trackpools._compat import MODULES, NAMES

# These packages replaced modules of the same name, and find the modules' old names.
PACKAGES = {"trackpools.core.topk", "trackpools.shell.serving"}


@pytest.mark.parametrize("old", sorted(MODULES))
def test_an_old_module_is_found_under_its_old_name(old):
    new = importlib.import_module(MODULES[old])
    name = next(one for one in vars(new) if not one.startswith("_"))
    with pytest.warns(DeprecationWarning, match="since trackpools 0.2"):
        assert getattr(importlib.import_module(old), name) is getattr(new, name)


@pytest.mark.parametrize(("module", "name"), sorted(NAMES))
def test_an_old_name_is_the_object_of_the_new_name(module, name):
    with pytest.warns(DeprecationWarning, match=NAMES[module, name]):
        assert getattr(importlib.import_module(module), name) is getattr(
            importlib.import_module(MODULES[module]), NAMES[module, name]
        )


@pytest.mark.parametrize("module", sorted(set(MODULES) - PACKAGES)[:2] + sorted(PACKAGES))
def test_a_name_that_never_existed_is_not_an_attribute(module):
    with pytest.raises(AttributeError, match="nowhere"):
        importlib.import_module(module).nowhere  # noqa: B018


def test_spark_still_starts_the_daemon_by_its_old_name():
    code = "import runpy; print(runpy._get_module_details('trackpools.shell.daemon')[2].co_filename)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip().endswith("shell/spark/worker_daemon.py")
