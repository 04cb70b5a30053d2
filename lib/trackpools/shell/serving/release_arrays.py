"""Build the arrays of a release's recordings from tables that the caller's function reads."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trackpools.config import Config
from trackpools.core.als.factors import factor_matrix
from trackpools.core.arrays.recording_table import FACTS, RecordingTable
from trackpools.core.pools.online import ReleaseArrays, Stripe
from trackpools.core.sources import als, fresh, vectors
from trackpools.core.sources.lookup_arrays import SourceLists
from trackpools.shell.serving.switch_watch import markets

# bit of a source that ranks by vectors → table of the users' vectors, table of the recordings' vectors
SPACES = {
    als.BIT: ("user_factors", "recording_factors"),
    fresh.BIT: ("user_factors", "fresh_factors"),
    vectors.BIT: ("user_vectors", "recording_vectors"),
}
CARDS = ("recording_idx", "market", "available", "track_id", "clean_track_id")
# (name of a table, columns) → an Arrow table with those of the columns that the stored table has
Read = Callable[[str, Sequence[str]], Any]


def arrays(read: Read, config: Config, as_of: datetime) -> ReleaseArrays:
    """Build all arrays of recordings that pools look up.

    This takes some seconds and some gigabytes of memory for each million recordings.

    Args:
        read: a function that reads columns of a table of the release.
        config: the merged configuration.
        as_of: the moment that pools are computed for.
    """
    return ReleaseArrays(
        config=config,
        as_of=as_of,
        recording_table=RecordingTable.from_arrow(read("recording_facts", FACTS).combine_chunks()),
        markets=markets(read("track_cards", CARDS), pa.array([], pa.string())),
        lists=_lists(read("source_lists", ("source", "key", "recordings", "scores"))),
        spaces={
            bit: _space(read(name, ("idx", "factors")), config, bit) for bit, (_, name) in SPACES.items()
        },
    )


def _lists(rows: Any) -> dict[int, SourceLists]:
    return {
        bit: SourceLists.from_arrow(rows.filter(pc.equal(rows["source"], bit)))
        for bit in pc.unique(rows["source"]).to_pylist()
    }


def _space(rows: Any, config: Config, bit: int) -> tuple[Stripe, ...]:
    """Split a table `idx, factors` into stripes (ranges of recordings), indexed if the batch indexes them."""
    rows, topk = rows.sort_by("idx").combine_chunks(), config.topk
    idx = np.asarray(rows["idx"], np.int32)
    y = factor_matrix(rows["factors"]) if len(idx) else np.empty((0, 1), np.float32)
    return Stripe.all_of(
        y, idx, None if bit == fresh.BIT or len(idx) <= topk.exact_max else topk.index_stripe
    )
