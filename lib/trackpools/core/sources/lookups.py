"""The Spark frame of sources that look lists up: histories by block of users → keys asked for → lists joined → answers, one row a user and source."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core import rules
from trackpools.core.packing import Blocks, Lists, binaries, packed, values
from trackpools.core.shelf import Reader, Shelf, tag_code, with_shelf
from trackpools.core.sources.asking import (
    Proposed,
    Shelves,
    answered,
    asked_by,
    barred,
    by_user,
    offered,
    seeds_of,
)
from trackpools.core.sources.inputs import ListInputs, SourceInputs
from trackpools.core.sources.keys import market_code
from trackpools.core.sources.listeners import NEVER, Listeners, taste_only
from trackpools.core.sources.source import Source

PAST = {
    "user_idx": np.int32,
    "recording": np.int32,
    "plays": np.int16,
    "first_day": np.int32,
    "last_day": np.int32,
    "weight": np.float32,
    "bits": np.uint8,
}
WHO = {
    "idx": np.int32,
    "market": np.int64,
    "clean": np.uint8,
    "declared_ends": np.int64,
    "declared": np.int64,
}
HELD = [*WHO, "ends", *list(PAST)[1:]]
KINDS = WHO | PAST | {"ends": np.int64}
# what a block asks for: its seeds by source and user, and what each kind of source must not propose
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
ROWS = "user_idx int, source tinyint, recordings binary, scores binary, masked int"


def all_lists(inputs: ListInputs, sources: Sequence[Source]) -> DataFrame:
    """`source_lists` of the sources that look lists up."""
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
    """Frames of what these sources propose: of those that look lists up one, of those by history alone one."""
    looking, own = asked_by(sources)
    told = with_shelf(_listeners(inputs), inputs.shelf)
    day, config = inputs.today, inputs.config  # functions go to tasks, frames cannot
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
    """The codes of a user's `declared_tags`, as `declared`."""
    return F.transform(
        F.coalesce("declared_tags", F.array().cast("array<string>")), lambda tag: tag_code(tag).cast("long")
    ).alias("declared")


def packed_past(inputs: SourceInputs, blocks: Blocks) -> DataFrame:
    """`block long` and `PAST`: what users met; see `packing.packed`."""
    days = [F.coalesce(name, F.lit(NEVER)).alias(name) for name in ("first_day", "last_day")]
    recording, bits = F.col("recording_idx").alias("recording"), rules.history_bits().alias("bits")
    return packed(inputs.history.select("user_idx", recording, "plays", *days, "weight", bits), blocks, PAST)


def _listeners(inputs: SourceInputs) -> DataFrame:
    """Users in blocks with their histories: `block long` and `HELD`, a row a block; independent of partitions."""
    blocks = Blocks(inputs.config.pools.user_block, inputs.few)
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


def _gather(people: Any, past: Any) -> Any:
    made = gathered(people.sort_by("user_idx"), past)
    columns = {"block": people["block"][:1]} | {
        name: pa.array([data.tobytes()], pa.binary()) for name, data in made.items()
    }
    return pa.table({name: column[: min(len(people), 1)] for name, column in columns.items()})


def gathered(people: Any, past: Any) -> dict[str, Any]:
    """`HELD` of a block.

    Args:
        people: Arrow table `user_idx, market long, clean, declared array<long>`, by `user_idx`.
        past: of `packed_past`.
    """
    idx, told = people["user_idx"].to_numpy(), people["declared"].combine_chunks()
    rows = {name: values(past[name], kind) for name, kind in PAST.items()}
    order = np.lexsort((rows["recording"], rows["user_idx"]))
    lists = Lists.of(idx, rows["user_idx"][order])
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


def listeners_of(held: dict[str, Any], shelf: Callable[[Any], Shelf], today: int) -> Listeners:
    """`HELD` as a block; `shelf` tells the facts of recordings."""
    recording, bits = held["recording"].astype(np.int64), held["bits"]
    facts = shelf(recording)
    return Listeners(
        idx=held["idx"],
        market=held["market"],
        clean=held["clean"].astype(bool),
        declared=(held["declared_ends"], held["declared"]),
        ends=held["ends"],
        recording=recording,
        **{name: held[name].astype(np.int64) for name in ("plays", "first_day", "last_day")},
        weight=taste_only(held["weight"].astype(np.float64), facts),
        heard=bits & rules.HEARD > 0,
        closed=bits & (rules.BLOCKED | rules.REFUSED) > 0,
        facts=facts,
        today=today,
    )


def _each(work: Callable[[Listeners], Any], today: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """`work` on the listeners of each row of `_listeners`; what it returns is a table or a dict to add to `block`."""

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        reader = Reader()
        for batch in batches:
            for i in range(batch.num_rows):
                row = batch.slice(i, 1)
                held = {name: values(row[name], KINDS[name]) for name in HELD}
                made = work(listeners_of(held, reader.of(row).at, today))
                yield from (
                    made.to_batches()
                    if isinstance(made, pa.Table)
                    else [pa.RecordBatch.from_pydict({"block": row["block"]} | made)]
                )

    return run


def _ask(listeners: Listeners, sources: Sequence[Source], config: Any) -> dict[str, Any]:
    """Of a block: `ASKED`, and the keys, each once."""
    asked = [seeds_of(source, listeners, getattr(config.sources, source.name)) for source in sources]
    of = np.repeat([source.bit for source in sources], [len(seeds.user) for seeds in asked]).astype(np.int8)
    row, key, weight = (
        np.concatenate([getattr(seeds, name) for seeds in asked]) for name in ("user", "key", "weight")
    )
    pairs = np.unique(np.stack([of.astype(np.int64), key]), axis=1)
    bars = {kind: barred(listeners, new=kind == "new") for kind in ("new", "both")}
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


def _answer(sources: Sequence[Source], config: Any, today: int) -> Callable[[Any, Any], Any]:
    def run(asked: Any, lists: Any) -> Any:
        given = {name: values(asked[name], kind) for name, kind in ASKED.items()}
        users, of = given["users"], np.asarray(lists["source"])
        made = []
        for source in sources:
            shelves = Shelves.of_table(lists.filter(pa.array(of == source.bit)))
            seeds = given["source"] == source.bit
            ends = by_user(given["row"][seeds].astype(np.int64), len(users))
            kind = "new" if source.emits == "new" else "both"
            past = (given[f"{kind}_ends"], given[kind])
            asks = (ends, given["key"][seeds], given["weight"][seeds])
            found = answered(
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


def _offer(listeners: Listeners, sources: Sequence[Source], config: Any) -> Any:
    made = [
        _rows(source, listeners.idx, offered(source, listeners, getattr(config.sources, source.name)))
        for source in sources
    ]
    return pa.Table.from_batches(made).combine_chunks()


def _rows(source: Source, users: Any, proposed: Proposed) -> Any:
    """One row each user to whom something is proposed."""
    some = np.diff(proposed.ends) > 0
    ends = 4 * np.concatenate([proposed.ends[:1], proposed.ends[1:][some]])
    columns = [
        pa.array(users[some]),
        pa.array(np.full(some.sum(), source.bit, np.int8)),
        binaries(proposed.recordings, ends),
        binaries(proposed.scores, ends),
        pa.array(proposed.masked[some]),
    ]
    return pa.RecordBatch.from_arrays(columns, ["user_idx", "source", "recordings", "scores", "masked"])
