"""The 30,000 Spotify songs: one row a playlist and track; playlists stand in for users."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue import artist_ids, one, year_of
from trackpools.datasets.events import check_types
from trackpools.datasets.files import list_files, pick, source
from trackpools.errors import InputError

NEEDED = (
    "track_id",
    "track_name",
    "track_artist",
    "track_popularity",
    "track_album_id",
    "track_album_release_date",
    "playlist_id",
    "playlist_genre",
    "playlist_subgenre",
    "energy",
    "tempo",
    "duration_ms",
)


def read(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Playlists as users with one count a track, and the catalogue; grain: one input row.

    A track stands once for each sub-genre of a playlist; the repeats fall out as duplicates.

    Raises:
        InputError: where there is no Parquet file, or it lacks columns.
    """
    songs = spark.read.parquet(*pick(list_files(spark, path), r".*\.parquet", "Parquet file of songs", path))
    missing = [f"column {name} is missing" for name in NEEDED if name not in songs.columns]
    if missing:
        raise InputError(
            f"{path} is not the spotify_songs table; it has columns {', '.join(songs.columns)}", missing
        )
    kinds = {f.name: f.dataType for f in songs.schema}
    check_types(
        {"user_id": kinds["playlist_id"], "track_id": kinds["track_id"]},
        {"user_id": "playlist_id", "track_id": "track_id"},
    )
    plays = songs.select(
        F.col("playlist_id").alias("user_id"),
        "track_id",
        F.lit(1).alias("plays"),
        F.lit("count").alias("kind"),
        F.lit(False).alias("broken"),
        F.to_json(F.struct(*songs.columns), {"ignoreNullFields": "false"}).alias("row_text"),
        source("spotify-songs").alias("source"),
    )
    return Imported(plays, _tracks(songs), notes=("playlists stand in for users; there are no times",))


def _tracks(songs: DataFrame) -> DataFrame:
    artist = F.col("track_artist")
    facts = F.struct(
        F.col("track_name").alias("title"),
        artist_ids(None, artist).alias("artist_ids"),
        one(artist).alias("artist_names"),
        F.col("track_album_id").alias("album_id"),
        # of this album: the catalogue has no first release
        year_of(F.col("track_album_release_date")).alias("original_year"),
        F.round("duration_ms").try_cast("long").alias("duration_ms"),
        F.col("tempo").try_cast("float").alias("tempo"),
        F.col("energy").try_cast("float").alias("energy"),
        (F.col("track_popularity") / 100).try_cast("float").alias("popularity"),
    )
    tags = F.array_sort(
        F.array_distinct(
            F.flatten(
                F.collect_set(
                    F.array_compact(F.array(F.lower("playlist_genre"), F.lower("playlist_subgenre")))
                )
            )
        )
    )
    grouped = (
        songs.where("track_id IS NOT NULL")
        .groupBy("track_id")
        .agg(F.min(facts).alias("facts"), tags.alias("tags"))
    )
    return grouped.select("track_id", "facts.*", "tags")
