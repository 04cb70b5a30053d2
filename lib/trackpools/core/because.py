"""Which of a listener's loves carried a recording into the pool: the list that adds most to it, of those that its source looks up."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.core.sources.asking import Shelves
from trackpools.core.sources.listeners import Seeds

Longs = NDArray[np.int64]


def carriers(seeds: Seeds, lists: Shelves, recordings: Any) -> dict[int, int]:
    """Recording → key of the list whose weight · score is greatest for it, of equals the lower key; those that are in no list are left out.

    Args:
        seeds: of one listener and source.
        lists: of the same source; keys that it has no list of count nothing.
        recordings: int, whose carriers are asked for.
    """
    order = np.argsort(seeds.key, kind="stable")
    best: dict[int, tuple[float, int]] = {}
    for key, weight, at in zip(
        seeds.key[order].tolist(),
        seeds.weight[order].tolist(),
        lists.find(seeds.key[order]).tolist(),
        strict=True,
    ):
        if at < 0:
            continue
        mine = slice(lists.ends[at], lists.ends[at + 1])
        there = np.isin(lists.recordings[mine], recordings)
        for recording, score in zip(
            lists.recordings[mine][there].tolist(), lists.scores[mine][there].tolist(), strict=True
        ):
            if recording not in best or weight * score > best[recording][0]:
                best[recording] = weight * score, key
    return {recording: key for recording, (_, key) in best.items()}
