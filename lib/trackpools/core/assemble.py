"""Pools as a Spark frame: sources → blocks of users → rules and `build_pools` in a task → one row a user."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core import rules
from trackpools.core.bars import look_up, market_bars, table
from trackpools.core.pools import Candidates, PoolRequest, Pools, build_pools
from trackpools.core.sources import SOURCES, enabled
from trackpools.core.sources.inputs import SourceInputs
from trackpools.tables import PROFILE

CANDIDATE = "struct<recording:int,score:float,sources:int,reason:tinyint,reason_arg:int,plays:smallint,last_day:int,propensity:float>"
Longs = NDArray[np.int64]
Bytes = NDArray[np.uint8]
POOL = f"candidates array<{CANDIDATE}>, drops map<string,int>, emitted int, shortfall struct<wanted:int,got:int,rule:string>"


def candidates(inputs: SourceInputs) -> DataFrame:
    """What the enabled sources propose: one row a user and source, `user_idx, source, items, masked`."""
    frames = [source.candidates(inputs) for source in enabled(inputs.config)]
    return reduce(DataFrame.unionByName, frames)


def pools(inputs: SourceInputs, proposed: DataFrame, as_of: datetime, model_version: str) -> DataFrame:
    """One row an eligible user, as `tables.POOLS`; a user without candidates gets an empty pool and its shortfall."""
    config = inputs.config
    blocks = _blocks(inputs, proposed).join(F.broadcast(market_bars(inputs.cards)), "market", "left")
    weights = {source.bit: getattr(config.sources, source.name).weight for source in SOURCES}
    request = PoolRequest(config.pools.k, config.pools.rrf_k, tuple(weights.get(bit, 0.0) for bit in range(max(weights) + 1)))
    built = blocks.mapInArrow(_build(request, config.pools.heard), f"bucket int, user_idx int, {POOL}, profile {PROFILE.simpleString()}")
    return built.withColumns({
        "as_of": F.lit(as_of), "valid_until": F.lit(as_of + timedelta(days=config.pools.valid_days)), "model_version": F.lit(model_version),
    })


def _blocks(inputs: SourceInputs, proposed: DataFrame) -> DataFrame:
    """`market, users array<struct>`: eligible users of one market with what is proposed to them and what they met.

    `offers` is an array a source, best first; `masked` is null to whom nobody proposes anything; `past_…` are arrays side by side.
    """
    offer = F.struct("source", F.col("items.recording").alias("recordings"))
    # sources mask the same history
    offers = proposed.groupBy("user_idx").agg(F.collect_list(offer).alias("offers"), F.max("masked").cast("int").alias("masked"))
    met = F.struct("recording_idx", "plays", F.coalesce("last_day", F.lit(-1)).alias("last_day"), rules.history_bits().alias("bits"))
    past = inputs.history.groupBy("user_idx").agg(F.collect_list(met).alias("past"))
    people = inputs.users.join(offers, "user_idx", "left").join(past, "user_idx", "left")
    bucket = F.pmod(F.xxhash64("user_idx"), F.lit(inputs.config.pools.buckets)).cast("int").alias("bucket")
    columns = [F.col(f"past.{name}").alias(f"past_{name}") for name in ("recording_idx", "plays", "last_day", "bits")]
    user = F.struct(bucket, "user_idx", "clean", "masked", "offers", *columns, "profile")
    return people.groupBy("market", F.floor(F.col("user_idx") / inputs.config.pools.user_block).alias("_block")).agg(F.collect_list(user).alias("users"))


def _build(request: PoolRequest, heard: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        names = ["bucket", "user_idx", "candidates", "drops", "emitted", "shortfall", "profile"]
        for batch in batches:
            for i in range(batch.num_rows):
                users, stripes, withheld = (batch.column(name).slice(i, 1).flatten() for name in ("users", "bars", "withheld"))
                made = build_pools(_candidates(users, table(stripes), np.asarray(withheld, np.int64), heard), request)
                columns = [users.field("bucket"), users.field("user_idx"), *_columns(made, request.k), users.field("profile")]
                yield pa.RecordBatch.from_arrays(columns, names)

    return run


def _lengths(lists: Any) -> Longs:
    return np.asarray(lists.value_lengths().fill_null(0), np.int64)


def _candidates(users: Any, bars: Bytes, withheld: Longs, heard: str) -> Candidates:
    """Candidates of the users of one market, an Arrow struct array as `_blocks` makes it."""
    offers = users.field("offers").flatten()
    lists = offers.field("recordings")
    sizes, of = _lengths(lists), np.repeat(np.arange(len(users)), _lengths(users.field("offers")))
    user, recording = np.repeat(of, sizes), np.asarray(lists.flatten()).astype(np.int64)
    rank = np.arange(len(user)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1
    source = np.repeat(np.asarray(offers.field("source")).astype(np.int64), sizes)
    plays, last_day, bits = _met(users, user, recording)
    clean = np.asarray(users.field("clean").cast(pa.int8())).astype(bool)
    barred = np.zeros((len(users), len(rules.RULES)), np.int64)
    if len(withheld):
        explicit = np.arange(len(rules.RULES)) == rules.RULES.index("explicit")
        barred[:] = np.where(explicit & ~clean[:, None], 0, withheld)
    barred[np.asarray(users.field("masked").is_null())] = 0  # to whom nobody proposes anything, rules did nothing
    return Candidates(
        user=user, recording=recording, source=source, rank=rank, flags=rules.flags(look_up(bars, recording), clean[user], bits, heard=heard),
        plays=plays, last_day=last_day, heard=(bits & rules.HEARD).astype(bool), masked=np.asarray(users.field("masked").fill_null(0), np.int64),
        withheld=barred,
    )


def _met(users: Any, user: Longs, recording: Longs) -> tuple[Longs, Longs, Bytes]:
    """Plays, last day (−1 for none) and history bits of each candidate; 0, −1 and 0 where user and recording never met."""
    names = ("past_recording_idx", "past_plays", "past_last_day", "past_bits")
    known, plays, days, bits = (np.asarray(users.field(name).flatten()).astype(np.int64) for name in names)
    keys = np.repeat(np.arange(len(users)), _lengths(users.field(names[0]))) << 32 | known
    order = np.argsort(keys)
    wanted = user << 32 | recording
    where = np.searchsorted(keys[order], wanted)
    there = where < len(keys)
    there[there] = keys[order[where[there]]] == wanted[there]
    at = order[where[there]]
    found = [np.zeros(len(wanted), np.int64), np.full(len(wanted), -1), np.zeros(len(wanted), np.int64)]
    for out, values in zip(found, (plays, days, bits), strict=True):
        out[there] = values[at]
    return found[0], found[1], found[2].astype(np.uint8)


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
