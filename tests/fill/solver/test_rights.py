"""Tests of rights that end between a release and a fill: only tracks without rights are left out."""

import datetime as dt

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.fill.solver.rights import ended, lapsed, playable

DAY = dt.date(2025, 6, 1)
RIGHTS = pa.list_(pa.struct([("market", pa.string()), ("from", pa.date32()), ("until", pa.date32())]))
days = st.none() | st.integers(-5, 5).map(lambda n: DAY + dt.timedelta(days=n))
rights = st.none() | st.lists(
    st.fixed_dictionaries({"market": st.sampled_from(["SE", "NO", "FI"]), "from": days, "until": days}),
    max_size=4,
)


def may_play(told, market, groups, day):
    """Return whether a track may be played, by the rule applied to one right at a time."""
    if not told:
        return True
    return any(
        groups.get(one["market"], one["market"]) == market
        and (one["from"] or dt.date.min) <= day < (one["until"] or dt.date.max)
        for one in told
    )


@settings(deadline=None)
@given(
    st.lists(rights, max_size=8), st.integers(0, 4), st.sampled_from([{}, {"SE": "nordic", "NO": "nordic"}])
)
def test_only_tracks_whose_rights_ended_since_the_release_are_found(catalogue, later, groups):
    today = DAY + dt.timedelta(days=later)
    table = pa.table(
        {
            "track_id": pa.array([f"t{n}" for n in range(len(catalogue))], pa.string()),
            "rights": pa.array(catalogue, RIGHTS),
        }
    )
    rows = [row for batch in table.to_batches() for row in ended(batch, DAY, today).to_pylist()]
    for market in ("SE", "NO", "FI", "nordic", "*"):
        gone = lapsed(rows, market, groups, today)
        for n, told in enumerate(catalogue):
            if f"t{n}" in gone:
                assert not may_play(told, market, groups, today)
            elif may_play(told, market, groups, DAY):
                assert may_play(told, market, groups, today)


def test_a_column_of_tracks_is_looked_up():
    ids = pa.chunked_array([pa.array(["a", None]), pa.array(["b"])])
    assert playable(ids, frozenset()).tolist() == [True, True, True]
    assert playable(ids, frozenset({"b", "c"})).tolist() == [True, True, False]
    assert playable(ids, frozenset({"b"})).dtype == np.bool_
