"""Tests of the attribution of pooled recordings to the loved recordings that led to them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trackpools.core.pools.attribution import carriers
from trackpools.core.sources.lookup_arrays import SourceLists
from trackpools.core.sources.user_block import Seeds

NUMBERS = st.integers(1, 3)  # few values, so that many are equal


@given(
    seeds=st.dictionaries(NUMBERS, NUMBERS, max_size=6),
    lists=st.dictionaries(NUMBERS, st.dictionaries(NUMBERS, NUMBERS, max_size=6), max_size=6),
    wanted=st.sets(NUMBERS),
)
def test_a_recording_is_attributed_to_the_list_that_adds_most_with_ties_to_the_lower_key(
    seeds, lists, wanted
):
    keys = sorted(lists)
    items = [item for key in keys for item in lists[key].items()]
    shelves = SourceLists(
        np.array(keys, np.int64),
        np.cumsum([0, *(len(lists[key]) for key in keys)]),
        np.array([r for r, _ in items], np.int32),
        np.array([s for _, s in items], np.float32),
    )
    asked = Seeds(
        np.zeros(len(seeds), np.int64),
        np.array(list(seeds), np.int64),
        np.array(list(seeds.values()), np.float64),
    )
    expected = {}
    for recording in wanted:
        added = {
            key: weight * lists[key][recording]
            for key, weight in seeds.items()
            if recording in lists.get(key, {})
        }
        if added:
            expected[recording] = min(key for key, value in added.items() if value == max(added.values()))
    assert carriers(asked, shelves, np.array(sorted(wanted), np.int64)) == expected
