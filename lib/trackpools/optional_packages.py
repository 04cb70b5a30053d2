"""Import packages that are installed only with an extra of trackpools."""

from importlib import import_module
from types import ModuleType

from trackpools.errors import ConfigError


def import_optional(name: str, message: str) -> ModuleType:
    """Import and return a package.

    Args:
        name: the name of the package.
        message: the error message if it cannot be imported; `{error}` in it is replaced by the reason.

    Raises:
        ConfigError: with `message`, if the package cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(message.format(error=error)) from error
