"""Because of which love a recording is in a pool."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trackpools.core.because import carriers
from trackpools.core.sources.asking import Shelves
from trackpools.core.sources.listeners import Seeds

NUMBERS = st.integers(1, 3)  # few, so that many are equal


@given(
    seeds=st.dictionaries(NUMBERS, NUMBERS, max_size=6),
    lists=st.dictionaries(NUMBERS, st.dictionaries(NUMBERS, NUMBERS, max_size=6), max_size=6),
    wanted=st.sets(NUMBERS),
)
def test_the_list_that_adds_most_carries_it_and_of_equals_the_lower_key(seeds, lists, wanted):
    keys = sorted(lists)
    items = [item for key in keys for item in lists[key].items()]
    shelves = Shelves(
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
