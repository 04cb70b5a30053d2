"""Lay out the tables of a release as plain arrays, and build `ReleaseArrays` from plain arrays.

Plain arrays can be written to files and mapped into memory (see `shell.arrays`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trackpools.config import Config, TopkConfig
from trackpools.core.als.factors import factor_matrix
from trackpools.core.arrays.recording_table import COLUMNS, FACTS, RecordingTable
from trackpools.core.proposals.release_arrays import MarketMask, ReleaseArrays, Stripe, build_indexes
from trackpools.core.rules.market_masks import mask_of_cards
from trackpools.core.sources import SOURCES
from trackpools.core.sources.lookup_arrays import SourceLists

# Raise this number when the arrays of a table change for the same rows; older files are then not used.
LAYOUT = 1
# bit of a source that ranks by vectors → where these vectors are
SPACES = {source.bit: source.vectors for source in SOURCES if source.vectors is not None}
CARDS = ("recording_idx", "market", "available", "track_id", "clean_track_id")


@dataclass(frozen=True)
class LaidOut:
    """The arrays of one table.

    Attributes:
        arrays: name → array.
        labels: what the numbers in the names of the arrays stand for; empty where names have no number.
    """

    arrays: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableLayout:
    """How a table becomes arrays.

    Attributes:
        columns: the columns that are read; a table of an older release may lack some of them.
        lay_out: returns the arrays of an Arrow table with these columns. They do not depend on the order of
            the rows.
        indexed: whether the arrays contain an index if there are more rows than `topk.exact_max`.
    """

    columns: tuple[str, ...]
    lay_out: Callable[[pa.Table], LaidOut]
    indexed: bool = False


def _facts(rows: pa.Table) -> LaidOut:
    """Return the arrays of `RecordingTable`."""
    table = RecordingTable.from_arrow(rows.combine_chunks())
    return LaidOut({name: getattr(table, name) for name in COLUMNS})


def _masks(cards: pa.Table) -> LaidOut:
    """Return `bars_<i>` and `withheld_<i>` of each market (see `MarketMask`); label i is its name."""
    names: list[str] = sorted(pc.unique(cards["market"]).to_pylist())
    arrays: dict[str, NDArray[Any]] = {}
    for i, name in enumerate(names):
        bars, withheld = mask_of_cards(cards.filter(pc.equal(cards["market"], name)))
        arrays |= {f"bars_{i}": bars, f"withheld_{i}": withheld}
    return LaidOut(arrays, tuple(names))


def _lists(rows: pa.Table) -> LaidOut:
    """Return `keys_<i>`, `ends_<i>`, `recordings_<i>`, `scores_<i>` (see `SourceLists`); label i is the bit."""
    bits: list[int] = sorted(pc.unique(rows["source"]).to_pylist())
    arrays: dict[str, NDArray[Any]] = {}
    for i, bit in enumerate(bits):
        lists = SourceLists.from_arrow(rows.filter(pc.equal(rows["source"], bit)))
        arrays |= {f"{name}_{i}": getattr(lists, name) for name in ("keys", "ends", "recordings", "scores")}
    return LaidOut(arrays, tuple(map(str, bits)))


def _vectors(rows: pa.Table) -> LaidOut:
    """Return `idx` (int32, ascending) and `y` (float32 [recordings, length])."""
    rows = rows.sort_by("idx").combine_chunks()
    y = factor_matrix(rows["factors"]) if len(rows) else np.empty((0, 1), np.float32)
    return LaidOut({"idx": np.asarray(rows["idx"], np.int32), "y": y})


LAYOUTS: Mapping[str, TableLayout] = {
    "recording_facts": TableLayout(FACTS, _facts),
    "track_cards": TableLayout(CARDS, _masks),
    "source_lists": TableLayout(("source", "key", "recordings", "scores"), _lists),
    **{
        tables.recordings: TableLayout(("idx", "factors"), _vectors, tables.indexed)
        for tables in SPACES.values()
    },
}


def is_indexed(table: str, rows: int, topk: TopkConfig) -> bool:
    """Return whether the arrays of a table with so many rows contain an index for approximate search."""
    return LAYOUTS[table].indexed and rows > topk.exact_max


def lay_out(table: str, rows: pa.Table, topk: TopkConfig) -> LaidOut:
    """Return the arrays of a table.

    The arrays of an indexed table also contain `starts` and `index_<i>` for each stripe i; see
    `Stripe.indexed`.

    Args:
        table: name of the table, one of `LAYOUTS`.
        rows: an Arrow table with the columns of the layout.
        topk: the settings of the search.

    Raises:
        ConfigError: if an index is needed and faiss is not installed.
    """
    laid_out = LAYOUTS[table].lay_out(rows)
    if not is_indexed(table, len(rows), topk):
        return laid_out
    arrays = laid_out.arrays
    starts, indexes = build_indexes(arrays["y"], arrays["idx"], topk.index_stripe)
    return LaidOut({**arrays, "starts": starts} | {f"index_{i}": data for i, data in enumerate(indexes)})


def release_arrays(laid_out: Mapping[str, LaidOut], config: Config, as_of: datetime) -> ReleaseArrays:
    """Build the arrays that pools are made from.

    Args:
        laid_out: name of the table → its arrays, for each table of `LAYOUTS`.
        config: the configuration to make pools with.
        as_of: the moment that pools are made for.
    """
    return ReleaseArrays(
        config=config,
        as_of=as_of,
        recording_table=RecordingTable(**laid_out["recording_facts"].arrays),
        markets=market_masks_of(laid_out["track_cards"]),
        lists=_lists_of(laid_out["source_lists"]),
        spaces={bit: stripes_of(laid_out[tables.recordings]) for bit, tables in SPACES.items()},
    )


def market_masks(cards: pa.Table) -> dict[str, MarketMask]:
    """Return market → mask, from an Arrow table with the columns `CARDS` of `track_cards`."""
    return market_masks_of(_masks(cards))


def market_masks_of(laid_out: LaidOut) -> dict[str, MarketMask]:
    """Return market → mask, from the arrays of `track_cards`."""
    arrays = laid_out.arrays
    return {
        name: MarketMask(arrays[f"bars_{i}"], arrays[f"withheld_{i}"])
        for i, name in enumerate(laid_out.labels)
    }


def _lists_of(laid_out: LaidOut) -> dict[int, SourceLists]:
    arrays = laid_out.arrays
    return {
        int(bit): SourceLists(
            arrays[f"keys_{i}"], arrays[f"ends_{i}"], arrays[f"recordings_{i}"], arrays[f"scores_{i}"]
        )
        for i, bit in enumerate(laid_out.labels)
    }


def stripes_of(laid_out: LaidOut) -> tuple[Stripe, ...]:
    """Return the stripes of the vectors of a table."""
    arrays = laid_out.arrays
    if "starts" not in arrays:
        return Stripe.exact(arrays["y"], arrays["idx"])
    count = len(arrays["starts"]) - 1
    return Stripe.indexed(
        arrays["y"], arrays["idx"], arrays["starts"], tuple(arrays[f"index_{i}"] for i in range(count))
    )
