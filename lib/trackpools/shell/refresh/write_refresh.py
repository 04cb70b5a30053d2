"""Write the pools and factors of a refresh, and build the release that pins them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.contracts.table_checks import pool_promises
from trackpools.schema import Table
from trackpools.shell.arrays.written_arrays import write_arrays
from trackpools.shell.refresh import incremental_hash
from trackpools.shell.refresh.incremental_hash import TableChange
from trackpools.shell.refresh.refresh_plan import UNPINNED, Refresh
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release, new_release_id, read_pinned
from trackpools.shell.store.commits import Stats


def write_pools(r: Refresh, pools: DataFrame, factors: DataFrame, users: DataFrame) -> list[Stats]:
    """Write the new pools and factors, and move the overlay's pools of some buckets into `pools`.

    In the buckets whose turn it is, `pools` is rewritten with all pools in force, and the overlay loses its
    rows. New pools of other buckets, and all new factors, go into the overlays.

    Args:
        r: The refresh.
        pools: New pools.
        factors: New user factors.
        users: Frame with the column `user_idx` of the refreshed users.

    Returns:
        Rows and hashes of the three tables after the write.

    Raises:
        ContractError: If the pools, as they were written, break a promise.
    """
    r.flow.progress("write: write the buckets that are due, and the overlay")
    number = F.lit(r.number)
    own, mine = F.col("bucket").isin(r.turn), F.col("refresh") == number
    folded = (
        read_pinned(r.flow.store, r.base, t.POOLS.name)
        .where(own)
        .join(F.broadcast(users), "user_idx", "left_anti")
        .unionByName(pools.where(own))
    )
    parts = (
        (t.POOLS, folded.repartition("bucket"), own, own),
        (t.POOLS_HOT, pools.where(~own).withColumn("refresh", number).repartition("bucket"), own, mine),
        (t.USER_FACTORS_HOT, factors.withColumn("refresh", number), None, mine),
    )
    promises = dict.fromkeys((t.POOLS.name, t.POOLS_HOT.name), pool_promises(r.flow.config.pools.k))

    def put(part: tuple[Table, DataFrame, Column | None, Column]) -> tuple[TableChange, list[Stats]]:
        change = _replaced(r, *part)
        return change, incremental_hash.after([change], promises)

    with ThreadPoolExecutor(
        len(parts)
    ) as threads:  # a table that is written early is read back while the others are still being written
        told = list(threads.map(put, parts))
    new = [r.flow.store.commit(change.before.name) for change, _ in told if change.added is not None]
    r.measured["bytes_written"] = sum(float(commit.counted.get("numOutputBytes", 0)) for commit in new)
    return [one for _, stats in told for one in stats]


def _replaced(r: Refresh, table: Table, rows: DataFrame, gone: Column | None, came: Column) -> TableChange:
    """Replace rows of a table and return the change.

    Args:
        r: The refresh.
        table: The table to write.
        rows: The new rows.
        gone: Condition on rows of the old version that are removed; None if none are removed.
        came: Condition on rows of the new version that were added.
    """
    store, name = r.flow.store, table.name
    before = store.commit(name).version
    was = next((one for one in r.base.tables if one.name == name), Stats(name, before, 0, "0:0"))
    hot = table in t.OVERLAYS.values()
    store.replace_buckets(
        table, rows, r.turn if table.partitioned_by else (), r.commit_metadata, r.number if hot else None
    )
    commit = store.commit(name)
    r.versions[name] = commit.version
    if commit.version == before:
        return TableChange(was, before)
    lost = store.read(name, before).where(gone) if gone is not None and was.rows else None
    return TableChange(was, commit.version, lost, store.read(name, commit.version).where(came))


def input_changes(r: Refresh, versions: Mapping[str, int]) -> list[Stats]:
    """Return rows and hashes of the input tables whose version in `versions` differs from the pinned one."""
    store, tables = r.flow.store, {table.name: table for table in r.base.tables}
    folded = incremental_hash.by_feed(
        store, replace(tables[t.INTERACTIONS.name], version=r.folded), versions[t.INTERACTIONS.name]
    )
    changes = [] if folded is None else [folded]
    told = UNPINNED | {change.before.name for change in changes}
    other = {
        name: version
        for name, version in versions.items()
        if name not in told and (name not in tables or tables[name].version != version)
    }
    return [*incremental_hash.after(changes), *store.stats_of(other)]


def next_release(r: Refresh, moved: Sequence[Stats]) -> Release:
    """Build the next release: the tables that changed (`moved`), and all others as the base pins them."""
    base, flow, now = r.base, r.flow, datetime.now(UTC)
    tables = {table.name: table for table in (*base.tables, *moved)}
    return Release(
        seq=releases.releases(flow.store)[0].seq + 1,
        release_id=new_release_id(now, r.run_key),
        run_key=r.run_key,
        tables=tuple(tables.values()),
        model_version=base.model_version,
        mlflow_run_id=flow.tracker.run_id,
        dictionary=base.dictionary,
        as_of=flow.moment.as_of,
        created_at=now,
        valid_until=now + timedelta(days=flow.config.pools.valid_days),
        arrays=write_arrays(flow.store, tables.values(), flow.config.topk),
    )
