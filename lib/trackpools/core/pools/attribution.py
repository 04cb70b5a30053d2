"""Explain a candidate by something that the user likes: a recording, an artist or a tag.

This works for the sources that look up ranked lists. The key of a list is the thing that the user likes (see
`Source.keyed`), and the list that adds most to the candidate's score explains the candidate.
"""

import numpy as np

from trackpools.core.arrays.array_types import IntArray
from trackpools.core.sources.lookup_arrays import SourceLists
from trackpools.core.sources.user_block import Seeds


def carriers(seeds: Seeds, lists: SourceLists, recordings: IntArray) -> dict[int, int]:
    """Return, for each recording, the key of the list that adds most to the recording's score.

    A list adds the weight of its seed times the score of the recording in the list. If two lists add equally
    much, the one with the lower key is returned.

    Args:
        seeds: the seeds of one user for one source.
        lists: the lists of the same source; seeds without a list are ignored.
        recordings: int, the recordings to explain.

    Returns:
        recording → key, without the recordings that are in none of the lists.
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
