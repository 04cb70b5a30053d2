"""Tests of what the daemon has imported before it forks the Python workers."""

import ast
import subprocess
import sys
from pathlib import Path

import trackpools

CORE = Path(trackpools.__file__).parent / "core"


def has_kernels(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    decorators = [one for node in ast.walk(tree) for one in getattr(node, "decorator_list", ())]
    return any(isinstance(one, ast.Call) and getattr(one.func, "id", None) == "njit" for one in decorators)


def modules_with_kernels():
    """Return the modules of `core` that hold a function compiled by `njit`."""
    paths = [path.relative_to(CORE) for path in sorted(CORE.rglob("*.py")) if has_kernels(path)]
    return [".".join(("trackpools.core", *path.with_suffix("").parts)) for path in paths]


def test_every_module_with_kernels_is_preloaded():
    """Check `OF_TASKS`, which is kept by hand.

    Without it, a worker would import a module and set up its kernels in the first task that uses it.
    """
    kernels = modules_with_kernels()
    assert len(kernels) >= 10
    code = f"import sys; from trackpools.shell.spark import worker_daemon; worker_daemon.preload(); print([one for one in {kernels} if one not in sys.modules], end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]"
