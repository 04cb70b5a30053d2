"""Import Audioscrobbler 2005: play counts, artist names, and aliases.

An alias maps the id of a misspelt artist to the id of the artist with the right spelling.
"""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue_columns import array_of_one
from trackpools.datasets.file_reading import list_files, name_of, pick, split_lines

NAME = "audioscrobbler"


def read(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Read play counts, one row for each input line `user artist count`.

    Artists are imported as tracks, and misspelt artists are replaced by means of the aliases. The event id
    contains the artist as it was written, so that the counts of two spellings of one artist add up.

    Raises:
        InputError: if there is no user_artist_data file.
    """
    files = list_files(spark, path)
    counts = pick(files, r"user_artist_data.*\.txt(\.gz)?", "user_artist_data file", path)
    names = [file for file in files if name_of(file).startswith("artist_data")]
    aliases = [file for file in files if name_of(file).startswith("artist_alias")]
    raw = split_lines(spark, counts, NAME, columns=("user_id", "artist", "plays"), pattern=r"\s+")
    good, notes = F.col("artist"), []
    if aliases:
        # Aliases of aliases are not followed. A misspelt artist with several aliases gets the smallest id. Some
        # lines of the full data lack the id of the misspelt artist.
        alias = split_lines(spark, aliases, NAME, columns=("artist", "good"), pattern="\t").where(
            "NOT broken AND artist IS NOT NULL AND good IS NOT NULL"
        )
        raw = raw.join(alias.groupBy("artist").agg(F.min("good").alias("good")), on="artist", how="left")
        good = F.coalesce("good", "artist")
    else:
        notes.append("there is no artist_alias file, so misspelt artists stay separate")
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
        return Imported(plays, notes=(*notes, "there is no artist_data file, so artists have no names"))
    found = split_lines(spark, names, NAME, columns=("track_id", "title"), pattern="\t").where(
        r"NOT broken AND track_id RLIKE '^[0-9]+$'"
    )
    tracks = found.select(
        "track_id",
        F.trim("title").alias("title"),
        array_of_one(F.col("track_id")).alias("artist_ids"),
        array_of_one(F.trim("title")).alias("artist_names"),
    )
    return Imported(plays, tracks, notes=tuple(notes))
