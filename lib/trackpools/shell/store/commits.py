"""The types `Stats` (rows and hash of a table version) and `Commit`, and a reader of commits."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from trackpools.errors import InputError

# Table property that holds our metadata if a commit has no option for it, as when a table is declared anew.
WORK = "trackpools.work"


@dataclass(frozen=True)
class Stats:
    """Statistics of one table version.

    Attributes:
        name: name of the table.
        version: Delta version.
        rows: number of rows.
        hash: content hash of the rows, as `conform.content_hash` computes it.
    """

    name: str
    version: int
    rows: int
    hash: str


@dataclass(frozen=True)
class Commit:
    """One commit of a Delta table.

    Attributes:
        version: Delta version that the commit made.
        metadata: the metadata that trackpools recorded; {} if there is none.
        at: time of the commit, in seconds since 1970.
        counted: the operation metrics that Delta counted, by name.
        operation: name of the operation, such as MERGE. It is empty if the commit names none; every commit
            that Delta writes names one, so an empty name means that the commit's file was emptied.
    """

    version: int
    metadata: Mapping[str, Any]
    at: float
    counted: Mapping[str, str]
    operation: str


def commit_of(name: str, history: DataFrame) -> Commit:
    """Return the first commit in a history.

    Args:
        name: name of the table, for the error message.
        history: rows of Delta's DESCRIBE HISTORY, latest first.

    Raises:
        InputError: if the history is empty.
    """
    row = history.select(
        "version", "userMetadata", "timestamp", "operationMetrics", "operationParameters", "operation"
    ).first()
    if row is None:
        raise InputError(f"the Delta log of table {name} no longer has an entry for the requested version")
    told = row["userMetadata"] or json.loads(
        (row["operationParameters"] or {}).get("properties") or "{}"
    ).get(WORK, "{}")
    return Commit(
        int(row["version"]),
        json.loads(told),
        row["timestamp"].timestamp(),
        row["operationMetrics"] or {},
        row["operation"] or "",
    )
