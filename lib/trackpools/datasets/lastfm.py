"""Import Last.fm: timestamped plays of 1,000 users (two layouts), and artist counts of HetRec 2011."""

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.catalogue_columns import array_of_one, artist_ids, name_id
from trackpools.datasets.file_reading import first_text_line, list_files, name_of, pick, split_lines
from trackpools.errors import InputError

PLAY_FIELDS = ("user_id", "played_at", "artist_id", "artist", "track_mbid", "title")
TAGS_AN_ARTIST = 10  # most tags that an artist keeps
# country in the profiles → market. The Netherlands Antilles (AN) no longer exist, so their market is null.
COUNTRIES = {
    "Algeria": "DZ",
    "Antarctica": "AQ",
    "Argentina": "AR",
    "Armenia": "AM",
    "Australia": "AU",
    "Austria": "AT",
    "Belarus": "BY",
    "Belgium": "BE",
    "Bosnia and Herzegovina": "BA",
    "Brazil": "BR",
    "British Indian Ocean Territory": "IO",
    "Bulgaria": "BG",
    "Canada": "CA",
    "Chile": "CL",
    "China": "CN",
    "Colombia": "CO",
    "Congo, the Democratic Republic of the": "CD",
    "Cote D'Ivoire": "CI",
    "Croatia": "HR",
    "Czech Republic": "CZ",
    "Estonia": "EE",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Greece": "GR",
    "Hungary": "HU",
    "Iceland": "IS",
    "India": "IN",
    "Ireland": "IE",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Korea, Democratic People's Republic of": "KP",
    "Latvia": "LV",
    "Lithuania": "LT",
    "Macedonia": "MK",
    "Malta": "MT",
    "Mexico": "MX",
    "Morocco": "MA",
    "Netherlands": "NL",
    "New Zealand": "NZ",
    "Nicaragua": "NI",
    "Northern Mariana Islands": "MP",
    "Norway": "NO",
    "Peru": "PE",
    "Poland": "PL",
    "Portugal": "PT",
    "Romania": "RO",
    "Russian Federation": "RU",
    "Serbia": "RS",
    "Singapore": "SG",
    "Slovakia": "SK",
    "Slovenia": "SI",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "Thailand": "TH",
    "Trinidad and Tobago": "TT",
    "Tunisia": "TN",
    "Turkey": "TR",
    "United Kingdom": "GB",
    "United States": "US",
    "United States Minor Outlying Islands": "UM",
    "Venezuela": "VE",
    "Zimbabwe": "ZW",
}


