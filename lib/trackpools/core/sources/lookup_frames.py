"""The Spark part of sources that look lists up or rank by history alone.

Users and their histories are gathered in blocks. Each block computes the keys that its sources look up, the
lists of these keys are joined, and each block is answered with one row for each user and source.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.arrays.array_types import Int32Array, Int64Array
from trackpools.core.arrays.packing import BlockAssignment, UserRows, binaries, pack_rows, unpack_values
from trackpools.core.arrays.recording_table import Reader, RecordingTable, tag_code, with_shelf
from trackpools.core.rules import eligibility
from trackpools.core.sources.chart_keys import market_code
from trackpools.core.sources.lookup_arrays import (
    Proposals,
    SourceLists,
    excluded_recordings,
    look_up_lists,
    propose_from_history,
    seeds_of,
    split_by_kind,
    user_ends,
)
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs, SourceInputs
from trackpools.core.sources.user_block import NO_DAY, UserBlock, taste_weights

# columns of a packed history, one value for each user and recording
PAST = {
    "user_idx": np.int32,
    "recording": np.int32,
    "plays": np.int16,
    "first_day": np.int32,
    "last_day": np.int32,
    "weight": np.float32,
    "bits": np.uint8,
}
# columns of the users themselves; `declared_ends` [users + 1] delimits each user's codes in `declared`
WHO = {
    "idx": np.int32,
    "market": np.int64,
    "clean": np.uint8,
    "declared_ends": np.int64,
    "declared": np.int64,
}
# columns of a block: its users, the ends [users + 1] of their histories, and the histories
HELD = [*WHO, "ends", *list(PAST)[1:]]
KINDS = WHO | PAST | {"ends": np.int64}
# The request of a block: its users, its seeds (source, user's row, key, weight) by source and user, and the
# recordings (with their ends [users + 1]) that sources of new and of other recordings must not propose.
ASKED = {
    "users": np.int32,
    "source": np.int8,
    "row": np.int32,
    "key": np.int64,
    "weight": np.float64,
    "new_ends": np.int64,
    "new": np.int64,
    "both_ends": np.int64,
    "both": np.int64,
}
ROWS = "user_idx int, source tinyint, recordings binary, scores binary, masked int, lot_size int"


def all_lists(inputs: ListInputs, sources: Sequence[Source]) -> DataFrame:
    """Build the table `source_lists` of the sources that look lists up.

    Returns:
        `source tinyint, key long, recordings binary, scores binary`; empty where no source has lists.
    """
    frames = [
        s.lists(inputs, getattr(inputs.config.sources, s.name)).select(
            F.lit(s.bit).cast("byte").alias("source"), "key", "recordings", "scores"
        )
        for s in sources
        if s.lists is not None
    ]
    bits, keys, items = (
        F.lit(0).cast("byte").alias("source"),
        F.lit(0).cast("long").alias("key"),
        (F.lit(b"").alias(name) for name in ("recordings", "scores")),
    )
    nothing = inputs.facts.select(bits, keys, *items)
    return reduce(DataFrame.unionByName, frames, nothing.limit(0))


def candidates(inputs: SourceInputs, sources: Sequence[Source]) -> list[DataFrame]:
    """Propose recordings by these sources.

    Returns:
        At most two frames with the columns `ROWS`, one row for each user and source: one frame of the sources
        that look lists up, and one of the sources that use history alone.
    """
    looking, own = split_by_kind(sources)
    told = with_shelf(_listeners(inputs), inputs.shelf)
    # the functions below are sent to tasks; `inputs` holds frames, which cannot be sent
    day, config = inputs.today, inputs.config
    frames = []
    if looking:
        schema = ", ".join(
            [
                "block long",
                *(f"{name} binary" for name in ASKED),
                "keys array<struct<source:tinyint,key:long>>",
            ]
        )
        asked = told.mapInArrow(_each(lambda listeners: _ask(listeners, looking, config), day), schema)
        keys = asked.select(F.col("block").alias("of"), F.inline("keys"))
        lists = inputs.lists.join(keys, ["source", "key"]).groupBy("of")
        frames.append(
            asked.drop("keys")
            .groupBy("block")
            .cogroup(lists)
            .applyInArrow(_answer(looking, config, day), ROWS)
        )
    if own:
        frames.append(told.mapInArrow(_each(lambda listeners: _offer(listeners, own, config), day), ROWS))
    return frames


def declared_codes() -> Column:
    """Return the column `declared array<long>`: the tag codes of `declared_tags`, empty for null."""
    return F.transform(
        F.coalesce("declared_tags", F.array().cast("array<string>")), lambda tag: tag_code(tag).cast("long")
    ).alias("declared")


def packed_past(inputs: SourceInputs, blocks: BlockAssignment) -> DataFrame:
    """Pack the users' histories: `block long` and the binary columns of `PAST`; see `packing.pack_rows`."""
    days = [F.coalesce(name, F.lit(NO_DAY)).alias(name) for name in ("first_day", "last_day")]
    recording, bits = F.col("recording_idx").alias("recording"), eligibility.history_bits().alias("bits")
    return pack_rows(
        inputs.history.select("user_idx", recording, "plays", *days, "weight", bits), blocks, PAST
    )


