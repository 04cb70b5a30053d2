"""Find input files, and read them in parallel as raw rows; broken lines are kept and marked as broken."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from trackpools.errors import InputError

BROKEN = "_trackpools_corrupt"  # column with the text of a broken line; we assume that no input has it
# part of an error text of Spark → our explanation and advice
READ_FAILURE_MESSAGES = {
    "CSV header does not conform": "the files have different header lines; import them one by one",
    "exceeds the maximum number of columns": "a line has more than 200,000 columns; check whether the separator is right",
    "FAILED_READ_FILE": "a file cannot be read to its end; check whether it is complete and of the format that its ending says",
}
MAX_CSV_COLUMNS = 200_000  # Spark's CSV parser stops at a line with more columns; its own default is 20,480


def first_line(error: BaseException) -> str:
    """Return the first line of a Spark error outside its stack trace, cut after 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("at ", "An error occurred"))]
    return (causes or lines or [type(error).__name__])[0][:300]


def read_failure(error: BaseException) -> InputError | None:
    """Return an `InputError` for an error of reading files, or None if its cause is not known."""
    advice = next((say for sign, say in READ_FAILURE_MESSAGES.items() if sign in str(error)), None)
    return None if advice is None else InputError(f"the input cannot be read: {advice}", [first_line(error)])


def list_files(spark: SparkSession, path: str) -> list[str]:
    """List every file at or below a path, sorted, on any file system that Spark reads.

    Hidden files (names that start with `.` or `_`) are left out.

    Raises:
        InputError: if the path does not exist, cannot be listed, or holds no file.
    """
    try:
        # Only names are read, because Spark prunes the contents from the scan.
        found = (
            spark.read.format("binaryFile")
            .option("recursiveFileLookup", "true")
            .load(path)
            .select("path")
            .collect()
        )
    except (PySparkException, Py4JJavaError) as error:
        raise InputError(
            f"there is no input at {path}; give the path of an existing file or folder that Spark can read",
            [first_line(error)],
        ) from error
    if not found:
        raise InputError(f"there are no files in {path}; give the path of a file, or of a folder with files")
    return sorted(row["path"] for row in found)


def unreadable_file(path: str, kind: str, error: Exception) -> InputError:
    """Build the error for a path that Spark cannot read in the format `kind`, with advice on what to do."""
    cure = (
        "its times are in nanoseconds, so write them in microseconds (pandas: coerce_timestamps='us')"
        if "NANOS" in str(error)
        else "check the file, or set ingest.format"
    )
    return InputError(f"{path} cannot be read as {kind}; {cure}", [first_line(error)])


def ignored_columns(theirs: Iterable[str], meant: Iterable[str]) -> tuple[str, ...]:
    """Return one note that names up to 20 unused columns of a file; no note if all columns were used.

    Args:
        theirs: all columns of the file.
        meant: the columns that were used.
    """
    extra = sorted(set(theirs) - set(meant))
    return (
        (f"ignored {len(extra)} extra column{'s' * (len(extra) != 1)}: {', '.join(extra[:20])}",)
        if extra
        else ()
    )


