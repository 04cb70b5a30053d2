"""Rows and hash of a table that changed in part: a content hash is a sum, so what went is taken away and what came is added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.contract import content_hash
from trackpools.shell.commits import Stats
from trackpools.shell.store import Store
from trackpools.shell.writing import require_none
from trackpools.tables import TABLES

GONE, CAME = ("update_preimage", "delete"), ("update_postimage", "insert")


@dataclass(frozen=True)
class Change:
    """A table before, and at a later version: what went and what came, as it is on disk; None where nothing did."""

    before: Stats
    version: int
    gone: DataFrame | None = None
    came: DataFrame | None = None


def after(
    changes: Sequence[Change], promises: Mapping[str, Mapping[str, Column]] | None = None
) -> list[Stats]:
    """Rows and hashes of the tables at their later versions, in one query.

    Args:
        promises: table → what breaks a promise → aggregate that counts it, asked of what came.

    Raises:
        ContractError: where one is broken.
    """
    signed = [
        (change, sign, frame)
        for change in changes
        for sign, frame in ((-1, change.gone), (1, change.came))
        if frame is not None
    ]
    parts = [
        _told(
            change.before.name, sign, frame, (promises or {}).get(change.before.name, {}) if sign > 0 else {}
        )
        for change, sign, frame in signed
    ]
    sums = {change.before.name: _split(change.before.hash) for change in changes}
    for row in reduce(DataFrame.unionByName, parts).collect() if parts else ():
        require_none(row["name"], row["broken"])
        (rows, total), (more, other) = sums[row["name"]], _split(row["hash"])
        sums[row["name"]] = rows + row["sign"] * more, total + row["sign"] * other
    return [
        Stats(name, change.version, rows, f"{rows}:{total}")
        for change, (name, (rows, total)) in zip(changes, sums.items(), strict=True)
    ]


def _told(name: str, sign: int, frame: DataFrame, promises: Mapping[str, Column]) -> DataFrame:
    broken = [part for what, count in promises.items() for part in (F.lit(what), count)]
    counts = (F.create_map(*broken) if broken else F.create_map()).cast("map<string,long>").alias("broken")
    return content_hash(frame, TABLES[name], counts).select(
        F.lit(name).alias("name"), F.lit(sign).alias("sign"), "hash", "broken"
    )


def _split(told: str) -> tuple[int, int]:
    rows, total = told.split(":")
    return int(rows), int(total)


def by_feed(store: Store, before: Stats, version: int) -> Change | None:
    """Of a table with a change feed, None where it has none."""
    if before.version == version:
        return Change(before, version)
    feed = store.changes(before.name, before.version, version)
    return (
        None
        if feed is None
        else Change(
            before, version, *(feed.where(F.col("_change_type").isin(*kinds)) for kinds in (GONE, CAME))
        )
    )
