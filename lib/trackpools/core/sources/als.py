"""Collaborative filtering: the recordings of largest inner product, new ones and heard ones apart, then ranked together."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.core import ann
from trackpools.core.als.factors import matrix
from trackpools.core.sources.inputs import SourceInputs
from trackpools.core.sources.merging import MERGED, PARTIAL, merged, packed, partial
from trackpools.core.topk import Allowed, Ints, Ragged, positions, top_listed
from trackpools.errors import ConfigError

BIT = 0
BROADCAST_BYTES = 512 * 2**20
ROW_BYTES = 2**31 - 2**27  # what a row of Spark holds, less the ids and the index beside the matrix
PACKED = "stripe long, ids binary, matrix binary, index binary"


def candidates(inputs: SourceInputs) -> DataFrame:
    """One row a trained user; see `sources`. What was heard or blocked, and what the market or the explicit policy refuses, is masked inside the top-k."""
    k_new, k_heard = sizes(inputs)
    topk, near = inputs.config.topk, is_approximate(inputs)
    recordings = stripes(inputs) if inputs.stripes is None else inputs.stripes
    if inputs.recordings * inputs.config.train.rank * 4 < BROADCAST_BYTES:
        recordings = F.broadcast(recordings)
    pairs = _blocks(inputs, topk.index_user_block if near else topk.user_block).crossJoin(recordings)
    groups = F.array_distinct(F.transform("block", lambda user: user["group"]))
    forbidden = F.map_entries(F.map_filter("forbidden", lambda group, _: F.array_contains(groups, group)))
    given = pairs.select("_block", "block", "ids", "matrix", *(["index"] if near else []), forbidden.alias("forbidden"))
    effort = ann.Effort(topk.reach, topk.fetch) if near else None
    found = given.mapInArrow(_score(k_new, k_heard, effort), PARTIAL).groupBy("_block").applyInArrow(merged(k_new, k_heard), MERGED)
    return found.select("user_idx", F.lit(BIT).cast("byte").alias("source"), "items", "masked")


def _group(clean: Column) -> Column:
    """Who may get the same: a market, with or without explicit tracks."""
    return F.concat("market", F.when(clean, "/clean").otherwise("/all"))


def sizes(inputs: SourceInputs) -> tuple[int, int]:
    """New and heard recordings to propose to a user."""
    config, heard = inputs.config.sources.als, inputs.config.pools.heard
    return 0 if heard == "only" else config.k, 0 if heard == "exclude" else max(config.k_heard, config.k if heard == "only" else 0)


def is_approximate(inputs: SourceInputs) -> bool:
    """Whether an index finds the new recordings; heard ones are few and always ranked exactly.

    Raises:
        ConfigError: where it should and faiss is not installed.
    """
    near = sizes(inputs)[0] > 0 and inputs.recordings > inputs.config.topk.exact_max
    if near:
        ann.library()
    return near


def stripes(inputs: SourceInputs) -> DataFrame:
    """Recordings in stripes, a row each: `ids binary (int32), matrix binary (float32), index binary, forbidden map<group, their idx array<int>>`.

    `index` is null where top-k is exact.

    Raises:
        ConfigError: where a row would be too large.
    """
    topk, near = inputs.config.topk, is_approximate(inputs)
    name, size = ("index_stripe", topk.index_stripe) if near else ("stripe", topk.stripe)
    if (held := min(size, inputs.recordings) * inputs.config.train.rank * 4) > ROW_BYTES:
        told = f"{min(size, inputs.recordings):,} recordings × {inputs.config.train.rank} factors × 4 bytes = {held / 2**30:.1f} GiB"
        raise ConfigError(f"topk.{name}={size} makes rows too large: {told}, above {ROW_BYTES / 2**30:.2f} GiB; lower it")
    cards, stripe = inputs.cards, F.floor(F.col("idx") / size).alias("stripe")
    rows = inputs.recording_factors.select(stripe, "idx", "factors").groupBy("stripe").applyInArrow(_pack(indexed=near), PACKED)
    playable = {clean: F.col("available") & F.col("clean_track_id" if clean else "track_id").isNotNull() for clean in (False, True)}
    refused = [cards.where(~may).select(F.col("recording_idx").alias("idx"), _group(F.lit(clean)).alias("group")) for clean, may in playable.items()]
    lists = refused[0].unionByName(refused[1]).groupBy(stripe, "group").agg(F.collect_list("idx").alias("list"))
    forbidden = lists.groupBy("stripe").agg(F.map_from_entries(F.collect_list(F.struct("group", "list"))).alias("forbidden"))
    none = F.create_map().cast("map<string,array<int>>")
    return rows.join(forbidden, "stripe", "left").select("ids", "matrix", "index", F.coalesce("forbidden", none).alias("forbidden"))


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


def _pack(*, indexed: bool) -> Callable[[Any], Any]:
    def run(rows: Any) -> Any:
        idx = np.asarray(rows["idx"], np.int32)
        order = np.argsort(idx)
        y, index = matrix(rows["factors"])[order], None
        if indexed:
            ann.library()  # before its threads can be limited
            with threadpool_limits(1):
                index = ann.build(y)
        made = {"ids": idx[order].tobytes(), "matrix": y.tobytes(), "index": index}
        return pa.table({"stripe": rows["stripe"][:1]} | {name: pa.array([data], pa.binary()) for name, data in made.items()})

    return run


def _met(lists: Any) -> tuple[Ragged, Ragged]:
    """What users must not get as new, and of that what they may get as heard; see `_blocks`."""
    offsets = np.concatenate([[0], np.cumsum(np.asarray(lists.value_lengths(), np.int64))])
    values = np.asarray(lists.flatten(), np.int32)
    listed = values < 0
    before = np.concatenate([[0], np.cumsum(listed)])
    return Ragged(offsets, np.where(listed, ~values, values)), Ragged(before[offsets], ~values[listed])


def _score(k_new: int, k_heard: int, effort: ann.Effort | None) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        if effort is not None:
            ann.library()  # before its threads can be limited
        with threadpool_limits(1):  # a task has one core
            for batch in batches:
                for i in range(batch.num_rows):
                    yield _score_pair(batch.slice(i, 1), k_new, k_heard, effort)

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


def _score_pair(pair: Any, k_new: int, k_heard: int, effort: ann.Effort | None) -> Any:
    """Partial top-k of one block of users over one stripe."""
    block, forbidden = (pair.column(name).flatten() for name in ("block", "forbidden"))
    users = len(block)
    idx = np.frombuffer(pair.column("ids")[0].as_buffer(), np.int32)
    y = np.frombuffer(pair.column("matrix")[0].as_buffer(), np.float32).reshape(len(idx), -1)
    allowed = _allowed(block.field("group"), forbidden, idx)
    x = np.asarray(block.field("factors").flatten(), np.float32).reshape(users, -1)
    mask, listed = _met(block.field("met"))
    index = ann.load(pair.column("index")[0].as_buffer()) if effort is not None else None
    fresh = ann.top_k(x, y, idx, mask, k_new, index=index, effort=effort, allowed=allowed) if k_new else None
    known = top_listed(x, y, idx, listed, k_heard, allowed=allowed) if k_heard else None
    masked = np.diff(mask.offsets) - np.diff(listed.offsets)
    found = packed(fresh, users, k_new), packed(known, users, k_heard)
    return partial(pair.column("_block"), block.field("user_idx"), masked.astype(np.int32), *found)
