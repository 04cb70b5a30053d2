"""Rows and hash of a table that changed in part: a content hash is a sum, so what went is taken away and what came is added."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.contract import content_hash
from trackpools.shell.commits import Stats
from trackpools.shell.store import Store
from trackpools.tables import TABLES

GONE, CAME = ("update_preimage", "delete"), ("update_postimage", "insert")


def after(before: Stats, version: int, gone: Sequence[DataFrame], came: Sequence[DataFrame]) -> Stats:
    """Of a version whose rows are those of `before`, less `gone` and with `came`, each as it is on disk."""
    rows, total = _split(before.hash)
    parts = [content_hash(frame, TABLES[before.name]).select(F.lit(sign).alias("sign"), "hash") for sign, frames in ((-1, gone), (1, came)) for frame in frames]
    for row in reduce(DataFrame.unionByName, parts).collect():
        more, sum_ = _split(row["hash"])
        rows, total = rows + row["sign"] * more, total + row["sign"] * sum_
    return Stats(before.name, version, rows, f"{rows}:{total}")


def _split(told: str) -> tuple[int, int]:
    rows, total = told.split(":")
    return int(rows), int(total)


def by_feed(store: Store, before: Stats, version: int) -> Stats:
    """Of a table with a change feed; scanned whole where it has none."""
    feed = store.changes(before.name, before.version, version)
    if feed is None:
        return store.stats(before.name, version)
    gone, came = (feed.where(F.col("_change_type").isin(*kinds)) for kinds in (GONE, CAME))
    return after(before, version, [gone], [came])