def _listeners(inputs: SourceInputs) -> DataFrame:
    """Gather users with their histories: `block long` and binary columns `HELD`, one row for each block.

    The rows do not depend on partitions.
    """
    blocks = BlockAssignment(inputs.config.pools.user_block, inputs.subset_size)
    past = packed_past(inputs, blocks)
    people = inputs.users.select(
        blocks.column.alias("block"),
        "user_idx",
        market_code(F.col("market")).alias("market"),
        "clean",
        declared_codes(),
    )
    schema = ", ".join(["block long", *(f"{name} binary" for name in HELD)])
    return people.groupBy("block").cogroup(past.groupBy("block")).applyInArrow(_gather, schema)


def _gather(people: pa.Table, past: pa.Table) -> pa.Table:
    made = gathered(people.sort_by("user_idx"), past)
    columns = {"block": people["block"][:1]} | {
        name: pa.array([data.tobytes()], pa.binary()) for name, data in made.items()
    }
    return pa.table({name: column[: min(len(people), 1)] for name, column in columns.items()})


def gathered(people: pa.Table, past: pa.Table) -> dict[str, NDArray[Any]]:
    """Return the arrays `HELD` of one block, by name.

    Args:
        people: Arrow table `user_idx, market long, clean, declared array<long>`, ordered by `user_idx`.
        past: Arrow table of the block's rows of `packed_past`.
    """
    idx, told = people["user_idx"].to_numpy(), people["declared"].combine_chunks()
    rows = {name: unpack_values(past[name], kind) for name, kind in PAST.items()}
    order = np.lexsort((rows["recording"], rows["user_idx"]))
    lists = UserRows.of(idx, rows["user_idx"][order])
    made = {
        "idx": idx,
        "market": people["market"].to_numpy(),
        "clean": np.asarray(people["clean"].cast(pa.int8())),
        "declared_ends": np.concatenate([[0], np.cumsum(np.asarray(told.value_lengths(), np.int64))]),
        "declared": np.asarray(told.flatten()),
        "ends": lists.offsets,
        **{name: rows[name][order][lists.rows] for name in list(PAST)[1:]},
    }
    return {name: np.asarray(made[name], KINDS[name]) for name in HELD}


def listeners_of(
    held: Mapping[str, NDArray[Any]], shelf: Callable[[Int64Array], RecordingTable], today: int
) -> UserBlock:
    """Build a `UserBlock` from the arrays `HELD`.

    Args:
        held: the arrays of `gathered`.
        shelf: returns the facts of recordings, given their int64 numbers, as `RecordingTable.rows_of` does.
        today: as_of, in days since 1970.
    """
    recording, bits = held["recording"].astype(np.int64), held["bits"]
    facts = shelf(recording)
    return UserBlock(
        idx=held["idx"],
        market=held["market"],
        clean=held["clean"].astype(bool),
        declared=(held["declared_ends"], held["declared"]),
        ends=held["ends"],
        recording=recording,
        **{name: held[name].astype(np.int64) for name in ("plays", "first_day", "last_day")},
        weight=taste_weights(held["weight"].astype(np.float64), facts),
        heard=bits & eligibility.HEARD > 0,
        excluded=bits & (eligibility.BLOCKED | eligibility.REFUSED) > 0,
        facts=facts,
        today=today,
    )


