"""Folders that trackpools uses: its package, a cache and a scratch folder; and a walk of Python files."""

import os
import stat
import tempfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def user_cache() -> Path:
    """Return trackpools's cache folder, for files that are not kept in the root.

    It is in the cache folder of the operating system's account.

    Raises:
        RuntimeError: if XDG_CACHE_HOME is not set or empty, and the home folder cannot be determined.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackpools"


def scratch() -> Path:
    """Return the path of the scratch folder, inside the system's folder for temporary files.

    Each account of the operating system has its own. Callers create it with `make_private`.
    """
    return Path(tempfile.gettempdir()) / f"trackpools-{os.getuid()}"


def make_private(folder: Path) -> Path:
    """Create a folder with mode 0700 if it does not exist, and return it.

    Raises:
        PermissionError: if the folder belongs to another account, or everybody may write to it. Files from
            such a folder must not be trusted.
        OSError: if the folder cannot be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & stat.S_IWOTH:
        raise PermissionError(f"{folder} does not belong to this account alone")
    return folder


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
