"""Update the row count and the hash of a table that changed in part, without reading all of it.

A content hash is a sum over rows, so hashes of removed rows are subtracted and those of added rows are added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.contracts.conform import content_hash
from trackpools.shell.pipeline.stage_writer import require_none
from trackpools.shell.store.commits import Stats
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES

REMOVED_ROW_TYPES, ADDED_ROW_TYPES = ("update_preimage", "delete"), ("update_postimage", "insert")


@dataclass(frozen=True)
class TableChange:
    """The difference between two versions of a table.

    Attributes:
        before: Rows and hash at the earlier version.
        version: The later version.
        removed: The removed rows, as they are stored; None if there are none.
        added: The added rows, as they are stored; None if there are none.
    """

    before: Stats
    version: int
    removed: DataFrame | None = None
    added: DataFrame | None = None


def after(
    changes: Sequence[TableChange], promises: Mapping[str, Mapping[str, Column]] | None = None
) -> list[Stats]:
    """Return rows and hashes of the tables at their later versions; all are computed in one query.

    Args:
        changes: One change for each table.
        promises: Table name → violation in words → aggregate that counts it in the added rows.

    Raises:
        ContractError: If the added rows break a promise.
    """
    signed = [
        (change, sign, frame)
        for change in changes
        for sign, frame in ((-1, change.removed), (1, change.added))
        if frame is not None
    ]
    parts = [
        _signed_hash(
            change.before.name, sign, frame, (promises or {}).get(change.before.name, {}) if sign > 0 else {}
        )
        for change, sign, frame in signed
    ]
    sums = {change.before.name: _rows_and_sum(change.before.hash) for change in changes}
    for row in reduce(DataFrame.unionByName, parts).collect() if parts else ():
        require_none(row["name"], row["broken"])
        (rows, total), (more, other) = sums[row["name"]], _rows_and_sum(row["hash"])
        sums[row["name"]] = rows + row["sign"] * more, total + row["sign"] * other
    return [
        Stats(name, change.version, rows, f"{rows}:{total}")
        for change, (name, (rows, total)) in zip(changes, sums.items(), strict=True)
    ]


def _signed_hash(name: str, sign: int, frame: DataFrame, promises: Mapping[str, Column]) -> DataFrame:
    """Return one row `name, sign, hash, broken` for rows of a table; `broken` maps violations to counts."""
    broken = [part for what, count in promises.items() for part in (F.lit(what), count)]
    counts = (F.create_map(*broken) if broken else F.create_map()).cast("map<string,long>").alias("broken")
    return content_hash(frame, TABLES[name], counts).select(
        F.lit(name).alias("name"), F.lit(sign).alias("sign"), "hash", "broken"
    )


def _rows_and_sum(told: str) -> tuple[int, int]:
    """Split a content hash `rows:sum` into its two numbers."""
    rows, total = told.split(":")
    return int(rows), int(total)


def by_feed(store: Store, before: Stats, version: int) -> TableChange | None:
    """Return the change of a table since `before`, from its change feed; None if it has no feed."""
    if before.version == version:
        return TableChange(before, version)
    feed = store.changes(before.name, before.version, version)
    return (
        None
        if feed is None
        else TableChange(
            before,
            version,
            *(
                feed.where(F.col("_change_type").isin(*kinds))
                for kinds in (REMOVED_ROW_TYPES, ADDED_ROW_TYPES)
            ),
        )
    )
