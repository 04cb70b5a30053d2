"""Pools as a Spark frame: sources → rules → `build_pools` per Arrow batch → one row a user."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core import rules
from trackpools.core.pools import Candidates, PoolRequest, Pools, build_pools
from trackpools.core.sources import SOURCES, enabled
from trackpools.core.sources.inputs import SourceInputs
from trackpools.tables import PROFILE

USERS_AT_ONCE = 512  # × some 2,000 candidates × a dozen columns of 8 bytes: 100 MB a task, whatever the Arrow batch holds
ENTRY = "array<struct<recording:int,source:tinyint,rank:int,flags:int,plays:smallint,last_day:int,heard:boolean>>"
CANDIDATE = "struct<recording:int,score:float,sources:int,reason:tinyint,reason_arg:int,plays:smallint,last_day:int,propensity:float>"
POOL = f"candidates array<{CANDIDATE}>, drops map<string,int>, emitted int, shortfall struct<wanted:int,got:int,rule:string>"


def candidates(inputs: SourceInputs) -> DataFrame:
    """What the enabled sources propose: one row a user and source, `user_idx, source, items, masked`."""
    frames = [source.candidates(inputs) for source in enabled(inputs.config)]
    return reduce(DataFrame.unionByName, frames)


def pools(inputs: SourceInputs, proposed: DataFrame, as_of: datetime, model_version: str) -> DataFrame:
    """One row an eligible user, as `tables.POOLS`; a user without candidates gets an empty pool and its shortfall."""
    config = inputs.config
    entries = proposed.select("user_idx", "source", F.posexplode("items").alias("_pos", "item")).select(
        "user_idx", "source", (F.col("_pos") + 1).alias("rank"), F.col("item.recording").alias("recording_idx")
    )
    cards = inputs.cards.select("recording_idx", "market", "available", "track_id", "clean_track_id")
    joined = (
        entries.join(inputs.users.select("user_idx", "market", "clean"), "user_idx")
        .join(cards, ["recording_idx", "market"], "left")
        .join(inputs.history, ["user_idx", "recording_idx"], "left")
    )
    entry = F.struct(
        F.col("recording_idx").alias("recording"), "source", "rank", rules.flags(heard=config.pools.heard).alias("flags"),
        F.coalesce("plays", F.lit(0)).cast("short").alias("plays"), F.coalesce("last_day", F.lit(-1)).alias("last_day"),
        F.coalesce("heard", F.lit(False)).alias("heard"),
    )
    grouped = joined.groupBy("user_idx").agg(F.collect_list(entry).alias("entries"))
    masked = proposed.groupBy("user_idx").agg(F.max("masked").cast("int").alias("masked"))  # sources mask the same history
    rows = inputs.users.select("user_idx", "profile").join(grouped, "user_idx", "left").join(masked, "user_idx", "left").select(
        F.pmod(F.xxhash64("user_idx"), F.lit(config.pools.buckets)).cast("int").alias("bucket"), "user_idx",
        F.coalesce("entries", F.array().cast(ENTRY)).alias("entries"), F.coalesce("masked", F.lit(0)).alias("masked"), "profile",
    )
    weights = {source.bit: getattr(config.sources, source.name).weight for source in SOURCES}
    request = PoolRequest(config.pools.k, config.pools.rrf_k, tuple(weights.get(bit, 0.0) for bit in range(max(weights) + 1)))
    built = rows.mapInArrow(_build(request), f"bucket int, user_idx int, {POOL}, profile {PROFILE.simpleString()}")
    return built.withColumns({
        "as_of": F.lit(as_of), "valid_until": F.lit(as_of + timedelta(days=config.pools.valid_days)), "model_version": F.lit(model_version),
    })


def _build(request: PoolRequest) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        names = ["bucket", "user_idx", "candidates", "drops", "emitted", "shortfall", "profile"]
        for batch in batches:
            for start in range(0, batch.num_rows, USERS_AT_ONCE):
                part = batch.slice(start, USERS_AT_ONCE)
                made = build_pools(_candidates(part), request)
                columns = [part.column("bucket"), part.column("user_idx"), *_columns(made, request.k), part.column("profile")]
                yield pa.RecordBatch.from_arrays(columns, names)

    return run


def _candidates(batch: Any) -> Candidates:
    entries = batch.column("entries")
    flat = entries.flatten()
    sizes = np.asarray(entries.value_lengths(), np.int64)
    columns = {name: np.asarray(flat.field(name)).astype(np.int64) for name in ("recording", "source", "rank", "flags", "plays", "last_day")}
    heard = np.asarray(flat.field("heard").cast(pa.int8())).astype(bool)
    return Candidates(user=np.repeat(np.arange(len(sizes)), sizes), heard=heard, masked=np.asarray(batch.column("masked"), np.int64), **columns)


def _columns(made: Pools, k: int) -> list[Any]:
    offsets = pa.array(made.offsets.astype(np.int32))
    fields = {
        "recording": pa.array(made.recording.astype(np.int32)), "score": pa.array(made.score), "sources": pa.array(made.sources.astype(np.int32)),
        "reason": pa.array(made.reason.astype(np.int8)), "reason_arg": pa.array(made.reason_arg.astype(np.int32)),
        "plays": pa.array(made.plays.astype(np.int16)), "last_day": pa.array(made.last_day.astype(np.int32), mask=made.last_day < 0),
        "propensity": pa.array(np.ones(len(made.recording), np.float32)),
    }
    pool = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(list(fields.values()), list(fields)))
    row, rule = np.nonzero(made.drops)
    ends = pa.array(np.searchsorted(row, np.arange(len(made.drops) + 1)).astype(np.int32))
    drops = pa.MapArray.from_arrays(ends, pa.array([rules.RULES[r] for r in rule], pa.string()), pa.array(made.drops[row, rule].astype(np.int32)))
    got = np.diff(made.offsets)
    short = [{"wanted": k, "got": int(n), "rule": name} if name else None for n, name in zip(got, made.shortfall, strict=True)]
    shortfall = pa.array(short, pa.struct([("wanted", pa.int32()), ("got", pa.int32()), ("rule", pa.string())]))
    return [pool, drops, pa.array(made.emitted.astype(np.int32)), shortfall]
