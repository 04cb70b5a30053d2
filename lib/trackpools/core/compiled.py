"""`njit` of the kernels: machine code is kept once a machine and source text, wherever that text lies.

By itself Numba keeps it beside the source, or by the source's path. A zip of `--py-files` and an unpacked environment lie elsewhere in
every application, so that each executor would compile all kernels again: a minute, of which nothing remains. And a kernel in which another
module's kernel was inlined would not notice that this one has changed.
"""

import functools
import hashlib
import importlib.resources
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources.abc import Traversable
from typing import Any

from numba import config, njit
from numba.core.caching import CompileResultCacheImpl, _CacheLocator

from trackpools.places import scratch, user_cache

__all__ = ["kernel_cache", "njit"]


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _sources(one)
        elif one.name.endswith(".py"):
            yield one


@functools.lru_cache(maxsize=1)
def _digest() -> str:
    """SHA-256 of all sources of `core`, in hex, 16 digits: kernels inline kernels and constants of other modules."""
    digest = hashlib.sha256()
    for source in _sources(importlib.resources.files("trackpools.core")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def kernel_cache() -> str | None:
    """The folder of compiled kernels, made if need be: in the user's cache, else (an executor may have no home) in the temporary folder.

    What lies in it is executed, so its place must be ours and not open to others; None where there is no such place.
    """
    for find in (user_cache, scratch):
        try:
            place = find()
            folder = place / "kernels" / _digest()
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, RuntimeError):
            continue
        found = place.lstat()
        if found.st_uid == os.getuid() and not found.st_mode & stat.S_IWOTH:
            return str(folder)
    return None


class BySourceText(_CacheLocator):  # type: ignore[misc]  # Numba has no types
    """Where Numba looks for a kernel of trackpools; NUMBA_CACHE_DIR wins, as everywhere."""

    def __init__(self, kernel: Callable[..., Any], folder: str) -> None:
        self._kernel, self._folder = kernel, folder

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], _py_file: str) -> "BySourceText | None":
        if config.CACHE_DIR or not py_func.__module__.startswith("trackpools.core."):
            return None
        folder = kernel_cache()
        return cls(py_func, folder) if folder else None

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> str:
        return _digest()

    def get_disambiguator(self) -> str:
        return f"{self._kernel.__module__}-{self._kernel.__code__.co_firstlineno}"


if BySourceText not in CompileResultCacheImpl._locator_classes:
    CompileResultCacheImpl._locator_classes = [BySourceText, *CompileResultCacheImpl._locator_classes]
