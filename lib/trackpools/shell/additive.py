"""Rows and hash of a table that changed in part: a content hash is a sum, so what went is taken away and what came is added."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.contract import content_hash
from trackpools.shell.commits import Stats
from trackpools.shell.store import Store
from trackpools.tables import TABLES

GONE, CAME = ("update_preimage", "delete"), ("update_postimage", "insert")


@dataclass(frozen=True)
class Change:
    """A table before, and at a later version: what went and what came, as it is on disk; None where nothing did."""

    before: Stats
    version: int
    gone: DataFrame | None = None
    came: DataFrame | None = None


def after(changes: Sequence[Change]) -> list[Stats]:
    """Rows and hashes of the tables at their later versions, in one query."""
    signed = ((change, sign, frame) for change in changes for sign, frame in ((-1, change.gone), (1, change.came)) if frame is not None)
    parts = [
        content_hash(frame, TABLES[change.before.name]).select(F.lit(change.before.name).alias("name"), F.lit(sign).alias("sign"), "hash")
        for change, sign, frame in signed
    ]
    sums = {change.before.name: _split(change.before.hash) for change in changes}
    for row in reduce(DataFrame.unionByName, parts).collect() if parts else ():
        (rows, total), (more, other) = sums[row["name"]], _split(row["hash"])
        sums[row["name"]] = rows + row["sign"] * more, total + row["sign"] * other
    return [Stats(name, change.version, rows, f"{rows}:{total}") for change, (name, (rows, total)) in zip(changes, sums.items(), strict=True)]


def _split(told: str) -> tuple[int, int]:
    rows, total = told.split(":")
    return int(rows), int(total)


def by_feed(store: Store, before: Stats, version: int) -> Change | None:
    """Of a table with a change feed, None where it has none."""
    if before.version == version:
        return Change(before, version)
    feed = store.changes(before.name, before.version, version)
    return None if feed is None else Change(before, version, *(feed.where(F.col("_change_type").isin(*kinds)) for kinds in (GONE, CAME)))
