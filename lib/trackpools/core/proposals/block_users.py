"""The users of a block with all that sources and rules need to know about them.

In Spark, users and their histories are brought together by block once: `people` and `packed_history` are
grouped by block, and `BlockUsers.of` turns the two groups of a block into arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.als.factors import factor_matrix
from trackpools.core.arrays.array_types import Float32Array, Int64Array, Uint8Array
from trackpools.core.arrays.packing import BlockAssignment, UserRows, pack_rows, unpack_values
from trackpools.core.arrays.recording_table import RecordingTable, tag_code
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.rules import eligibility
from trackpools.core.sources.chart_keys import code_of_market
from trackpools.core.sources.source_inputs import UserInputs
from trackpools.core.sources.user_block import NO_DAY, UserBlock, taste_weights

# columns of a packed history, one value for each user and recording
HISTORY = {
    "user_idx": np.int32,
    "recording": np.int32,
    "plays": np.int16,
    "first_day": np.int32,
    "last_day": np.int32,
    "weight": np.float32,
    "bits": np.uint8,
}


@dataclass(frozen=True)
class BlockUsers:
    """The users of a block.

    Attributes:
        block: the users, their histories and the facts of the recordings in these.
        bits: uint8, `eligibility.history_bits` of each entry of the histories.
        markets: the market group of each user, by name.
        vectors: table of users' vectors (see `Source.vectors`) → positions of the users who have one, int64,
            ascending; and their vectors, float32 [users, length].
    """

    block: UserBlock
    bits: Uint8Array
    markets: Sequence[str]
    vectors: Mapping[str, tuple[Int64Array, Float32Array]]

    @staticmethod
    def of(
        people: pa.Table, history: pa.Table, table: RecordingTable, today: int, tables: Sequence[str]
    ) -> "BlockUsers":
        """Read the users of a block.

        Args:
            people: Arrow table with the columns of `people`, ordered by `user_idx`.
            history: Arrow table of the block's rows of `packed_history`.
            table: facts of all recordings.
            today: as_of, in days since 1970.
            tables: the tables of users' vectors, whose columns `people` has.
        """
        idx, declared = people["user_idx"].to_numpy(), people["declared"].combine_chunks()
        markets = people["market"].to_pylist()
        past, ends = _histories(idx, history)
        facts, bits = table.rows_of(past["recording"]), past["bits"].astype(np.uint8)
        sizes = np.asarray(declared.value_lengths(), np.int64)
        block = UserBlock(
            idx=idx,
            market=np.array([code_of_market(name) for name in markets], np.int64),
            clean=np.asarray(people["clean"].cast(pa.int8())).astype(bool),
            declared=(np.concatenate([[0], np.cumsum(sizes)]), np.asarray(declared.flatten(), np.int64)),
            ends=ends,
            recording=past["recording"],
            plays=past["plays"],
            first_day=past["first_day"],
            last_day=past["last_day"],
            weight=taste_weights(past["weight"], facts),
            heard=bits & eligibility.HEARD > 0,
            excluded=bits & (eligibility.BLOCKED | eligibility.REFUSED) > 0,
            facts=facts,
            today=today,
        )
        return BlockUsers(block, bits, markets, _vectors(people, tables))


def people(inputs: PoolInputs, blocks: BlockAssignment, *more: Column) -> DataFrame:
    """Return the users with their block and their vectors.

    Args:
        inputs: the users.
        blocks: the assignment of users to blocks.
        more: more columns of `inputs.users`.

    Returns:
        `block long, user_idx int, market string, clean boolean, declared array<long>`, the columns `more`,
        and for each table of vectors a column of its name, `array<float>`, null for a user without a vector;
        one row for each user.
    """
    rows = inputs.users.select(
        blocks.column.alias("block"), "user_idx", "market", "clean", _declared_codes(), *more
    )
    for name, vectors in inputs.vectors.items():
        own = vectors.select(F.col("idx").alias("user_idx"), F.col("factors").alias(name))
        rows = rows.join(own, "user_idx", "left")
    return rows


def packed_history(inputs: UserInputs, blocks: BlockAssignment) -> DataFrame:
    """Pack the users' histories: `block long` and the binary columns of `HISTORY`; see `pack_rows`."""
    days = [F.coalesce(name, F.lit(NO_DAY)).alias(name) for name in ("first_day", "last_day")]
    recording, bits = F.col("recording_idx").alias("recording"), eligibility.history_bits().alias("bits")
    return pack_rows(
        inputs.history.select("user_idx", recording, "plays", *days, "weight", bits), blocks, HISTORY
    )


def _declared_codes() -> Column:
    """Return the column `declared array<long>`: the tag codes of `declared_tags`, empty for null."""
    return F.transform(
        F.coalesce("declared_tags", F.array().cast("array<string>")), lambda tag: tag_code(tag).cast("long")
    ).alias("declared")


def _histories(idx: NDArray[np.int32], history: pa.Table) -> tuple[dict[str, NDArray[Any]], Int64Array]:
    """Return the columns of the histories, each ordered by recording, and where each user's history ends.

    Integers are int64, and weights are float64.
    """
    rows = {name: unpack_values(history[name], kind) for name, kind in HISTORY.items()}
    order = np.lexsort((rows["recording"], rows["user_idx"]))
    own = UserRows.of(idx, rows["user_idx"][order])
    at = order[own.rows]
    columns = {
        name: rows[name][at].astype(np.float64 if kind is np.float32 else np.int64)
        for name, kind in HISTORY.items()
        if name != "user_idx"
    }
    return columns, own.offsets


def _vectors(people: pa.Table, tables: Sequence[str]) -> dict[str, tuple[Int64Array, Float32Array]]:
    """Return `BlockUsers.vectors`, copied, because numba compiles another version for read-only arrays."""
    found = {}
    for name in tables:
        own = people[name].drop_null()
        if len(own):
            found[name] = np.flatnonzero(np.asarray(people[name].is_valid())), np.array(factor_matrix(own))
    return found