def _each(work: Callable[[UserBlock], Any], today: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a task that calls `work` with the users of each row of `_listeners`.

    Args:
        work: returns either an Arrow table, whose rows are emitted, or a dict of columns, which are emitted
            with the column `block` as one row.
        today: as_of, in days since 1970.
    """

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        reader = Reader()
        for batch in batches:
            for i in range(batch.num_rows):
                row = batch.slice(i, 1)
                held = {name: unpack_values(row[name], KINDS[name]) for name in HELD}
                made = work(listeners_of(held, reader.of(row).rows_of, today))
                yield from (
                    made.to_batches()
                    if isinstance(made, pa.Table)
                    else [pa.RecordBatch.from_pydict({"block": row["block"]} | made)]
                )

    return run


def _ask(listeners: UserBlock, sources: Sequence[Source], config: Config) -> dict[str, Any]:
    """Return the request of a block: columns `ASKED`, and `keys`, its distinct pairs (source, key)."""
    asked = [seeds_of(source, listeners, getattr(config.sources, source.name)) for source in sources]
    of = np.repeat([source.bit for source in sources], [len(seeds.user) for seeds in asked]).astype(np.int8)
    row, key, weight = (
        np.concatenate([getattr(seeds, name) for seeds in asked]) for name in ("user", "key", "weight")
    )
    pairs = np.unique(np.stack([of.astype(np.int64), key]), axis=1)
    bars = {kind: excluded_recordings(listeners, new=kind == "new") for kind in ("new", "both")}
    made = {"users": listeners.idx, "source": of, "row": row, "key": key, "weight": weight}
    made |= {f"{kind}_ends": ends for kind, (ends, _) in bars.items()} | {
        kind: rows for kind, (_, rows) in bars.items()
    }
    keys = pa.StructArray.from_arrays(
        [pa.array(pairs[0].astype(np.int8)), pa.array(pairs[1])], ["source", "key"]
    )
    return {
        name: pa.array([np.asarray(made[name], kind).tobytes()], pa.binary()) for name, kind in ASKED.items()
    } | {"keys": pa.ListArray.from_arrays(pa.array([0, len(keys)], pa.int32()), keys)}


def _answer(sources: Sequence[Source], config: Config, today: int) -> Callable[[Any, Any], Any]:
    def run(asked: Any, lists: Any) -> Any:
        given = {name: unpack_values(asked[name], kind) for name, kind in ASKED.items()}
        users, of = given["users"], np.asarray(lists["source"])
        made = []
        for source in sources:
            shelves = SourceLists.from_arrow(lists.filter(pa.array(of == source.bit)))
            seeds = given["source"] == source.bit
            ends = user_ends(given["row"][seeds].astype(np.int64), len(users))
            kind = "new" if source.emits == "new" else "both"
            past = (given[f"{kind}_ends"], given[kind])
            asks = (ends, given["key"][seeds], given["weight"][seeds])
            found = look_up_lists(
                source,
                asks,
                shelves,
                past,
                users=users,
                k=getattr(config.sources, source.name).k,
                today=today,
            )
            made.append(_rows(source, users, found))
        return pa.Table.from_batches(made)

    return run


def _offer(listeners: UserBlock, sources: Sequence[Source], config: Config) -> pa.Table:
    made = [
        _rows(
            source,
            listeners.idx,
            propose_from_history(source, listeners, getattr(config.sources, source.name)),
        )
        for source in sources
    ]
    return pa.Table.from_batches(made).combine_chunks()


def _rows(source: Source, users: Int32Array, proposed: Proposals) -> pa.RecordBatch:
    """Return a batch of `ROWS`, one row for each user to whom the source proposes at least one recording."""
    some = np.diff(proposed.ends) > 0
    ends = 4 * np.concatenate([proposed.ends[:1], proposed.ends[1:][some]])
    columns = [
        pa.array(users[some]),
        pa.array(np.full(some.sum(), source.bit, np.int8)),
        binaries(proposed.recordings, ends),
        binaries(proposed.scores, ends),
        pa.array(proposed.masked[some]),
        pa.array(proposed.lot_size[some]),
    ]
    names = ["user_idx", "source", "recordings", "scores", "masked", "lot_size"]
    return pa.RecordBatch.from_arrays(columns, names)
