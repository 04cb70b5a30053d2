"""Importers of listening logs, public ones and those of your own service.

An importer turns a path into raw rows, which `core.log.quarantine` checks later. Its module is loaded only when
the importer is called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pyspark.sql import DataFrame, SparkSession

from trackpools.config import Config


@dataclass(frozen=True)
class Imported:
    """The lazy frames that an importer read; None for what its files do not contain.

    Attributes:
        plays: one raw row for each input row, with the columns of `core.log.quarantine`. If there is a column
            `track` (a struct), the structs of accepted rows are added to the catalogue.
        tracks: columns of `tables.TRACKS`, from a catalogue file; a track may occur more than once.
        users: columns of `tables.USERS`.
        signals: columns of `tables.SIGNALS`.
        notes: one sentence for each thing that was ignored or assumed.
    """

    plays: DataFrame | None
    tracks: DataFrame | None = None
    users: DataFrame | None = None
    signals: DataFrame | None = None
    notes: tuple[str, ...] = ()


Importer = Callable[[SparkSession, str, Config], Imported]


def _lazy(module: str, function: str = "read") -> Importer:
    """Return an importer that loads its module when it is called."""

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
    "tracks": _lazy("catalogue_tables", "tracks"),
    "users": _lazy("catalogue_tables", "users"),
    "signals": _lazy("catalogue_tables", "signals"),
}
