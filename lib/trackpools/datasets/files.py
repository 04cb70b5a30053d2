"""Find input files and read them as raw rows, in parallel and without losing a broken line."""

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

BROKEN = "_trackpools_corrupt"  # unlike any column of an input
NOT_WHOLE = {
    "CSV header does not conform": "the files do not have the same header line; import them one by one",
    "exceeds the maximum number of columns": "a line has over 200,000 columns; is the separator right?",
    "FAILED_READ_FILE": "a file cannot be read to its end; is it whole, and of the format that its ending says?",
}
MAX_CSV_COLUMNS = 200_000  # univocity stops the whole job at a line with more; its default is 20,480


def first_line(error: BaseException) -> str:
    """The sentence of a Spark error without its stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(("at ", "An error occurred"))]
    return (causes or lines or [type(error).__name__])[0][:300]


def not_whole(error: BaseException) -> InputError | None:
    """What to say of an error that came while files were read, where what is wrong with them is known."""
    advice = next((say for sign, say in NOT_WHOLE.items() if sign in str(error)), None)
    return None if advice is None else InputError(f"the input cannot be read: {advice}", [first_line(error)])


def list_files(spark: SparkSession, path: str) -> list[str]:
    """Every file at or below a path, sorted, on any file system that Spark reads; hidden files (`.` and `_`) are left out.

    Raises:
        InputError: where the path does not exist, cannot be listed, or holds no file.
    """
    try:
        # only names are read: the bytes are pruned from the scan
        found = (
            spark.read.format("binaryFile")
            .option("recursiveFileLookup", "true")
            .load(path)
            .select("path")
            .collect()
        )
    except (PySparkException, Py4JJavaError) as error:
        raise InputError(
            f"no input at {path}; give an existing file or folder that Spark can read", [first_line(error)]
        ) from error
    if not found:
        raise InputError(f"no files in {path}; give a file, or a folder that holds some")
    return sorted(row["path"] for row in found)


def unreadable(path: str, kind: str, error: Exception) -> InputError:
    """What to say of a file that Spark cannot read as a format, with the cure where one is known."""
    cure = (
        "write its times in microseconds (pandas: coerce_timestamps='us')"
        if "NANOS" in str(error)
        else "check the file, or set ingest.format"
    )
    return InputError(f"{path} cannot be read as {kind}; {cure}", [first_line(error)])


def ignored(theirs: Iterable[str], meant: Iterable[str]) -> tuple[str, ...]:
    """A note on the columns of a file that nothing was made of; none where there are none."""
    extra = sorted(set(theirs) - set(meant))
    return (
        (f"ignored {len(extra)} extra column{'s' * (len(extra) != 1)}: {', '.join(extra[:20])}",)
        if extra
        else ()
    )


def quoted(name: str) -> str:
    """A column name as a reference, whatever characters it has."""
    return "`" + name.replace("`", "``") + "`"


def name_of(file: str) -> str:
    return PurePosixPath(file).name


def pick(files: Sequence[str], pattern: str, what: str, path: str) -> list[str]:
    """The files whose name matches.

    Raises:
        InputError: where none does, with the names that are there.
    """
    chosen = [file for file in files if re.fullmatch(pattern, name_of(file), re.IGNORECASE)]
    if not chosen:
        names = sorted({name_of(file) for file in files})
        raise InputError(
            f"no {what} in {path}; looked for a name like {pattern}", [f"found {name}" for name in names[:10]]
        )
    return chosen


def first_text_line(spark: SparkSession, file: str) -> str:
    """The first line of one file, without its byte order mark; empty for an empty file."""
    line = spark.read.text(file).first()
    return "" if line is None else (line[0] or "").removeprefix("\ufeff")


def source(importer: str) -> Column:
    """`importer:file name` of the row; must be selected right from the reader."""
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
    """Lines split into string columns; a line with another number of fields is `broken`.

    Grain: one line that is not blank. For layouts without quotes, so that a stray quote cannot swallow a field. Columns: `columns`, row_text, source, broken.

    Args:
        spark: the session.
        files: what to read.
        importer: first half of `source`.
        columns: names of the fields.
        pattern: Java regular expression of the separator.
        is_header: a rule on the line; header lines are left out.
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
    """Column names of the first CSV file that is not empty.

    Raises:
        InputError: where there is no header, or a name is empty or stands twice.
    """
    file, line = next(
        ((file, line) for file in files if (line := first_text_line(spark, file))), (files[0], "")
    )
    names = next(csv.reader([line], delimiter=separator), [])
    twice = sorted({name for name in names if [other.lower() for other in names].count(name.lower()) > 1})
    problems = [f"column {name!r} stands more than once" for name in twice] + (
        ["a column has no name"] if names and not all(n.strip() for n in names) else []
    )
    if not names:
        problems = ["the file is empty"]
    if problems:
        raise InputError(
            f"{name_of(file)} has no usable header line; the first line must name every column once", problems
        )
    return names


def read_csv(
    spark: SparkSession, files: Sequence[str], importer: str, *, separator: str = ",", encoding: str = "UTF-8"
) -> tuple[DataFrame, list[str]]:
    """CSV with a header; columns `row` (a struct of strings), row_text, source, broken; and the header's names.

    Every file must have the first file's header: Spark checks it while reading. Quotes are doubled inside quotes (RFC 4180);
    a quoted line break makes a broken line.
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
    row = F.struct(*(F.col(quoted(name)) for name in names))
    text = F.coalesce(F.col(BROKEN), F.to_csv(row, {"sep": separator}))
    return frame.select(
        row.alias("row"),
        text.alias("row_text"),
        source(importer).alias("source"),
        F.col(BROKEN).isNotNull().alias("broken"),
    ), names
