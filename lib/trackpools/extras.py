"""Packages that only an extra installs."""

from importlib import import_module
from typing import Any

from trackpools.errors import ConfigError


def library(name: str, without: str) -> Any:
    """The package.

    Args:
        without: what is said where it does not import; `{error}` in it becomes why.

    Raises:
        ConfigError: saying that.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(without.format(error=error)) from error