def quote_name(name: str) -> str:
    """Quote a column name for use as a reference, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"


def name_of(file: str) -> str:
    """Return the name of a file without its folder."""
    return PurePosixPath(file).name


def pick(files: Sequence[str], pattern: str, what: str, path: str) -> list[str]:
    """Return the files whose name matches a pattern, regardless of case.

    Args:
        files: paths of files.
        pattern: regular expression for the whole name.
        what: name of the files that are searched for, for the error message.
        path: the path that was searched, for the error message.

    Raises:
        InputError: if no name matches; the error lists the names of up to ten files.
    """
    chosen = [file for file in files if re.fullmatch(pattern, name_of(file), re.IGNORECASE)]
    if not chosen:
        names = sorted({name_of(file) for file in files})
        raise InputError(
            f"{path} has no {what}; the name of such a file must match the regular expression {pattern}",
            [f"found {name}" for name in names[:10]],
        )
    return chosen


def first_text_line(spark: SparkSession, file: str) -> str:
    """Return the first line of one file, without its byte order mark; empty for an empty file."""
    line = spark.read.text(file).first()
    return "" if line is None else (line[0] or "").removeprefix("\ufeff")


def source(importer: str) -> Column:
    """Return a column with the text `importer:file name`.

    It must be selected directly from the frame of a Spark reader, because only that frame knows its files.
    """
    return F.concat(F.lit(f"{importer}:"), F.col("_metadata.file_name"))


def split_lines(
    spark: SparkSession,
    files: Sequence[str],
    importer: str,
    *,
    columns: Sequence[str],
    pattern: str,
    is_header: Callable[[Column], Column] | None = None,
) -> DataFrame:
    """Read text files and split each line into string columns.

    This is for files without quoting: a quotation mark is a character like any other, and joins no fields.

    Args:
        spark: the session.
        files: files to read.
        importer: name of the importer, for the column `source`.
        columns: names of the fields.
        pattern: Java regular expression of the separator.
        is_header: returns whether a line is a header line, which is left out.

    Returns:
        One row for each line that is not blank: `columns` (strings, null if empty), `row_text`, `source`, and
        `broken` (whether the line has more or fewer fields than `columns`).
    """
    text = F.regexp_replace("value", r"\A\x{FEFF}|\r\z", "")
    lines = (
        spark.read.text(list(files))
        .select(text.alias("row_text"), source(importer).alias("source"))
        .where(F.trim("row_text") != "")
    )
    if is_header is not None:
        lines = lines.where(~is_header(F.col("row_text")))
    fields = F.split("row_text", pattern, -1)
    cut = lines.select("*", fields.alias("fields"))
    return cut.select(
        *(F.nullif(F.get("fields", F.lit(at)), F.lit("")).alias(name) for at, name in enumerate(columns)),
        "row_text",
        "source",
        (F.size("fields") != len(columns)).alias("broken"),
    )


def csv_header(spark: SparkSession, files: Sequence[str], separator: str) -> list[str]:
    """Return the column names of the first CSV file whose first line is not empty.

    Raises:
        InputError: if there is no header, or a name is empty or occurs twice, regardless of case.
    """
    file, line = next(
        ((file, line) for file in files if (line := first_text_line(spark, file))), (files[0], "")
    )
    names = next(csv.reader([line], delimiter=separator), [])
    twice = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    problems = [f"column {name!r} occurs more than once" for name in twice] + (
        ["a column has no name"] if names and not all(n.strip() for n in names) else []
    )
    if not names:
        problems = ["the first line is empty or missing"]
    if problems:
        raise InputError(
            f"{name_of(file)} has no usable header line; the first line must name every column once", problems
        )
    return names


def read_csv(
    spark: SparkSession, files: Sequence[str], importer: str, *, separator: str = ",", encoding: str = "UTF-8"
) -> tuple[DataFrame, list[str]]:
    """Read CSV files with a header.

    Every file must have the header that `csv_header` returns; Spark checks this while it reads. Quotation
    marks inside a quoted value must be doubled (RFC 4180). A line break always ends a row, even inside a
    quoted value. A row with more or fewer values than the header is broken.

    Returns:
        The rows, with columns `row` (a struct of strings), `row_text`, `source` and `broken`; and the names
        in the header.

    Raises:
        InputError: if `csv_header` refuses the header.
    """
    names = csv_header(spark, files, separator)
    schema = T.StructType([T.StructField(name, T.StringType()) for name in (*names, BROKEN)])
    frame = spark.read.csv(
        list(files),
        schema=schema,
        sep=separator,
        header=True,
        enforceSchema=False,
        encoding=encoding,
        escape='"',
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=BROKEN,
        maxColumns=MAX_CSV_COLUMNS,
    )
    row = F.struct(*(F.col(quote_name(name)) for name in names))
    text = F.coalesce(F.col(BROKEN), F.to_csv(row, {"sep": separator}))
    return frame.select(
        row.alias("row"),
        text.alias("row_text"),
        source(importer).alias("source"),
        F.col(BROKEN).isNotNull().alias("broken"),
    ), names
