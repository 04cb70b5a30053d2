"""A replacement for `numba.njit` that stores compiled functions (kernels) on disk by source text.

Each version of the source is compiled only once on each machine. By default, Numba stores machine code in a
folder beside the source, or in a cache folder whose name depends on the path of the source. But the path of
the code (the zip of `--py-files`, or an unpacked environment) is another one in every Spark application. So
every executor would compile all kernels again, which takes a minute. Also, by default Numba watches only the
file of the kernel itself. A kernel that inlines a kernel of another module would not be compiled again when
that other module changes.
"""

import functools
import hashlib
import importlib.resources
import tempfile
from collections.abc import Callable
from typing import TypeVar

import numba
from numba import config
from numba.core.caching import _CacheLocator

from trackpools.paths import make_private, python_files, scratch, user_cache

Kernel = TypeVar("Kernel", bound=Callable[..., object])
# Numba asks these classes, in this order, in which folder to store a function. Ours is the first. Numba's own
# classes follow, because setting this list replaces Numba's default list.
LOCATORS = (
    f"{__name__}.SourceTextLocator",
    *(
        f"numba.core.caching.{own}CacheLocator"
        for own in ("UserProvided", "InTree", "UserWide", "IPython", "Zip")
    ),
)


@functools.lru_cache(maxsize=1)
def _digest() -> str:
    """Return the first 16 hex digits of the SHA-256 of all sources of `core`.

    The digest covers all sources, because kernels inline kernels and constants of other modules.
    """
    digest = hashlib.sha256()
    for _, source in python_files(importlib.resources.files("trackpools.core")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=1)
def kernel_cache() -> str | None:
    """Return the folder for compiled kernels, and create it if it is missing.

    The folder is `kernels/<digest of the sources>` below `paths.user_cache`. If that cannot be used, for
    example because an executor has no home, it is below `paths.scratch`, in the folder for temporary files.
    Numba executes the code in this folder. Therefore the folder above `kernels` must be private; see
    `paths.make_private`.

    Returns:
        The path, or None if neither folder can be used.
    """
    for find in (user_cache, scratch):
        try:
            folder = make_private(find()) / "kernels" / _digest()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, RuntimeError):
            continue
        return str(folder)
    return None


class SourceTextLocator(_CacheLocator):  # type: ignore[misc]  # Numba has no types
    """The folder in which Numba stores a kernel of trackpools, unless NUMBA_CACHE_DIR names another.

    Numba calls these methods. The stored code is out of date if `get_source_stamp` returns another value. The
    disambiguator is a part of the file name, so that functions of the same name have different files.
    """

    def __init__(self, kernel: Callable[..., object], folder: str) -> None:
        self._kernel, self._folder = kernel, folder

    @classmethod
    def from_function(cls, py_func: Callable[..., object], _py_file: str) -> "SourceTextLocator | None":
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


def njit(**options: object) -> Callable[[Kernel], Kernel]:
    """Return `numba.njit` with these options, storing machine code where `SourceTextLocator` says.

    If the environment variable NUMBA_CACHE_LOCATOR_CLASSES is set, its list of classes decides instead. Numba
    chooses the folder while it decorates a function. So Numba's list of locators is changed only for that
    moment, and functions of other packages are stored where they would be without trackpools.

    For type checkers, the compiled kernel has the signature of the decorated function.

    Args:
        options: the options of `numba.njit`; machine code is stored only with `cache=True`.
    """

    def decorate(kernel: Kernel) -> Kernel:
        before = config.CACHE_LOCATOR_CLASSES
        config.CACHE_LOCATOR_CLASSES = before or ",".join(LOCATORS)
        try:
            return numba.njit(**options)(kernel)  # type: ignore[no-any-return]  # Numba has no types
        finally:
            config.CACHE_LOCATOR_CLASSES = before

    return decorate