def read_1k(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Read timestamped plays, one row for each line, and the profiles of users if the folder has them.

    The files may have a header line. The track is the MBID (MusicBrainz id) of the play, or an id from its
    artist and title if it has none, see `catalogue_columns.name_id`.

    Raises:
        InputError: if no *.tsv file starts with a line of six fields.
    """
    files = pick(list_files(spark, path), r".*\.(tsv|txt)(\.gz)?", "*.tsv file of plays", path)
    heads = {
        file: first_text_line(spark, file)
        for file in files
        if ".tsv" in name_of(file).lower() or len(files) == 1
    }
    plays = [file for file, head in heads.items() if len(head.split("\t")) == len(PLAY_FIELDS)]
    profiles = [file for file, head in heads.items() if head.startswith("#id\t")]
    if not plays:
        got = [f"{name_of(file)} starts with {head[:60]!r}" for file, head in heads.items()]
        raise InputError(
            f"no file in {path} is a log of plays; each line of a log must hold user, time, artist id, artist, "
            "track id and title, separated by tabs",
            got,
        )
    raw = split_lines(
        spark,
        plays,
        "lastfm-1k",
        columns=PLAY_FIELDS,
        pattern="\t",
        is_header=lambda line: line.rlike(r"\Auser(id)?\ttimestamp\t"),
    )
    artist, title = F.col("artist"), F.col("title")
    track = F.struct(
        title.alias("title"),
        artist_ids(F.col("artist_id"), artist).alias("artist_ids"),
        array_of_one(artist).alias("artist_names"),
    )
    rows = raw.select(
        "user_id",
        F.coalesce("track_mbid", name_id(artist, title)).alias("track_id"),
        "played_at",
        F.lit("play").alias("kind"),
        "row_text",
        "source",
        "broken",
        track.alias("track"),
    )
    return Imported(rows, users=_profiles(spark, profiles) if profiles else None)


def _profiles(spark: SparkSession, files: list[str]) -> DataFrame:
    """Read profiles, one row for each user: `user_id, market, explicit_policy`; market is null if unknown."""
    fields = ("user_id", "gender", "age", "country", "registered")
    found = split_lines(
        spark,
        files,
        "lastfm-1k",
        columns=fields,
        pattern="\t",
        is_header=lambda line: line.startswith("#id\t"),
    )
    countries = F.create_map(*(F.lit(word) for pair in COUNTRIES.items() for word in pair))
    market = F.try_element_at(countries, F.col("country"))
    return found.where("NOT broken AND user_id IS NOT NULL").select(
        "user_id", market.alias("market"), F.lit("allow").alias("explicit_policy")
    )


def read_2k(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Read play counts, one row for each input line `user artist count`; artists are imported as tracks.

    The catalogue has the names of the artists and their top tags, if the folder has files with them.

    Raises:
        InputError: if there is no user_artists.dat.
    """
    files = list_files(spark, path)
    counts = pick(files, r"user_artists\.dat", "user_artists.dat", path)
    columns = ("user_id", "track_id", "plays")
    raw = split_lines(
        spark,
        counts,
        "lastfm-2k",
        columns=columns,
        pattern="\t",
        is_header=lambda line: line == "userID\tartistID\tweight",
    )
    plays = raw.withColumn("kind", F.lit("count"))
    by_name = {name_of(file): file for file in files}
    if "artists.dat" not in by_name:
        return Imported(plays, notes=("there is no artists.dat, so artists have no names",))
    # Quotes have no meaning in these files.
    artists = spark.read.csv(
        by_name["artists.dat"],
        sep="\t",
        header=True,
        quote="",
        schema="track_id string, name string, url string, picture string",
    )
    facts = (
        F.col("name").alias("title"),
        array_of_one(F.col("track_id")).alias("artist_ids"),
        array_of_one(F.col("name")).alias("artist_names"),
    )
    tracks = artists.where("track_id IS NOT NULL").select("track_id", *facts)
    tagging = by_name.get("user_taggedartists.dat"), by_name.get("tags.dat")
    if tagging[0] is None or tagging[1] is None:
        return Imported(plays, tracks, notes=("there are no tag files, so artists have no tags",))
    return Imported(plays, tracks.join(_top_tags(spark, tagging[0], tagging[1]), on="track_id", how="left"))


def _top_tags(spark: SparkSession, assignments: str, names: str) -> DataFrame:
    """Compute `track_id, tags`, one row for each artist.

    An artist has at most ten tags, first those that most users gave; ties are ordered by name.
    """
    given = spark.read.csv(
        assignments,
        sep="\t",
        header=True,
        schema="user_id string, track_id string, tag_id string, day int, month int, year int",
    )
    # tags.dat is in Latin-1, unlike the other files.
    tags = spark.read.csv(
        names, sep="\t", header=True, quote="", encoding="ISO-8859-1", schema="tag_id string, tag string"
    )
    named = tags.select("tag_id", F.lower(F.trim("tag")).alias("tag")).where("tag <> ''")
    counted = (
        given.join(named, on="tag_id", how="inner")
        .groupBy("track_id", "tag")
        .agg(F.count_distinct("user_id").alias("users"))
    )
    ranked = counted.select(
        "track_id",
        "tag",
        F.row_number().over(Window.partitionBy("track_id").orderBy(F.desc("users"), "tag")).alias("rank"),
    )
    top = (
        ranked.where(F.col("rank") <= TAGS_AN_ARTIST)
        .groupBy("track_id")
        .agg(F.array_sort(F.collect_list(F.struct("rank", "tag"))).alias("ranked"))
    )
    return top.select("track_id", F.col("ranked.tag").alias("tags"))
