"""The store of a command that looks at what is there: it makes no place that is not."""

from trackpools.config import Config
from trackpools.errors import InputError
from trackpools.shell.lock import local_path
from trackpools.shell.session import spark_session
from trackpools.shell.store import Store, require_place


def existing_store(config: Config) -> Store:
    """The tables of a configuration; a local root must exist.

    Raises:
        ConfigError: where no place is named, or two.
        InputError: where there is no such folder.
    """
    require_place(config.store)
    folder = local_path(config.store.root)
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"there is no folder {folder}; is --root right? A first `trackpools import … --root {folder}` makes it"
        )
    return Store(spark_session(config.session), config.store)
