"""Import MovieLens: `ratings.csv` and `movies.csv`, or the older `::` files ending in `.dat`."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.file_reading import list_files, name_of, pick, read_csv, split_lines
from trackpools.errors import InputError

RATINGS = {"userId": "user_id", "movieId": "track_id", "rating": "rating", "timestamp": "played_at"}
MOVIES = ("movieId", "title", "genres")


def read(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Read ratings with times, one row for each rating; films are imported as tracks, and genres as tags.

    Raises:
        InputError: if there is no ratings file, or it lacks columns.
    """
    files = list_files(spark, path)
    ratings = pick(files, r"ratings\.(csv|dat)", "ratings.csv or ratings.dat", path)
    ratings = [file for file in ratings if file.endswith(".csv")] or ratings
    movies = [file for file in files if name_of(file) in ("movies.csv", "movies.dat")]
    movies = [file for file in movies if file.endswith(ratings[0][-4:])]
    if ratings[0].endswith(".dat"):
        raw = split_lines(spark, ratings, "movielens", columns=tuple(RATINGS), pattern="::")
    else:
        raw, names = read_csv(spark, ratings, "movielens")
        missing = [f"column {name} is missing" for name in RATINGS if name not in names]
        if missing:
            raise InputError(
                f"ratings.csv in {path} does not have the columns of MovieLens; its columns are: {', '.join(names)}. "
                "Use the events importer for another layout",
                missing,
            )
        raw = raw.select("row.*", "row_text", "source", "broken")
    plays = raw.select(
        *(F.col(theirs).alias(ours) for theirs, ours in RATINGS.items()),
        F.lit("rating").alias("kind"),
        "row_text",
        "source",
        "broken",
    )
    if not movies:
        return Imported(plays, notes=("there is no movies file, so films have no titles",))
    return Imported(plays, _tracks(spark, movies))


def _tracks(spark: SparkSession, movies: list[str]) -> DataFrame:
    if movies[0].endswith(".dat"):
        # The .dat editions are in Latin-1, unlike the CSV editions.
        schema = ", ".join(f"{name} string" for name in MOVIES)
        found = spark.read.csv(movies, schema=schema, sep="::", encoding="ISO-8859-1", quote="")
    else:
        found = read_csv(spark, movies, "movielens")[0].where("NOT broken").select("row.*")
    genres = F.filter(F.split(F.lower("genres"), r"\|"), lambda genre: ~genre.isin("", "(no genres listed)"))
    year = F.nullif(F.regexp_extract("title", r"\((\d{4})\)\s*$", 1), F.lit("")).try_cast("int")
    return found.where("movieId IS NOT NULL").select(
        F.col("movieId").alias("track_id"), "title", year.alias("original_year"), genres.alias("tags")
    )
