"""Collaborative filtering: the recordings of largest inner product, new ones and heard ones apart, then ranked together."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.core.sources.inputs import SourceInputs
from trackpools.core.sources.merging import MERGED, PARTIAL, merged, packed, partial
from trackpools.core.topk import Allowed, Ints, Ragged, positions, top_k, top_listed

BIT = 0
BROADCAST_BYTES = 512 * 2**20


def candidates(inputs: SourceInputs) -> DataFrame:
    """One row a trained user; see `sources`. What was heard or blocked, and what the market or the explicit policy refuses, is masked inside the top-k."""
    config, heard = inputs.config, inputs.config.pools.heard
    k_new = 0 if heard == "only" else config.sources.als.k
    k_heard = 0 if heard == "exclude" else max(config.sources.als.k_heard, config.sources.als.k if heard == "only" else 0)
    stripes = _stripes(inputs.recording_factors, inputs.cards, config.topk.stripe)
    if inputs.recordings * config.train.rank * 4 < BROADCAST_BYTES:
        stripes = F.broadcast(stripes)
    pairs = _blocks(inputs, config.topk.user_block).crossJoin(stripes)
    groups = F.array_distinct(F.transform("block", lambda user: user["group"]))
    forbidden = F.map_entries(F.map_filter("forbidden", lambda group, _: F.array_contains(groups, group)))
    given = pairs.select("_block", "block", "ids", "matrix", forbidden.alias("forbidden"))
    found = given.mapInArrow(_score(k_new, k_heard), PARTIAL).groupBy("_block").applyInArrow(merged(k_new, k_heard), MERGED)
    return found.select("user_idx", F.lit(BIT).cast("byte").alias("source"), "items", "masked")


def _group(clean: Column) -> Column:
    """Who may get the same: a market, with or without explicit tracks."""
    return F.concat("market", F.when(clean, "/clean").otherwise("/all"))


def _stripes(recording_factors: DataFrame, cards: DataFrame, size: int) -> DataFrame:
    """Up to `size` recordings a row: `ids binary (int32), matrix binary (float32), forbidden map<group, their idx array<int>>`."""
    stripe = F.floor(F.col("idx") / size).alias("stripe")
    rows = F.array_sort(F.collect_list(F.struct("idx", "factors")))
    grouped = recording_factors.groupBy(stripe).agg(rows.alias("rows"))
    playable = {clean: F.col("available") & F.col("clean_track_id" if clean else "track_id").isNotNull() for clean in (False, True)}
    refused = [cards.where(~may).select(F.col("recording_idx").alias("idx"), _group(F.lit(clean)).alias("group")) for clean, may in playable.items()]
    lists = refused[0].unionByName(refused[1]).groupBy(stripe, "group").agg(F.collect_list("idx").alias("list"))
    forbidden = lists.groupBy("stripe").agg(F.map_from_entries(F.collect_list(F.struct("group", "list"))).alias("forbidden"))
    none = F.create_map().cast("map<string,array<int>>")
    packed = grouped.select("stripe", "rows").mapInArrow(_pack, "stripe long, ids binary, matrix binary")
    return packed.join(forbidden, "stripe", "left").select("ids", "matrix", F.coalesce("forbidden", none).alias("forbidden"))


def _blocks(inputs: SourceInputs, size: int) -> DataFrame:
    """Users in blocks by idx: `block array<struct<user_idx, factors, met, group>>`, independent of partitions.

    `met` is what a user must not get as new; what he may get as heard stands there as its bitwise not.
    """
    listed = F.col("heard") & ~F.col("blocked") & ~F.col("refused")
    recording = F.when(listed, F.bitwise_not("recording_idx")).otherwise(F.col("recording_idx"))
    lists = inputs.history.where(F.col("heard") | F.col("blocked")).groupBy("user_idx").agg(F.collect_list(recording).alias("met"))
    people = inputs.users.select("user_idx", _group(F.col("clean")).alias("group"))
    users = people.join(inputs.user_factors.withColumnRenamed("idx", "user_idx"), "user_idx").join(lists, "user_idx", "left")
    user = F.struct("user_idx", "factors", F.coalesce("met", F.array().cast("array<int>")).alias("met"), "group")
    return users.groupBy(F.floor(F.col("user_idx") / size).alias("_block")).agg(F.array_sort(F.collect_list(user)).alias("block"))


def _pack(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        for i in range(batch.num_rows):
            rows = batch.column("rows").slice(i, 1).flatten()
            ids, matrix = np.asarray(rows.field("idx"), np.int32), np.asarray(rows.field("factors").flatten(), np.float32)
            made = {"ids": pa.array([ids.tobytes()]), "matrix": pa.array([matrix.tobytes()])}
            yield pa.RecordBatch.from_pydict({"stripe": batch.column("stripe").slice(i, 1)} | made)


def _met(lists: Any) -> tuple[Ragged, Ragged]:
    """What users must not get as new, and of that what they may get as heard; see `_blocks`."""
    offsets = np.concatenate([[0], np.cumsum(np.asarray(lists.value_lengths(), np.int64))])
    values = np.asarray(lists.flatten(), np.int32)
    listed = values < 0
    before = np.concatenate([[0], np.cumsum(listed)])
    return Ragged(offsets, np.where(listed, ~values, values)), Ragged(before[offsets], ~values[listed])


def _score(k_new: int, k_heard: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        with threadpool_limits(1, "blas"):  # a task has one core
            for batch in batches:
                for i in range(batch.num_rows):
                    yield _score_pair(batch.slice(i, 1), k_new, k_heard)

    return run


def _allowed(group: Any, forbidden: Any, idx: Ints) -> Allowed | None:
    """From the group of each user, and entries `key, value` of what groups may not get; None where everybody may have all."""
    if not len(forbidden):
        return None
    codes = group.dictionary_encode()
    masks = np.ones((len(codes.dictionary), len(idx)), bool)
    number = {name: code for code, name in enumerate(codes.dictionary.to_pylist())}
    for row, name in enumerate(forbidden.field("key").to_pylist()):
        _, columns = positions(idx, np.asarray(forbidden.field("value").slice(row, 1).flatten(), np.int32))
        masks[number[name], columns] = False
    return Allowed(np.asarray(codes.indices, np.int32), masks)


def _score_pair(pair: Any, k_new: int, k_heard: int) -> Any:
    """Partial top-k of one block of users over one stripe."""
    block, forbidden = (pair.column(name).flatten() for name in ("block", "forbidden"))
    users = len(block)
    idx = np.frombuffer(pair.column("ids")[0].as_buffer(), np.int32)
    y = np.frombuffer(pair.column("matrix")[0].as_buffer(), np.float32).reshape(len(idx), -1)
    allowed = _allowed(block.field("group"), forbidden, idx)
    x = np.asarray(block.field("factors").flatten(), np.float32).reshape(users, -1)
    mask, listed = _met(block.field("met"))
    fresh = top_k(x, y, idx, mask, k_new, allowed=allowed) if k_new else None
    known = top_listed(x, y, idx, listed, k_heard, allowed=allowed) if k_heard else None
    masked = np.diff(mask.offsets) - np.diff(listed.offsets)
    found = packed(fresh, users, k_new), packed(known, users, k_heard)
    return partial(pair.column("_block"), block.field("user_idx"), masked.astype(np.int32), *found)
