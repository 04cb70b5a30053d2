"""Audioscrobbler 2005: `user artist count`, artist names, and an alias table from bad spellings to good ids."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue import one
from trackpools.datasets.files import list_files, name_of, pick, split_lines

NAME = "audioscrobbler"


def read(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Counts of a user and an artist; grain: one input line; the track is the artist that the spelling stands for.

    The event id keeps the original artist, so two spellings of one artist are two rows whose counts add up.

    Raises:
        InputError: where there is no user_artist_data file.
    """
    files = list_files(spark, path)
    counts = pick(files, r"user_artist_data.*\.txt(\.gz)?", "user_artist_data file", path)
    names = [file for file in files if name_of(file).startswith("artist_data")]
    aliases = [file for file in files if name_of(file).startswith("artist_alias")]
    raw = split_lines(spark, counts, NAME, columns=("user_id", "artist", "plays"), pattern=r"\s+")
    good, notes = F.col("artist"), []
    if aliases:
        # one hop, and the smallest id where a spelling stands twice; lines without a bad id exist in the full data
        alias = split_lines(spark, aliases, NAME, columns=("artist", "good"), pattern="\t").where(
            "NOT broken AND artist IS NOT NULL AND good IS NOT NULL"
        )
        raw = raw.join(alias.groupBy("artist").agg(F.min("good").alias("good")), on="artist", how="left")
        good = F.coalesce("good", "artist")
    else:
        notes.append("no artist_alias file: misspelt artists stay apart")
    event = F.concat_ws(":", F.lit(NAME), F.char_length("user_id").cast("string"), "user_id", "artist")
    plays = raw.select(
        F.when(F.col("user_id").isNotNull() & F.col("artist").isNotNull(), event).alias("event_id"),
        "user_id",
        good.alias("track_id"),
        "plays",
        F.lit("count").alias("kind"),
        "broken",
        "row_text",
        "source",
    )
    if not names:
        return Imported(plays, notes=(*notes, "no artist_data file: artists have no names"))
    found = split_lines(spark, names, NAME, columns=("track_id", "title"), pattern="\t").where(
        r"NOT broken AND track_id RLIKE '^[0-9]+$'"
    )
    tracks = found.select(
        "track_id",
        F.trim("title").alias("title"),
        one(F.col("track_id")).alias("artist_ids"),
        one(F.trim("title")).alias("artist_names"),
    )
    return Imported(plays, tracks, notes=tuple(notes))
