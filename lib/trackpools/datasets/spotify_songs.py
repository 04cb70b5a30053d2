"""Import the table `spotify_songs` of 30,000 Spotify songs, with playlists as users."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue_columns import array_of_one, artist_ids, year_of
from trackpools.datasets.events import check_types
from trackpools.datasets.file_reading import list_files, pick, source
from trackpools.errors import InputError

REQUIRED_COLUMNS = (
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
    """Read the catalogue, and the playlists as if they were users who played each of their tracks once.

    There is one row of plays for each input row. The input has one row for each playlist, track and
    sub-genre; the import drops repeated plays later as duplicates.

    Raises:
        InputError: if the path holds no Parquet file, a column is missing, or ids are of a wrong type.
    """
    songs = spark.read.parquet(*pick(list_files(spark, path), r".*\.parquet", "Parquet file of songs", path))
    missing = [f"column {name} is missing" for name in REQUIRED_COLUMNS if name not in songs.columns]
    if missing:
        raise InputError(
            f"{path} does not have the columns of the spotify_songs table; its columns are: {', '.join(songs.columns)}. "
            "Give the path of that table, or use the events importer for another layout",
            missing,
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
    return Imported(
        plays, _tracks(songs), notes=("playlists are imported as users, and plays have no times",)
    )


def _tracks(songs: DataFrame) -> DataFrame:
    artist = F.col("track_artist")
    facts = F.struct(
        F.col("track_name").alias("title"),
        artist_ids(None, artist).alias("artist_ids"),
        array_of_one(artist).alias("artist_names"),
        F.col("track_album_id").alias("album_id"),
        # This is the year of the album, because the data does not say when the song was first released.
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
