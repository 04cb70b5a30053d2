"""What is known of a table at a version, and of the commit that made it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from trackpools.errors import InputError

WORK = "trackpools.work"  # property of a table that was declared anew: our metadata of that commit, which has no option for it


@dataclass(frozen=True)
class Stats:
    """A table at a version: name, Delta version, rows and content hash."""

    name: str
    version: int
    rows: int
    hash: str


@dataclass(frozen=True)
class Commit:
    """A commit of a table: version, our metadata ({} if none), seconds since 1970, and what Delta counted."""

    version: int
    metadata: Mapping[str, Any]
    at: float
    counted: Mapping[str, str]


def commit_of(name: str, history: DataFrame) -> Commit:
    """The first commit of a history.

    Raises:
        InputError: where it is empty.
    """
    row = history.select(
        "version", "userMetadata", "timestamp", "operationMetrics", "operationParameters"
    ).first()
    if row is None:
        raise InputError(f"the log of table {name} does not hold this version any more")
    told = row["userMetadata"] or json.loads(
        (row["operationParameters"] or {}).get("properties") or "{}"
    ).get(WORK, "{}")
    return Commit(
        int(row["version"]), json.loads(told), row["timestamp"].timestamp(), row["operationMetrics"] or {}
    )
