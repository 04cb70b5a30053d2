"""Collaborative filtering: the recordings of largest inner product, new ones and heard ones apart, then ranked together."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core import ann
from trackpools.core.als.factors import length, matrix, unit
from trackpools.core.audience import EVERYWHERE
from trackpools.core.packing import Blocks, Lists, packed, values
from trackpools.core.sources.inputs import ListInputs, Scoring, SourceInputs
from trackpools.core.sources.merging import MERGED, PARTIAL, keys_of, merged, partial
from trackpools.core.sources.source import Source
from trackpools.core.topk import Allowed, Ints, Longs, Ragged, positions, top_listed
from trackpools.errors import ConfigError

BIT = 0
BROADCAST_BYTES = 512 * 2**20
ROW_BYTES = 2**31 - 2**27  # what a row of Spark holds, less the ids and the index beside the matrix
MET = {"user_idx": np.int32, "met": np.int32}
# of users by idx: idx, factors, place of the group in `groups`; the ends [users + 1] of what they met, and that
GIVEN = {"users": np.int32, "factors": np.float32, "group": np.int32, "past": np.int64, "met": np.int32}
PACKED = "stripe long, ids binary, matrix binary, index binary"


def candidates(inputs: SourceInputs, settings: Any) -> DataFrame:
    """One row a trained user; see `sources`. Under the policy `only` all are heard ones."""
    return ranked(inputs, BIT, *sizes(inputs.config, settings))


def sizes(config: Config, settings: Any) -> tuple[int, int]:
    """New and heard recordings to propose to a user."""
    heard = config.pools.heard
    k_heard = 0 if heard == "exclude" else max(settings.k_heard, settings.k if heard == "only" else 0)
    return 0 if heard == "only" else settings.k, k_heard


def nearest(inputs: ListInputs, n: int) -> DataFrame:
    """`user_idx, recordings, scores` of recordings as if they were users: those of greatest cosine to each, but itself; see `ranked`."""
    factors = inputs.recording_factors.where(length() > 0).select("idx", unit().alias("factors"))
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
    scoring = Scoring(
        users=users,
        history=itself,
        cards=cards,
        user_factors=factors,
        recording_factors=factors,
        recordings=inputs.recordings,
        rank=inputs.config.train.rank,
        config=inputs.config,
    )
    return ranked(scoring, BIT, n, 0)


def ranked(inputs: Scoring, bit: int, k_new: int, k_heard: int) -> DataFrame:
    """One row a user with factors, the recordings of largest inner product.

    What was heard or blocked, and what the market or the explicit policy refuses, is masked inside the top-k.
    """
    topk, near = inputs.config.topk, is_approximate(inputs)
    recordings = stripes(inputs) if inputs.stripes is None else inputs.stripes
    if inputs.recordings * inputs.rank * 4 < BROADCAST_BYTES:
        recordings = F.broadcast(recordings)
    pairs = _blocks(inputs, topk.index_user_block if near else topk.user_block).crossJoin(recordings)
    forbidden = F.map_entries(F.map_filter("forbidden", lambda group, _: F.array_contains("groups", group)))
    given = pairs.select(
        "block", "groups", *GIVEN, "ids", "matrix", *(["index"] if near else []), forbidden.alias("forbidden")
    )
    score, merge = (
        _score(k_new, k_heard, ann.Effort(topk.reach, topk.fetch) if near else None),
        merged(k_new, k_heard),
    )
    if _alone(inputs):  # nothing to merge it with
        found = given.mapInArrow(lambda batches: (merge(part) for part in score(batches)), MERGED)
    else:
        found = (
            given.mapInArrow(score, PARTIAL)
            .groupBy("block")
            .applyInArrow(lambda parts: pa.Table.from_batches([merge(parts)]), MERGED)
        )
    return found.select("user_idx", F.lit(bit).cast("byte").alias("source"), "recordings", "scores", "masked")


def _group(clean: Column) -> Column:
    """Who may get the same: a market, with or without explicit tracks."""
    return F.concat("market", F.when(clean, "/clean").otherwise("/all"))


def is_approximate(inputs: Scoring) -> bool:
    """Whether an index finds the new recordings; heard ones are few and always ranked exactly.

    Raises:
        ConfigError: where it should and faiss is not installed.
    """
    near = inputs.recordings > inputs.config.topk.exact_max
    if near:
        ann.library()
    return near


def _alone(inputs: Scoring) -> bool:
    """Whether all recordings are one stripe, whichever way they are searched."""
    return inputs.recordings <= min(inputs.config.topk.stripe, inputs.config.topk.index_stripe)


def stripes(inputs: Scoring) -> DataFrame:
    """Recordings in stripes, a row each: `ids binary (int32), matrix binary (float32), index binary, forbidden map<group, their idx array<int>>`.

    `index` is null where top-k is exact.

    Raises:
        ConfigError: where a row would be too large.
    """
    topk, near = inputs.config.topk, is_approximate(inputs)
    name, size = ("index_stripe", topk.index_stripe) if near else ("stripe", topk.stripe)
    if (held := min(size, inputs.recordings) * inputs.rank * 4) > ROW_BYTES:
        told = f"{min(size, inputs.recordings):,} recordings × {inputs.rank} factors × 4 bytes = {held / 2**30:.1f} GiB"
        raise ConfigError(
            f"topk.{name}={size} makes rows too large: {told}, above {ROW_BYTES / 2**30:.2f} GiB; lower it"
        )
    cards, stripe = (
        inputs.cards,
        (F.lit(0).cast("long") if _alone(inputs) else F.floor(F.col("idx") / size)).alias("stripe"),
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


def _blocks(inputs: Scoring, size: int) -> DataFrame:
    """Users in blocks by idx: `block long, groups array<string>` and `GIVEN`; independent of partitions.

    `met` is what a user must not get as new; what he may get as heard stands there as its bitwise not.
    """
    blocks, listed = Blocks(size, inputs.few), F.col("heard") & ~F.col("blocked") & ~F.col("refused")
    recording = F.when(listed, F.bitwise_not("recording_idx")).otherwise(F.col("recording_idx")).alias("met")
    history = packed(
        inputs.history.where(F.col("heard") | F.col("blocked")).select("user_idx", recording), blocks, MET
    )
    people = inputs.users.select(
        "user_idx", _group(F.col("clean")).alias("group"), blocks.column.alias("block")
    )
    users = people.join(inputs.user_factors.withColumnRenamed("idx", "user_idx"), "user_idx")
    schema = ", ".join(["block long", "groups array<string>", *(f"{name} binary" for name in GIVEN)])
    return users.groupBy("block").cogroup(history.groupBy("block")).applyInArrow(_gather, schema)


def _gather(users: Any, history: Any) -> Any:
    """The row of a block; none where it has no users."""
    users = users.sort_by("user_idx")
    idx, factors, groups = (
        users["user_idx"].to_numpy(),
        users["factors"].combine_chunks().flatten(),
        users["group"].combine_chunks().dictionary_encode(),
    )
    met = Lists.of(idx, values(history["user_idx"], np.int32))
    made = {
        "users": idx,
        "factors": factors,
        "group": groups.indices,
        "past": met.offsets,
        "met": values(history["met"], np.int32)[met.rows],
    }
    rows = {
        "block": users["block"][:1],
        "groups": pa.array([groups.dictionary.to_pylist()], pa.list_(pa.string())),
    }
    rows |= {name: pa.array([np.asarray(made[name], kind).tobytes()]) for name, kind in GIVEN.items()}
    return pa.table({name: column[: min(len(users), 1)] for name, column in rows.items()})


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
        return pa.table(
            {"stripe": rows["stripe"][:1]}
            | {name: pa.array([data], pa.binary()) for name, data in made.items()}
        )

    return run


def _met(offsets: Longs, values: Ints) -> tuple[Ragged, Ragged]:
    """What users must not get as new, and of that what they may get as heard; see `_blocks`."""
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


def _allowed(group: Ints, groups: list[str], forbidden: Any, idx: Ints) -> Allowed | None:
    """From the group of each user, and entries `key, value` of what groups may not get; None where everybody may have all."""
    if not len(forbidden):
        return None
    masks = np.ones((len(groups), len(idx)), bool)
    for row, name in enumerate(forbidden.field("key").to_pylist()):
        _, columns = positions(idx, np.asarray(forbidden.field("value").slice(row, 1).flatten(), np.int32))
        masks[groups.index(name), columns] = False
    return Allowed(group, masks)


def _score_pair(pair: Any, k_new: int, k_heard: int, effort: ann.Effort | None) -> Any:
    """Partial top-k of one block of users over one stripe."""
    given, idx = (
        {name: values(pair[name], kind) for name, kind in GIVEN.items()},
        values(pair["ids"], np.int32),
    )
    users = len(given["users"])
    x, y = given["factors"].reshape(users, -1), values(pair["matrix"], np.float32).reshape(len(idx), -1)
    allowed = _allowed(given["group"], pair["groups"][0].as_py(), pair["forbidden"].flatten(), idx)
    mask, listed = _met(given["past"], given["met"])
    index = ann.load(pair["index"][0].as_buffer()) if effort is not None else None
    fresh = ann.top_k(x, y, idx, mask, k_new, index=index, effort=effort, allowed=allowed) if k_new else None
    known = top_listed(x, y, idx, listed, k_heard, allowed=allowed) if k_heard else None
    masked = np.diff(mask.offsets) - np.diff(listed.offsets)
    return partial(
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
    candidates=candidates,
)
