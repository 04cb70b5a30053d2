"""Open the store for a command that needs existing tables; no missing folder is created."""

from trackpools.config import Config
from trackpools.errors import InputError
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.store.store import Store, require_place


def existing_store(config: Config) -> Store:
    """Open the store of a configuration; a local root folder must exist already.

    Raises:
        ConfigError: if the configuration names no place for the tables, or two.
        InputError: if the local root folder does not exist.
    """
    require_place(config.store)
    folder = local_path(config.store.root)
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"the folder {folder} does not exist; check --root, or create it with a first `trackpools import … --root {folder}`"
        )
    return Store(spark_session(config.session), config.store)
