"""The arrays of a release's recordings, from its tables however they are read."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trackpools.config import Config
from trackpools.core.als.factors import matrix
from trackpools.core.on_demand import Release, Stripe
from trackpools.core.shelf import FACTS, Shelf
from trackpools.core.sources import als, fresh, vectors
from trackpools.core.sources.asking import Shelves
from trackpools.shell.watching import markets

# bit of a source that ranks by vectors → tables of those of users and of recordings
SPACES = {
    als.BIT: ("user_factors", "recording_factors"),
    fresh.BIT: ("user_factors", "fresh_factors"),
    vectors.BIT: ("user_vectors", "recording_vectors"),
}
CARDS = ("recording_idx", "market", "available", "track_id", "clean_track_id")
Read = Callable[
    [str, Sequence[str]], Any
]  # columns of a table of the release, as far as it has them, as an Arrow table


def arrays(read: Read, config: Config, as_of: datetime) -> Release:
    """All that pools look up of recordings; some seconds and some gigabytes a million of them."""
    return Release(
        config=config,
        as_of=as_of,
        shelf=Shelf.of_table(read("recording_facts", FACTS).combine_chunks()),
        markets=markets(read("track_cards", CARDS), pa.array([], pa.string())),
        lists=_lists(read("source_lists", ("source", "key", "recordings", "scores"))),
        spaces={
            bit: _space(read(name, ("idx", "factors")), config, bit) for bit, (_, name) in SPACES.items()
        },
    )


def _lists(rows: Any) -> dict[int, Shelves]:
    return {
        bit: Shelves.of_table(rows.filter(pc.equal(rows["source"], bit)))
        for bit in pc.unique(rows["source"]).to_pylist()
    }


def _space(rows: Any, config: Config, bit: int) -> tuple[Stripe, ...]:
    """Of a table of factors; with indexes where the batch has some."""
    rows, topk = rows.sort_by("idx").combine_chunks(), config.topk
    idx = np.asarray(rows["idx"], np.int32)
    y = matrix(rows["factors"]) if len(idx) else np.empty((0, 1), np.float32)
    return Stripe.all_of(
        y, idx, None if bit == fresh.BIT or len(idx) <= topk.exact_max else topk.index_stripe
    )
