"""Folders of this machine that are ours."""

import os
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """Our folder under the user's cache; where things go that have no local root.

    Raises:
        RuntimeError: where the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackpools"


def scratch() -> Path:
    """Our folder under the temporary one, of this user alone; whoever makes it makes it with mode 0700."""
    return Path(tempfile.gettempdir()) / f"trackpools-{os.getuid()}"
