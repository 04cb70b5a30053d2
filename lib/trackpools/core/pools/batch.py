"""Compute the pools of all users as a lazy Spark frame: one row for each user.

The sources propose candidates, these are joined into blocks of users, and the task of a block applies the
rules and calls `build_pools`.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.arrays.array_types import BoolArray, Int64Array, Uint8Array
from trackpools.core.arrays.packing import BlockAssignment, UserRows, pack_rows, unpack_values
from trackpools.core.arrays.recording_table import Reader, RecordingTable, with_shelf
from trackpools.core.pools.audit import audit_lists, is_audited
from trackpools.core.pools.build import (
    CandidateBatch,
    Picks,
    PoolRequest,
    Pools,
    build_pools,
)
from trackpools.core.pools.user_tastes import TagDistributions
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import build_market_masks, look_up, unpack_mask
from trackpools.core.sources import SOURCES, active_sources, explore, lookup_frames
from trackpools.core.sources.source_inputs import SourceInputs
from trackpools.core.topk.exact import Ragged
from trackpools.tables import AUDIT, PROFILE

CANDIDATE = "struct<recording:int,score:float,sources:int,reason:tinyint,reason_arg:int,plays:smallint,last_day:int,propensity:float>"
Columns = Mapping[str, NDArray[Any]]  # name → values
MET = {
    "user_idx": np.int32,
    "recording_idx": np.int32,
    "plays": np.int16,
    "last_day": np.int32,
    "bits": np.uint8,
    "weight": np.float32,
}
OFFERS = {
    "offered": np.int32,
    "source": np.int8,
    "masked": np.int32,
    "lot_size": np.int32,
    "bytes": np.int32,
    "recordings": bytes,
}
# of users by idx: what sources masked, −1 where none proposes anything; of their lists, by user and source:
# to which user, the source, how long, from how many drawn by lot; all lists one behind the other; the ends
# [users + 1] of the histories, and these
GIVEN = {
    "masked": np.int32,
    "offered_to": np.int32,
    "source": np.int8,
    "length": np.int32,
    "lot_size": np.int32,
    "offered": np.int32,
    "past": np.int64,
    "recording_idx": np.int32,
    "plays": np.int16,
    "last_day": np.int32,
    "bits": np.uint8,
    "weight": np.float32,
}
NAMES = ("bucket", "user_idx", "candidates", "reserve", "drops", "emitted", "shortfall", "profile", "audit")
POOL = f"candidates array<{CANDIDATE}>, reserve array<{CANDIDATE}>, drops map<string,int>, emitted int, shortfall struct<wanted:int,got:int,rule:string>"
ROW = f"bucket int, user_idx int, {POOL}, profile {PROFILE.simpleString()}, audit {AUDIT.simpleString()}"


class Policy(NamedTuple):
    """What pools are made by: how to blend, below what nothing passes, what becomes of what was heard."""

    request: PoolRequest
    standards: eligibility.Standards
    heard: str


def candidates(inputs: SourceInputs) -> DataFrame:
    """What the enabled sources propose: one row a user and source, its columns as in `sources`."""
    sources = active_sources(inputs.config)
    own = [
        source.candidates(inputs, getattr(inputs.config.sources, source.name))
        for source in sources
        if source.candidates is not None
    ]
    return reduce(DataFrame.unionByName, [*own, *lookup_frames.candidates(inputs, sources)])


def pools(inputs: SourceInputs, proposed: DataFrame, as_of: datetime, model_version: str) -> DataFrame:
    """One row an eligible user, as `tables.POOLS`; a user without candidates gets an empty pool and its shortfall."""
    blocks = _blocks(inputs, proposed).join(F.broadcast(build_market_masks(inputs.cards)), "market", "left")
    # nothing may stand between: a task keeps the shelf of its first row
    whole = with_shelf(blocks, inputs.shelf)
    return stamped(
        whole.mapInArrow(_build(policy(inputs.config, as_of)), ROW), inputs.config, as_of, model_version
    )


def stamped(rows: DataFrame, config: Config, as_of: datetime, model_version: str) -> DataFrame:
    """`ROW` with what is the same for all."""
    return rows.withColumns(
        {
            "as_of": F.lit(as_of),
            "valid_until": F.lit(as_of + timedelta(days=config.pools.valid_days)),
            "model_version": F.lit(model_version),
        }
    )


def policy(config: Config, as_of: datetime) -> Policy:
    """What pools are made by."""
    return Policy(pool_request(config), eligibility.Standards.of(config.rules, as_of), config.pools.heard)


def bucket_of(buckets: int) -> Column:
    """Which partition of the pools a `user_idx` belongs to, int."""
    return F.pmod(F.xxhash64("user_idx"), F.lit(buckets)).cast("int")


def pool_request(config: Config) -> PoolRequest:
    """How to blend where nobody asks for anything else."""
    weights = {
        source.bit: getattr(config.sources, source.name).weight
        for source in SOURCES
        if source.name in config.sources.names
    }
    pools, own = config.pools, config.rules
    return PoolRequest(
        pools.k,
        pools.rrf_k,
        tuple(weights.get(bit, 0.0) for bit in range(max(weights) + 1)),
        blend=pools.blend,
        mmr=pools.mmr,
        calibration=pools.calibration,
        floor=pools.floor,
        floor_share=pools.floor_share,
        reserve=pools.reserve,
        artist_cap=own.artist_cap,
        album_cap=own.album_cap,
        versions=own.versions,
        explore=(explore.BIT, config.sources.explore.slots),
    )


def _blocks(inputs: SourceInputs, proposed: DataFrame) -> DataFrame:
    """Eligible users of a block and market, with what is proposed to them and what they met: `market string, users binary (Arrow)` and `GIVEN`."""
    blocks = BlockAssignment(inputs.config.pools.user_block, inputs.subset_size)
    day, length = (
        F.coalesce("last_day", F.lit(-1)).alias("last_day"),
        F.octet_length("recordings").alias("bytes"),
    )
    met = pack_rows(
        inputs.history.select(
            "user_idx", "recording_idx", "plays", day, eligibility.history_bits().alias("bits"), "weight"
        ),
        blocks,
        MET,
    )
    to = F.col("user_idx").alias("offered")
    told = proposed.select("user_idx", to, "source", "masked", "lot_size", length, "recordings")
    offers = pack_rows(told, blocks, OFFERS)
    people = whom(inputs, blocks).groupBy("block")
    facts = met.unionByName(offers, allowMissingColumns=True).groupBy("block")
    return people.cogroup(facts).applyInArrow(
        _gather, ", ".join(["market string", "users binary", *(f"{name} binary" for name in GIVEN)])
    )


def whom(inputs: SourceInputs, blocks: BlockAssignment, *more: Column) -> DataFrame:
    """Who gets a pool: `block, market, bucket, user_idx, clean, sampled, profile` and more columns of the users."""
    bucket, sampled = (
        bucket_of(inputs.config.pools.buckets).alias("bucket"),
        is_audited(inputs.config.pools.audit_share).alias("sampled"),
    )
    return inputs.users.select(
        blocks.column.alias("block"), "market", bucket, "user_idx", "clean", sampled, "profile", *more
    )


def _gather(people: Any, facts: Any) -> Any:
    """The rows of a block: one a market."""
    met, offers = (
        {
            name: unpack_values(facts[name], np.int32 if kind is bytes else kind)
            for name, kind in types.items()
        }
        for types in (MET, OFFERS)
    )
    rows: dict[str, list[bytes]] = {name: [] for name in ("users", *GIVEN)}
    markets = pc.unique(people["market"])
    for market in markets:
        users = people.filter(pc.equal(people["market"], market)).sort_by("user_idx")
        rows["users"].append(_stream(users.select(["bucket", "user_idx", "clean", "sampled", "profile"])))
        for name, data in given_to(users["user_idx"].to_numpy(), met, offers).items():
            rows[name].append(data.tobytes())
    return pa.table({"market": markets} | {name: pa.array(data, pa.binary()) for name, data in rows.items()})


def given_to(idx: NDArray[np.int32], met: Columns, offers: Columns) -> dict[str, NDArray[Any]]:
    """`GIVEN` of some users of a block, ascending, from `MET` and `OFFERS` of all of it, recordings as int32."""
    items = Ragged(
        np.concatenate([[0], np.cumsum(offers["bytes"], dtype=np.int64)]) // 4, offers["recordings"]
    )
    by_source = np.argsort(offers["source"], kind="stable")
    past, told = UserRows.of(idx, met["user_idx"]), UserRows.of(idx, offers["offered"][by_source])
    which, to = by_source[told.rows], np.repeat(np.arange(len(idx)), np.diff(told.offsets))
    masked = np.full(len(idx), -1)
    np.maximum.at(masked, to, offers["masked"][which])  # sources mask the same history
    made = {
        "masked": masked,
        "offered_to": to,
        "source": offers["source"][which],
        "length": np.diff(items.offsets)[which],
        "lot_size": offers["lot_size"][which],
        "offered": items.pick(which).values,
        "past": past.offsets,
        **{name: met[name][past.rows] for name in list(MET)[1:]},
    }
    return {name: np.asarray(made[name], kind) for name, kind in GIVEN.items()}


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _build(by: Policy) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        reader = Reader()
        for batch in batches:
            for i in range(batch.num_rows):
                row = batch.slice(i, 1)
                users = pa.ipc.open_stream(row["users"][0].as_buffer()).read_all().combine_chunks()
                given = {name: unpack_values(row[name], kind) for name, kind in GIVEN.items()}
                bars, withheld = (
                    unpack_mask(row["bars"].flatten()),
                    np.asarray(row["withheld"].flatten(), np.int64),
                )
                yield from filled(users, given, (bars, withheld), reader.of(row), by).to_batches()

    return run


def filled(
    users: pa.Table, given: Columns, market: tuple[Uint8Array, Int64Array], shelf: RecordingTable, by: Policy
) -> pa.Table:
    """`ROW` of the users of one market, an Arrow table.

    Args:
        users: columns of `whom`, by `user_idx`, and `given` of the same.
    """
    clean, sampled = (np.asarray(users[name].cast(pa.int8())).astype(bool) for name in ("clean", "sampled"))
    found = offered_to(given, clean, market, shelf, by)
    made = build_pools(found, by.request)
    columns = [
        users["bucket"],
        users["user_idx"],
        *_columns(made, by.request.k),
        users["profile"],
        audit_lists(found, made.picks, sampled),
    ]
    return pa.table(dict(zip(NAMES, columns, strict=True)))


def offered_to(
    given: Columns,
    clean: BoolArray,
    market: tuple[Uint8Array, Int64Array],
    shelf: RecordingTable,
    by: Policy,
    *,
    unasked: Callable[[RecordingTable], BoolArray] | None = None,
) -> CandidateBatch:
    """Candidates of the users of one market.

    Args:
        given: `GIVEN`.
        market: what it bars and withholds.
        unasked: on demand, of facts of recordings which of them a constraint of the request rules out.
    """
    from trackpools.core.pools.tag_distribution import tag_distributions

    bars, withheld = market
    sizes, recording = given["length"], given["offered"].astype(np.int64)
    user, source = (np.repeat(given[name].astype(np.int64), sizes) for name in ("offered_to", "source"))
    rank = np.arange(len(user)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1
    plays, last_day, bits = _met(given, user, recording)
    barred = np.zeros((len(clean), len(eligibility.RULES)), np.int64)
    if len(withheld):
        explicit = np.arange(len(eligibility.RULES)) == eligibility.RULES.index("explicit")
        barred[:] = np.where(explicit & ~clean[:, None], 0, withheld)
    barred[given["masked"] < 0] = 0  # to whom nobody proposes anything, rules did nothing
    below = eligibility.fact_flags(shelf, recording, bits, by.standards)
    return CandidateBatch(
        user=user,
        recording=recording,
        source=source,
        rank=rank,
        flags=eligibility.rule_flags(
            look_up(bars, recording),
            clean[user],
            bits,
            below,
            heard=by.heard,
            unwanted=unasked and unasked(shelf.rows_of(recording)),
        ),
        plays=plays,
        last_day=last_day,
        heard=(bits & eligibility.HEARD).astype(bool),
        masked=np.maximum(given["masked"], 0).astype(np.int64),
        withheld=barred,
        recording_table=shelf,
        tastes=tag_distributions(
            given["past"].copy(), given["recording_idx"].astype(np.int64), given["weight"], shelf
        )
        if by.request.calibration > 0
        else TagDistributions.empty(len(clean)),
        lot_chance=_lot_chance(given),
    )


def _lot_chance(given: Columns) -> NDArray[np.float64]:
    """Probability [users] that the lot proposed a recording that it could have; 1 where nothing was drawn."""
    chance, drawn = np.ones(len(given["masked"])), given["lot_size"] > 0
    chance[given["offered_to"][drawn]] = given["length"][drawn] / given["lot_size"][drawn]
    return chance


def _met(
    given: Columns, user: Int64Array, recording: Int64Array
) -> tuple[Int64Array, Int64Array, Uint8Array]:
    """Plays, last day (−1 for none) and history bits of each candidate; 0, −1 and 0 where user and recording never met."""
    from trackpools.core.kernels.rank_fusion import match_history

    at = np.empty(len(user), np.int64)
    match_history(
        np.searchsorted(user, np.arange(len(given["masked"]) + 1)),
        recording,
        given["past"].copy(),
        given["recording_idx"].astype(np.int64),
        at,
    )
    # whoever never met is sent to a row behind the last
    plays, last_day, bits = (
        np.append(given[name], never)[at] for name, never in (("plays", 0), ("last_day", -1), ("bits", 0))
    )
    return plays.astype(np.int64), last_day.astype(np.int64), bits.astype(np.uint8)


def _list(picks: Picks) -> pa.ListArray:
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
