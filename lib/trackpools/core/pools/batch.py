"""Make the pools of many users as a lazy Spark frame: one row for each user.

Users, their histories and their vectors are brought together by block. The task of a block opens the arrays of
the release and calls `make_pools`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from trackpools.config import Config
from trackpools.core.arrays.array_types import BoolArray, Int32Array, Int64Array
from trackpools.core.arrays.packing import BlockAssignment, UserRows, binaries, pack_rows, unpack_values
from trackpools.core.pools.audit import audit_lists, is_audited
from trackpools.core.pools.build import Picks, Pools
from trackpools.core.pools.make_pools import make_pools
from trackpools.core.proposals.block_users import BlockUsers, packed_history, people
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.proposals.propose import propose_to_block
from trackpools.core.proposals.release_arrays import OpenArrays, ReleaseArrays
from trackpools.core.rules import eligibility
from trackpools.core.sources import active_sources
from trackpools.core.sources.lookup_arrays import NOT_ASKED, Proposals
from trackpools.core.sources.user_block import day_number
from trackpools.core.topk.exact import Ragged
from trackpools.tables import POOLS

POOL_COLUMNS = (
    "bucket",
    "user_idx",
    "candidates",
    "reserve",
    "drops",
    "emitted",
    "shortfall",
    "profile",
    "audit",
)
POOL_ROW = T.StructType([POOLS.schema[name] for name in POOL_COLUMNS])
PROPOSAL_ROW = (
    T.StructType()
    .add("user_idx", T.IntegerType())
    .add("source", T.ByteType())
    .add("recordings", T.BinaryType())
    .add("scores", T.BinaryType())
    .add("masked", T.IntegerType())
    .add("lot_size", T.IntegerType())
)
# columns of packed proposals, one value for each user and source; `recordings` and `scores` are all lists one
# after another, and `bytes` is the size of each list in `recordings`
PROPOSED = {
    "user_idx": np.int32,
    "source": np.int8,
    "masked": np.int32,
    "lot_size": np.int32,
    "bytes": np.int32,
    "recordings": bytes,
    "scores": bytes,
}
# a subset of users is split into blocks of at least so many users, and into about so many blocks
MIN_BLOCK, SUBSET_BLOCKS = 16, 32


def pools(inputs: PoolInputs, model_version: str, proposed: DataFrame | None = None) -> DataFrame:
    """Make one row for each user, as in `tables.POOLS`.

    A user without candidates gets an empty pool and its shortfall.

    Args:
        inputs: the users to make pools for.
        model_version: the model version of the users' factors.
        proposed: the result of `candidates`, if the sources need not be asked again.
    """
    bucket = bucket_of(inputs.config.pools.buckets).alias("bucket")
    sampled = is_audited(inputs.config.pools.audit_share).alias("sampled")
    offered = _own_frames(inputs) if proposed is None else proposed
    task = _Task.of(inputs, ask=proposed is None)
    rows = _by_block(inputs, offered, (bucket, sampled, F.col("profile")), task.pools, POOL_ROW)
    valid_until = inputs.as_of + timedelta(days=inputs.config.pools.valid_days)
    return rows.withColumns(
        {
            "as_of": F.lit(inputs.as_of),
            "valid_until": F.lit(valid_until),
            "model_version": F.lit(model_version),
        }
    )


def candidates(inputs: PoolInputs) -> DataFrame:
    """Return what the active sources propose, one row for each user and source; see the package `sources`."""
    task, own = _Task.of(inputs, ask=True), _own_frames(inputs)
    found = _by_block(inputs, None, (), task.candidates, PROPOSAL_ROW)
    return found if own is None else found.unionByName(own)


def bucket_of(buckets: int) -> Column:
    """Return the partition of the table `pools` that a `user_idx` belongs to, as an int column."""
    return F.pmod(F.xxhash64("user_idx"), F.lit(buckets)).cast("int")


def _blocks(inputs: PoolInputs) -> BlockAssignment:
    """Return the blocks; a subset of users is split into so many that tasks end at about the same time."""
    size, some = inputs.config.pools.user_block, inputs.subset_size
    if some is not None:
        size = max(MIN_BLOCK, min(size, some // SUBSET_BLOCKS))
    return BlockAssignment(size, some)


def _own_frames(inputs: PoolInputs) -> DataFrame | None:
    """Return what those sources propose that have a frame of their own; None if there is no such source."""
    frames = [
        source.candidates(inputs, getattr(inputs.config.sources, source.name))
        for source in active_sources(inputs.config)
        if source.candidates is not None
    ]
    return reduce(DataFrame.unionByName, frames) if frames else None


def _by_block(
    inputs: PoolInputs,
    proposed: DataFrame | None,
    more: tuple[Column, ...],
    work: Callable[[pa.Table, pa.Table], pa.Table],
    schema: T.StructType,
) -> DataFrame:
    """Bring users, histories and proposals together by block, and call `work` for each block."""
    blocks = _blocks(inputs)
    facts = packed_history(inputs, blocks)
    if proposed is not None:
        size = F.octet_length("recordings").alias("bytes")
        columns = [name for name in PROPOSED if name != "bytes"]
        packed = pack_rows(proposed.select(*columns, size), blocks, PROPOSED)
        renamed = {name: f"proposed_{name}" for name in PROPOSED}
        facts = facts.unionByName(packed.withColumnsRenamed(renamed), allowMissingColumns=True)
    both = people(inputs, blocks, *more).groupBy("block").cogroup(facts.groupBy("block"))

    def call(rows: pa.Table, facts: pa.Table) -> pa.Table:  # Spark would count `self` of a method as a key
        return work(rows, facts)

    return both.applyInArrow(call, schema)


@dataclass(frozen=True)
class _Task:
    """What a task does with a block; the object is sent to the tasks.

    Attributes:
        arrays: opens the arrays of the release.
        config: the configuration to make pools with.
        as_of: the moment that pools are made for.
        vectors: the tables of users' vectors, whose columns the users have.
        ask: whether to ask the sources.
    """

    arrays: OpenArrays
    config: Config
    as_of: datetime
    vectors: tuple[str, ...]
    ask: bool

    @staticmethod
    def of(inputs: PoolInputs, *, ask: bool) -> "_Task":
        return _Task(inputs.arrays, inputs.config, inputs.as_of, tuple(inputs.vectors), ask)

    def pools(self, rows: pa.Table, facts: pa.Table) -> pa.Table:
        """Return POOL_ROW of the users of a block."""
        schema = to_arrow_schema(POOL_ROW)
        if not len(rows):
            return schema.empty_table()
        users, rows, release = self._opened(rows, facts)
        made = make_pools(users, release, more=_proposals(users, facts), ask=self.ask)
        sampled = _flags(rows["sampled"])
        columns = [
            rows["bucket"],
            rows["user_idx"],
            *_columns(made.pools, self.config.pools.k),
            rows["profile"],
            audit_lists(made.candidates, made.pools.picks, sampled),
        ]
        return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)

    def candidates(self, rows: pa.Table, facts: pa.Table) -> pa.Table:
        """Return PROPOSAL_ROW of the users of a block."""
        schema = to_arrow_schema(PROPOSAL_ROW)
        if not len(rows):
            return schema.empty_table()
        users, _, release = self._opened(rows, facts)
        found = propose_to_block(release, users)
        parts = [_proposal_rows(bit, users.block.idx, own) for bit, own in found.items()]
        return pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])

    def _opened(self, rows: pa.Table, facts: pa.Table) -> tuple[BlockUsers, pa.Table, ReleaseArrays]:
        """Return the users, their rows ordered by `user_idx`, and the arrays of the release."""
        release = self.arrays(self.config, self.as_of)
        rows, today = rows.sort_by("user_idx").combine_chunks(), day_number(self.as_of.date())
        history = facts.filter(facts["recording"].is_valid())
        users = BlockUsers.of(rows, history, release.recording_table, today, self.vectors)
        return users, rows, release


def _flags(column: pa.ChunkedArray) -> BoolArray:
    return np.asarray(column.cast(pa.int8())).astype(bool)


def _proposal_rows(bit: int, idx: Int32Array, own: Proposals) -> pa.Table:
    """Return the proposals of a source as PROPOSAL_ROW, without the users about whom it knows nothing."""
    asked = own.masked != NOT_ASKED
    ends = 4 * np.concatenate([own.ends[:1], own.ends[1:][asked]])
    return pa.table(
        {
            "user_idx": idx[asked],
            "source": np.full(asked.sum(), bit, np.int8),
            "recordings": binaries(own.recordings, ends),
            "scores": binaries(own.scores, ends),
            "masked": own.masked[asked],
            "lot_size": own.lot_size[asked],
        }
    )


def _proposals(users: BlockUsers, facts: pa.Table) -> dict[int, Proposals]:
    """Read packed proposals, which `_by_block` joined to the users; there may be none."""
    if "proposed_source" not in facts.column_names:
        return {}
    packed = facts.filter(facts["proposed_source"].is_valid())
    rows = {
        name: unpack_values(packed[f"proposed_{name}"], kind)
        for name, kind in (PROPOSED | {"recordings": np.int32, "scores": np.float32}).items()
    }
    ends = np.concatenate([[0], np.cumsum(rows["bytes"], dtype=np.int64)]) // 4
    recordings, scores = (Ragged(ends, rows[name]) for name in ("recordings", "scores"))
    idx, found = users.block.idx, {}

    def by_user(name: str, at: Int64Array, asked: BoolArray, other: int) -> Int32Array:
        values = np.full(len(idx), other, np.int32)
        values[asked] = rows[name][at]
        return values

    for bit in np.unique(rows["source"]).tolist():
        of_source = np.flatnonzero(rows["source"] == bit)
        own = UserRows.of(idx, rows["user_idx"][of_source])  # at most one row for each user
        at, asked = of_source[own.rows], np.diff(own.offsets) > 0
        found[bit] = Proposals(
            np.concatenate([[0], np.cumsum(by_user("bytes", at, asked, 0), dtype=np.int64)]) // 4,
            recordings.pick(at).values,
            np.asarray(scores.pick(at).values, np.float32),
            by_user("masked", at, asked, NOT_ASKED),
            by_user("lot_size", at, asked, 0),
        )
    return found


def _list(picks: Picks) -> pa.ListArray:
    """Return the picks of each user as an Arrow list of `tables.CANDIDATE`."""
    fields = {
        "recording": pa.array(picks.recording.astype(np.int32)),
        "score": pa.array(picks.score),
        "sources": pa.array(picks.sources.astype(np.int32)),
        "reason": pa.array(picks.reason.astype(np.int8)),
        "reason_arg": pa.array(picks.reason_arg.astype(np.int32)),
        "plays": pa.array(picks.plays.astype(np.int16)),
        "last_day": pa.array(picks.last_day.astype(np.int32), mask=picks.last_day < 0),
        "propensity": pa.array(picks.propensity),
    }
    return pa.ListArray.from_arrays(
        pa.array(picks.offsets.astype(np.int32)),
        pa.StructArray.from_arrays(list(fields.values()), list(fields)),
    )


def _columns(made: Pools, k: int) -> list[Any]:
    """Return the Arrow columns `candidates` to `shortfall`."""
    row, rule = np.nonzero(made.drops)
    ends = pa.array(np.searchsorted(row, np.arange(len(made.drops) + 1)).astype(np.int32))
    drops = pa.MapArray.from_arrays(
        ends,
        pa.array([eligibility.RULES[r] for r in rule], pa.string()),
        pa.array(made.drops[row, rule].astype(np.int32)),
    )
    got = np.diff(made.picks.offsets)
    short = [
        {"wanted": k, "got": int(n), "rule": name} if name else None
        for n, name in zip(got, made.shortfall, strict=True)
    ]
    shortfall = pa.array(
        short, pa.struct([("wanted", pa.int32()), ("got", pa.int32()), ("rule", pa.string())])
    )
    return [_list(made.picks), _list(made.reserve), drops, pa.array(made.emitted.astype(np.int32)), shortfall]
