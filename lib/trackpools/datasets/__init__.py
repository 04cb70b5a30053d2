"""Importers of public and own listening logs: a path becomes raw rows that `core.quarantine` judges.

Importing this package starts nothing; an importer's module is loaded when it is called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pyspark.sql import DataFrame, SparkSession

from trackpools.config import Config


@dataclass(frozen=True)
class Imported:
    """What an importer found; every frame is lazy.

    Attributes:
        plays: one row an input row, raw: see `core.quarantine`; a `track` struct in it becomes catalogue, of accepted rows only.
        tracks: columns of `tracks`, from a catalogue file; a track may stand more than once.
        users: columns of `users`.
        signals: columns of `signals`.
        notes: what was ignored or assumed, a sentence each.
    """

    plays: DataFrame | None
    tracks: DataFrame | None = None
    users: DataFrame | None = None
    signals: DataFrame | None = None
    notes: tuple[str, ...] = ()


Importer = Callable[[SparkSession, str, Config], Imported]


def _lazy(module: str, function: str = "read") -> Importer:
    def importer(spark: SparkSession, path: str, config: Config) -> Imported:
        found: Importer = getattr(import_module(f"trackpools.datasets.{module}"), function)
        return found(spark, path, config)

    return importer


IMPORTERS: dict[str, Importer] = {
    "events": _lazy("events"),
    "listenbrainz": _lazy("listenbrainz"),
    "lastfm-1k": _lazy("lastfm", "read_1k"),
    "lastfm-2k": _lazy("lastfm", "read_2k"),
    "audioscrobbler": _lazy("audioscrobbler"),
    "movielens": _lazy("movielens"),
    "amazon": _lazy("amazon"),
    "spotify-songs": _lazy("spotify_songs"),
    "tracks": _lazy("own_tables", "tracks"),
    "users": _lazy("own_tables", "users"),
    "signals": _lazy("own_tables", "signals"),
}
