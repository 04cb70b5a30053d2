"""Folders that trackpools uses: its own package, the user's cache and a scratch folder."""

import os
import tempfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def user_cache() -> Path:
    """Return trackpools's folder in the user's cache, for files that belong to no local root.

    Raises:
        RuntimeError: if XDG_CACHE_HOME is not set and the user has no home folder.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackpools"


def scratch() -> Path:
    """Return the path of this user's scratch folder, inside the system's folder for temporary files.

    The folder may not exist; callers create it with mode 0700.
    """
    return Path(tempfile.gettempdir()) / f"trackpools-{os.getuid()}"


def python_files(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield (path below the folder, file) for each Python file in or below a folder, in a fixed order.

    Args:
        folder: a folder on disk or in a zip.
        above: text to put before each path, such as `core/`.
    """
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from python_files(one, f"{above}{one.name}/")
        elif one.name.endswith(".py"):
            yield f"{above}{one.name}", one
