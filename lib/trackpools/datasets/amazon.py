"""Import ratings of Amazon reviews: lines `user item rating unixtime`, separated by blanks or commas."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.datasets import Imported
from trackpools.datasets.file_reading import first_text_line, list_files, name_of, pick, split_lines
from trackpools.errors import InputError

SEPARATORS = {",": r"\s*,\s*", " ": r"\s+"}


def read(spark: SparkSession, path: str, config: Config) -> Imported:  # noqa: ARG001 - every importer has one shape
    """Read ratings with times, one row for each input line; items are imported as tracks.

    Raises:
        InputError: if there is no ratings file, or a file does not start with a line of four fields.
    """
    files = pick(
        list_files(spark, path), r"(?!(readme|licen[cs]e)).*\.(txt|csv|dat)(\.gz)?", "ratings file", path
    )
    heads = {file: first_text_line(spark, file).strip() for file in files}
    commas = any("," in head for head in heads.values())
    pattern = SEPARATORS["," if commas else " "]
    wrong = [
        f"{name_of(file)} starts with {head[:60]!r}"
        for file, head in heads.items()
        if len(head.replace(",", " ").split()) != 4
    ]
    if wrong:
        raise InputError(
            f"files in {path} do not hold lines `user item rating unixtime`; give the path of the ratings file itself",
            wrong,
        )
    raw = split_lines(
        spark, files, "amazon", columns=("user_id", "track_id", "rating", "played_at"), pattern=pattern
    )
    return Imported(raw.withColumn("kind", F.lit("rating")))
