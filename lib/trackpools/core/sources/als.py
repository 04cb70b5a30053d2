"""The source `als`: collaborative filtering by the inner product of user and recording factors.

Pools get the proposals of this source from the arrays of a release; see `core.proposals`. `rank_by_factors`
ranks recordings in Spark, for lists of neighbours and for the comparison of models. There, recordings are
packed into stripes (ranges of recording numbers), and users into blocks. Every block is scored against every
stripe, and the partial results are merged (see `stripe_merge`). The best new recordings and the best heard
recordings are selected separately and then ranked together.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.config.sources import AlsSourceConfig
from trackpools.core.als.factors import factor_matrix, factor_norm, unit_factors
from trackpools.core.arrays.array_types import Int32Array, Int64Array
from trackpools.core.arrays.packing import BlockAssignment, UserRows, pack_rows, unpack_values
from trackpools.core.log.audience import EVERYWHERE
from trackpools.core.sources.source import Source, VectorTables
from trackpools.core.sources.source_inputs import ListInputs, ScoringInputs
from trackpools.core.sources.stripe_merge import MERGED, PARTIAL, keys_of, merge_partials, partial_row
from trackpools.core.topk import approximate
from trackpools.core.topk.exact import Allowed, Ragged, find_positions, top_k_of_lists
from trackpools.errors import ConfigError

BIT = 0
BROADCAST_BYTES = 512 * 2**20  # the stripes are broadcast if all their factors are smaller than this
ROW_BYTES = 2**31 - 2**27  # greatest size of a stripe's factors: the limit of a Spark row, less some room
# The columns of a packed history; see `_blocks` for `met`.
HISTORY_DTYPES = {"user_idx": np.int32, "met": np.int32}
# The columns of a block of users, ordered by idx: idx; factors; the position of the user's group in `groups`
# (see `_group`); the ends [users + 1] of each user's recordings in `met`; and `met` itself, see `_blocks`.
BLOCK_DTYPES = {
    "users": np.int32,
    "factors": np.float32,
    "group": np.int32,
    "past": np.int64,
    "met": np.int32,
}
PACKED = "stripe long, ids binary, matrix binary, index binary"


def list_sizes(config: Config, settings: AlsSourceConfig) -> tuple[int, int]:
    """Return how many new and how many heard recordings to propose to each user."""
    heard = config.pools.heard
    k_heard = 0 if heard == "exclude" else max(settings.k_heard, settings.k if heard == "only" else 0)
    return 0 if heard == "only" else settings.k, k_heard


def nearest_recordings(inputs: ListInputs, n: int) -> DataFrame:
    """Rank, for each recording, the n other recordings of greatest cosine between factors.

    `rank_by_factors` does this, with the recordings in the role of users. Left out are recordings whose
    factors are all zero, and as neighbours also those that users of the market `*` (unknown) must not get.

    Returns:
        The frame of `rank_by_factors`, in which `user_idx` is the recording and `scores` are cosines.
    """
    factors = inputs.recording_factors.where(factor_norm() > 0).select("idx", unit_factors().alias("factors"))
    users = factors.select(
        F.col("idx").alias("user_idx"), F.lit(EVERYWHERE).alias("market"), F.lit(False).alias("clean")
    )
    itself = factors.select(
        F.col("idx").alias("user_idx"),
        F.col("idx").alias("recording_idx"),
        F.lit(False).alias("heard"),
        F.lit(True).alias("blocked"),
        F.lit(True).alias("refused"),
    )
    cards = inputs.cards.where(F.col("market") == EVERYWHERE)
    scoring = ScoringInputs(
        users=users,
        history=itself,
        cards=cards,
        user_factors=factors,
        recording_factors=factors,
        recordings=inputs.recordings,
        rank=inputs.config.train.rank,
        config=inputs.config,
    )
    return rank_by_factors(scoring, n, 0)


def rank_by_factors(inputs: ScoringInputs, k_new: int, k_heard: int) -> DataFrame:
    """Rank the recordings of largest inner product for each user with factors.

    Up to `k_new` new recordings (neither heard nor blocked) and up to `k_heard` heard recordings (neither
    blocked nor refused) are selected and ranked together. Recordings that the market or the explicit policy
    refuses are skipped during the search, so they do not shorten the result.

    Args:
        inputs: users, histories and factors.
        k_new, k_heard: the greatest numbers of new and of heard recordings for each user.

    Returns:
        `user_idx int, recordings binary, scores binary, masked int`, one row for each user with factors.
        `masked` counts the blocked and refused recordings of the history.
    """
    topk, near = inputs.config.topk, is_approximate(inputs)
    recordings = stripes(inputs)
    if inputs.recordings * inputs.rank * 4 < BROADCAST_BYTES:
        recordings = F.broadcast(recordings)
    pairs = _blocks(inputs, topk.index_user_block if near else topk.user_block).crossJoin(recordings)
    forbidden = F.map_entries(F.map_filter("forbidden", lambda group, _: F.array_contains("groups", group)))
    given = pairs.select(
        "block",
        "groups",
        *BLOCK_DTYPES,
        "ids",
        "matrix",
        *(["index"] if near else []),
        forbidden.alias("forbidden"),
    )
    score, merge = (
        _score(k_new, k_heard, approximate.SearchEffort(topk.reach, topk.fetch) if near else None),
        merge_partials(k_new, k_heard),
    )
    if _in_one_stripe(inputs):  # each block has one partial result, so no shuffle is needed to merge several
        return given.mapInArrow(lambda batches: (merge(part) for part in score(batches)), MERGED)
    return (
        given.mapInArrow(score, PARTIAL)
        .groupBy("block")
        .applyInArrow(lambda parts: pa.Table.from_batches([merge(parts)]), MERGED)
    )


def _group(clean: Column) -> Column:
    """Return the group of users who may get the same recordings: a market and an explicit policy."""
    return F.concat("market", F.when(clean, "/clean").otherwise("/all"))


def is_approximate(inputs: ScoringInputs) -> bool:
    """Return whether new recordings are searched by an approximate index.

    Heard recordings are few, and are always ranked exactly.

    Raises:
        ConfigError: if an index is needed and faiss is not installed.
    """
    near = inputs.recordings > inputs.config.topk.exact_max
    if near:
        approximate.import_faiss()
    return near


def _in_one_stripe(inputs: ScoringInputs) -> bool:
    """Return whether all recordings fit into one stripe, in the exact and in the approximate search."""
    return inputs.recordings <= min(inputs.config.topk.stripe, inputs.config.topk.index_stripe)


def stripes(inputs: ScoringInputs) -> DataFrame:
    """Pack the recordings into stripes.

    Returns:
        One row for each stripe: `ids binary` (int32, ascending), `matrix binary` (float32 [ids, rank], the
        factors), `index binary` (null if the search is exact) and `forbidden map<string, array<int>>` (group
        of users, see `_group` → the ids of the stripe that these users must not get).

    Raises:
        ConfigError: if a row would be too large for Spark, or if faiss is needed and not installed.
    """
    topk, near = inputs.config.topk, is_approximate(inputs)
    name, size = ("index_stripe", topk.index_stripe) if near else ("stripe", topk.stripe)
    if (held := min(size, inputs.recordings) * inputs.rank * 4) > ROW_BYTES:
        told = f"{min(size, inputs.recordings):,} recordings × {inputs.rank} factors × 4 bytes = {held / 2**30:.1f} GiB"
        raise ConfigError(
            f"topk.{name}={size} is too large: one stripe needs {told}, but a row of Spark can hold at most "
            f"{ROW_BYTES / 2**30:.2f} GiB; set a lower value"
        )
    cards, stripe = (
        inputs.cards,
        (F.lit(0).cast("long") if _in_one_stripe(inputs) else F.floor(F.col("idx") / size)).alias("stripe"),
    )
    rows = (
        inputs.recording_factors.select(stripe, "idx", "factors")
        .groupBy("stripe")
        .applyInArrow(_pack(indexed=near), PACKED)
    )
    playable = {
        clean: F.col("available") & F.col("clean_track_id" if clean else "track_id").isNotNull()
        for clean in (False, True)
    }
    refused = [
        cards.where(~may).select(F.col("recording_idx").alias("idx"), _group(F.lit(clean)).alias("group"))
        for clean, may in playable.items()
    ]
    lists = (
        refused[0].unionByName(refused[1]).groupBy(stripe, "group").agg(F.collect_list("idx").alias("list"))
    )
    forbidden = lists.groupBy("stripe").agg(
        F.map_from_entries(F.collect_list(F.struct("group", "list"))).alias("forbidden")
    )
    none = F.create_map().cast("map<string,array<int>>")
    return rows.join(forbidden, "stripe", "left").select(
        "ids", "matrix", "index", F.coalesce("forbidden", none).alias("forbidden")
    )


def _blocks(inputs: ScoringInputs, size: int) -> DataFrame:
    """Pack the users into blocks by idx, whatever the partitions are.

    `met` holds the recordings that a user must not get as new, because the user heard or blocked them. Of
    these, a recording that the user may get as a heard one is stored as the bitwise NOT of its idx, which is
    negative.

    Returns:
        One row for each block: `block long, groups array<string>` and the binary columns of `BLOCK_DTYPES`.
    """
    blocks, listed = (
        BlockAssignment(size),
        F.col("heard") & ~F.col("blocked") & ~F.col("refused"),
    )
    recording = F.when(listed, F.bitwise_not("recording_idx")).otherwise(F.col("recording_idx")).alias("met")
    history = pack_rows(
        inputs.history.where(F.col("heard") | F.col("blocked")).select("user_idx", recording),
        blocks,
        HISTORY_DTYPES,
    )
    people = inputs.users.select(
        "user_idx", _group(F.col("clean")).alias("group"), blocks.column.alias("block")
    )
    users = people.join(inputs.user_factors.withColumnRenamed("idx", "user_idx"), "user_idx")
    schema = ", ".join(["block long", "groups array<string>", *(f"{name} binary" for name in BLOCK_DTYPES)])
    return users.groupBy("block").cogroup(history.groupBy("block")).applyInArrow(_gather, schema)


def _gather(users: Any, history: Any) -> Any:
    """Return the row of a block, or no row if the block has no users."""
    users = users.sort_by("user_idx")
    idx, factors, groups = (
        users["user_idx"].to_numpy(),
        users["factors"].combine_chunks().flatten(),
        users["group"].combine_chunks().dictionary_encode(),
    )
    met = UserRows.of(idx, unpack_values(history["user_idx"], np.int32))
    made = {
        "users": idx,
        "factors": factors,
        "group": groups.indices,
        "past": met.offsets,
        "met": unpack_values(history["met"], np.int32)[met.rows],
    }
    rows = {
        "block": users["block"][:1],
        "groups": pa.array([groups.dictionary.to_pylist()], pa.list_(pa.string())),
    }
    rows |= {name: pa.array([np.asarray(made[name], kind).tobytes()]) for name, kind in BLOCK_DTYPES.items()}
    return pa.table({name: column[: min(len(users), 1)] for name, column in rows.items()})


def _pack(*, indexed: bool) -> Callable[[Any], Any]:
    def run(rows: Any) -> Any:
        idx = np.asarray(rows["idx"], np.int32)
        order = np.argsort(idx)
        y, index = factor_matrix(rows["factors"])[order], None
        if indexed:
            approximate.import_faiss()  # `threadpool_limits` only limits libraries that are imported already
            with threadpool_limits(1):
                index = approximate.build_index(y)
        made = {"ids": idx[order].tobytes(), "matrix": y.tobytes(), "index": index}
        return pa.table(
            {"stripe": rows["stripe"][:1]}
            | {name: pa.array([data], pa.binary()) for name, data in made.items()}
        )

    return run


def _decode_met(offsets: Int64Array, values: Int32Array) -> tuple[Ragged, Ragged]:
    """Decode `met` of `_blocks` into the recordings not to propose as new, and those to propose as heard."""
    listed = values < 0
    before = np.concatenate([[0], np.cumsum(listed)])
    return Ragged(offsets, np.where(listed, ~values, values)), Ragged(before[offsets], ~values[listed])


def _score(
    k_new: int, k_heard: int, effort: approximate.SearchEffort | None
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        if effort is not None:
            approximate.import_faiss()  # `threadpool_limits` only limits libraries that are imported already
        with threadpool_limits(1):  # a task has one core
            for batch in batches:
                for i in range(batch.num_rows):
                    yield _score_pair(batch.slice(i, 1), k_new, k_heard, effort)

    return run


def _allowed(group: Int32Array, groups: list[str], forbidden: Any, idx: Int32Array) -> Allowed | None:
    """Return which recordings of a stripe each group may get, or None if none is forbidden to any group.

    Args:
        group: the position in `groups` of each user's group, int32 [users].
        groups: the names of the groups.
        forbidden: Arrow structs `key, value`: a group's name and the idx of the recordings it must not get.
        idx: idx of the stripe's recordings, ascending.
    """
    if not len(forbidden):
        return None
    masks = np.ones((len(groups), len(idx)), bool)
    for row, name in enumerate(forbidden.field("key").to_pylist()):
        _, columns = find_positions(
            idx, np.asarray(forbidden.field("value").slice(row, 1).flatten(), np.int32)
        )
        masks[groups.index(name), columns] = False
    return Allowed(group, masks)


def _score_pair(pair: Any, k_new: int, k_heard: int, effort: approximate.SearchEffort | None) -> Any:
    """Return the partial top-k of one block of users over one stripe, a row of `stripe_merge.PARTIAL`."""
    given, idx = (
        {name: unpack_values(pair[name], kind) for name, kind in BLOCK_DTYPES.items()},
        unpack_values(pair["ids"], np.int32),
    )
    users = len(given["users"])
    x, y = (
        given["factors"].reshape(users, -1),
        unpack_values(pair["matrix"], np.float32).reshape(len(idx), -1),
    )
    allowed = _allowed(given["group"], pair["groups"][0].as_py(), pair["forbidden"].flatten(), idx)
    mask, listed = _decode_met(given["past"], given["met"])
    index = approximate.load_index(pair["index"][0].as_buffer()) if effort is not None else None
    fresh = (
        approximate.top_k(x, y, idx, mask, k_new, index=index, effort=effort, allowed=allowed)
        if k_new
        else None
    )
    known = top_k_of_lists(x, y, idx, listed, k_heard, allowed=allowed) if k_heard else None
    masked = np.diff(mask.offsets) - np.diff(listed.offsets)
    return partial_row(
        pair["block"],
        given["users"],
        masked.astype(np.int32),
        keys_of(fresh, users, k_new),
        keys_of(known, users, k_heard),
    )


SOURCE = Source(
    "als",
    BIT,
    "both",
    "number {n} of what is near your listening",
    "played {n} × and near your listening",
    vectors=VectorTables("user_factors", "recording_factors"),
)
