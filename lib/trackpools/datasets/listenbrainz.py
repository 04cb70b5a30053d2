"""Import the public ListenBrainz Spark dump: Parquet files of listens, one folder for each dump."""

import re
from pathlib import PurePosixPath

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue_columns import array_of_one, artist_ids, name_id
from trackpools.datasets.events import check_types
from trackpools.datasets.file_reading import first_line, list_files, pick, source
from trackpools.errors import InputError

REQUIRED_COLUMNS = ("listened_at", "user_id", "artist_name", "recording_name", "recording_mbid")
OPTIONAL = {"created": "timestamp", "artist_credit_mbids": "array<string>", "release_mbid": "string"}


def read(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Read the listens of one dump file, one dump or a folder of dumps, one row for each listen.

    A dump may be full or incremental. The track is the recording's MBID (MusicBrainz id). If a listen has none,
    the track is an id from artist and title, see `catalogue_columns.name_id`.

    Raises:
        InputError: if there are no listens, or columns are missing or of another type.
    """
    files = pick(list_files(spark, path), r".*\.parquet", "Parquet files of listens", path)
    # Other tables (releases, tags) may be stored beside the dumps, but only the folders of dumps have "dump" in
    # their names.
    dumps = [file for file in files if re.search("dump", PurePosixPath(file).parent.name, re.IGNORECASE)]
    try:
        listens = spark.read.parquet(*(dumps or files))
    except (PySparkException, Py4JJavaError) as error:
        raise InputError(
            f"the Parquet files in {path} cannot be read together; give the path of one dump folder",
            [first_line(error)],
        ) from error
    missing = [f"column {name} is missing" for name in REQUIRED_COLUMNS if name not in listens.columns]
    if missing:
        has = ", ".join(listens.columns)
        raise InputError(
            f"{path} does not have the columns of ListenBrainz listens; its columns are: {has}. "
            "Give the path of a dump folder, or use the events importer",
            missing,
        )
    checked = {
        "played_at": "listened_at",
        "received_at": "created",
        "user_id": "user_id",
        "track_id": "recording_mbid",
        "artist": "artist_name",
        "title": "recording_name",
    }
    kinds = {f.name: f.dataType for f in listens.schema}
    check_types({ours: kinds[theirs] for ours, theirs in checked.items() if theirs in kinds}, checked)
    optional = {
        name: F.col(name) if name in kinds else F.lit(None).cast(kind) for name, kind in OPTIONAL.items()
    }
    artist, title = F.col("artist_name"), F.col("recording_name")
    mbids = F.when(F.size(optional["artist_credit_mbids"]) > 0, optional["artist_credit_mbids"])
    track = F.struct(
        title.alias("title"),
        F.coalesce(mbids, artist_ids(None, artist)).alias("artist_ids"),
        # ListenBrainz has one name for all artists of a recording together.
        array_of_one(artist).alias("artist_names"),
        optional["release_mbid"].alias("album_id"),
    )
    plays = listens.select(
        "user_id",
        F.coalesce("recording_mbid", name_id(artist, title)).alias("track_id"),
        F.col("listened_at").alias("played_at"),
        optional["created"].alias("received_at"),
        F.lit("play").alias("kind"),
        F.lit(False).alias("broken"),
        F.to_json(F.struct(*listens.columns), {"ignoreNullFields": "false"}).alias("row_text"),
        source("listenbrainz").alias("source"),
        track.alias("track"),
    )
    extra = len(dumps) and len(files) - len(dumps)
    return Imported(plays, notes=(f"left out {extra} Parquet files outside dump folders",) if extra else ())
