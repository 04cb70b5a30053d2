"""Compute the pools of a few users in one Spark step: each task opens the arrays of all recordings.

`batch` joins frames instead, which suits all users; for a few users, most of its time would go into planning
and starting the joins. Both call the same functions and return the same rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core.als.factors import factor_matrix
from trackpools.core.arrays.packing import BlockAssignment
from trackpools.core.pools.batch import MET, OFFERS, ROW, Policy, filled, given_to, policy, stamped, whom
from trackpools.core.pools.online import MarketMask, ReleaseArrays, propose_to_block
from trackpools.core.sources import active_sources
from trackpools.core.sources.chart_keys import market_code
from trackpools.core.sources.lookup_arrays import Proposals
from trackpools.core.sources.lookup_frames import declared_codes, gathered, listeners_of, packed_past
from trackpools.core.sources.source_inputs import SourceInputs
from trackpools.core.sources.user_block import day_number

NO_CARDS = MarketMask(np.empty(0, np.uint8), np.empty(0, np.int64))
LEAST, BLOCKS = 16, 32  # users of a block, and blocks of few
VECTOR = "vector_{}"  # columns of those of users
Bits = tuple[tuple[int, ...], ...]  # of each such column, the sources that rank by it
OpenArrays = Callable[[], ReleaseArrays]  # called in a task


def can(config: Config, spaces: Mapping[int, object]) -> bool:
    """Whether every source that is switched on proposes by lists, by history or by vectors."""
    return all(source.lists or source.offers or source.bit in spaces for source in active_sources(config))


def pools(
    inputs: SourceInputs,
    open_arrays: OpenArrays,
    users: Mapping[tuple[int, ...], DataFrame],
    model_version: str,
) -> DataFrame:
    """As `assemble.pools`.

    Args:
        inputs: whose frames of recordings are not read.
        open_arrays: returns the arrays of the release; it is sent to the tasks.
        users: bits of sources that rank by the same vectors → `idx int, factors array<float>` of users.
    """
    # so many that tasks end together: their sizes differ, and so does what a block costs
    size = (
        inputs.config.pools.user_block
        if inputs.subset_size is None
        else max(LEAST, min(inputs.config.pools.user_block, inputs.subset_size // BLOCKS))
    )
    blocks, rows = BlockAssignment(size, inputs.subset_size), cast(StructType, StructType.fromDDL(ROW))
    people = whom(inputs, blocks, market_code(F.col("market")).alias("code"), declared_codes())
    for i, vectors in enumerate(users.values()):
        people = people.join(
            vectors.select(F.col("idx").alias("user_idx"), F.col("factors").alias(VECTOR.format(i))),
            "user_idx",
            "left",
        )
    fill = _fill(open_arrays, tuple(users), policy(inputs.config, inputs.as_of), to_arrow_schema(rows))
    made = (
        people.groupBy("block").cogroup(packed_past(inputs, blocks).groupBy("block")).applyInArrow(fill, rows)
    )
    return stamped(made, inputs.config, inputs.as_of, model_version)


def _fill(open_arrays: OpenArrays, ranked: Bits, by: Policy, schema: Any) -> Callable[[Any, Any], Any]:
    def run(people: Any, past: Any) -> Any:
        if not len(people):
            return schema.empty_table()
        release = open_arrays()
        people = people.sort_by("user_idx").combine_chunks()
        held = gathered(people.drop_columns("market").rename_columns({"code": "market"}), past)
        block = listeners_of(held, release.recording_table.rows_of, day_number(release.as_of.date()))
        names, vectors = people["market"].to_pylist(), _vectors(people, ranked)
        here = replace(release, markets={name: release.markets.get(name, NO_CARDS) for name in set(names)})
        with threadpool_limits(1):  # a task has one core
            offers = _offers(
                block.idx,
                propose_to_block(here, block, names, vectors),
                {bit: rows for bit, (rows, _) in vectors.items()},
            )
        met = {name: held["recording" if name == "recording_idx" else name] for name in list(MET)[1:]} | {
            "user_idx": block.idx[block.owner]
        }
        made = []
        for name, market in here.markets.items():
            users = people.filter(pc.equal(people["market"], name))
            made.append(
                filled(
                    users,
                    given_to(users["user_idx"].to_numpy(), met, offers),
                    (market.bars, market.withheld),
                    release.recording_table,
                    by,
                )
            )
        return pa.concat_tables(table.cast(schema) for table in made)

    return run


def _vectors(people: Any, ranked: Bits) -> dict[int, tuple[Any, Any]]:
    """As `on_demand.proposed` wants them."""
    found: dict[int, tuple[Any, Any]] = {}
    for i, bits in enumerate(ranked):
        column = people[VECTOR.format(i)]
        rows, told = np.flatnonzero(np.asarray(column.is_valid())), column.drop_null()
        if len(rows):
            found |= dict.fromkeys(bits, (rows, factor_matrix(told).astype(np.float32)))
    return found


def _offers(users: Any, found: Mapping[int, Proposals], rows: Mapping[int, Any]) -> dict[str, Any]:
    """`assemble.OFFERS` of what was proposed by the bit of the source: to whom it is something, and to whoever is ranked."""
    parts = []
    for bit, one in found.items():
        to = rows.get(bit, np.flatnonzero(np.diff(one.ends)))
        source, size = np.full(len(to), bit, np.int8), 4 * np.diff(one.ends)[to]
        parts.append((users[to], source, one.masked[to], one.lot_size[to], size, one.recordings))
    kinds = OFFERS | {"recordings": np.int32}
    whole = zip(*parts, strict=True) if parts else [()] * len(kinds)
    return {
        name: np.concatenate([np.empty(0, kind), *column]).astype(kind)
        for (name, kind), column in zip(kinds.items(), whole, strict=True)
    }
