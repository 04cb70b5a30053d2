"""Content hashes of all tables of a root, and what of them depends on how a processor rounds."""

from pyspark.sql import functions as F
from pyspark.sql import types as T

from snapshots import is_close
from trackpools.core.contracts.conform import content_hash
from trackpools.tables import TABLES

UNTOLD = {
    "releases": "ids and clock times",
    "pool_metrics": "run keys and seconds",
}  # of these the rows are counted alone
# Columns that are made of factors. Sums of floats are rounded differently from processor to processor, and
# candidates that are equally good but for that change places.
ROUNDED = {
    **dict.fromkeys(("user_factors", "recording_factors", "fresh_factors", "user_factors_hot"), ("factors",)),
    **dict.fromkeys(
        ("pools", "pools_hot"), ("candidates", "reserve", "drops", "emitted", "shortfall", "audit")
    ),
    "source_lists": ("recordings", "scores"),
    "recording_facts": ("sketch",),
}


def tables_of(store):
    """Rows and content hash of every table that exists, with a hash of each column to see which differs.

    Returns:
        `{table: {rows, hash, columns: {column: hash}, sums: {column: float}}}`; sums are of factors alone.
    """
    found = {}
    for name, table in TABLES.items():
        if store.exists(name) and name in UNTOLD:
            found[name] = {"rows": store.read(name).count(), "hash": f"<{UNTOLD[name]}>"}
        elif store.exists(name):
            hashes = {f"hash {one.name}": _hash(one) for one in table.columns if one.name in table.hashed}
            sums = {"sum factors": _size()} if "factors" in table.hashed else {}
            more = [total.alias(of) for of, total in (hashes | sums).items()]
            row = content_hash(store.read(name), table, *more).first().asDict()
            found[name] = {"rows": row["rows"], "hash": row["hash"], "columns": _told(row, hashes)}
            found[name] |= {"sums": _told(row, sums)} if sums else {}
    return found


def _told(row, names):
    return {name.partition(" ")[2]: row[name] for name in names}


def _hash(column):
    # the entries of a map have no order of their own
    is_map = isinstance(column.dataType, T.MapType)
    one = F.array_sort(F.map_entries(column.name)) if is_map else F.col(column.name)
    return F.sum(F.xxhash64(one).cast("decimal(38,0)")).cast("string")


def _size():
    """Σ (idx + 1) · ‖factors‖²: another order of rows or another length is another number."""
    squares = F.aggregate("factors", F.lit(0.0), lambda total, x: total + x.cast("double") * x)
    return F.sum((F.col("idx") + 1) * squares)


def rounds_alike(before, now):
    """Whether two roots have the same factors to the last bit."""
    names = ("user_factors", "recording_factors")
    return all(before[name]["columns"]["factors"] == now[name]["columns"]["factors"] for name in names)


def are_close(before, now):
    """Whether the tables of two roots are equal but for columns that rounding changes."""
    return is_close(_without_bits(before), _without_bits(now))


def _without_bits(tables):
    made = {}
    for name, one in tables.items():
        exact = {of: told for of, told in one.get("columns", {}).items() if of not in ROUNDED.get(name, ())}
        made[name] = (
            {"rows": one["rows"], "columns": exact, "sums": one.get("sums")} if name in ROUNDED else one
        )
    return made
