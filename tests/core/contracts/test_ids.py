"""Tests of ids: dense, one to one, and never renumbered.

The new ids are a function of the set of raw ids and of the ids given before.
"""

import random

import pytest
from chispa import assert_df_equality
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import rows
from trackpools.core.contracts.ids import INT32_MAX, new_ids, recording_of
from trackpools.core.contracts.table_checks import id_violations

NONE = "user_id string, user_idx int"
RAW = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
ODD = [
    "a",
    "A",
    "ä",
    "a\u0308",
    " a",
    "a ",
    "😀",
    "\u0000",
    "a\u200b",
    "1",
    "01",
    "null",
    "\uffff",
    "x" * 4096,
    "ﬀ",
    "ff",
]


def number_ids(spark, seen, known, partitions=3):
    """Return the new rows as {id: idx}; `seen` may hold nulls and repeats, `known` is {id: idx}."""
    frame = spark.createDataFrame([(one,) for one in seen], "user_id string").repartition(partitions)
    return {
        row["user_id"]: row["user_idx"]
        for row in new_ids(
            frame, spark.createDataFrame(list(known.items()), NONE), "user_id", "user_idx"
        ).collect()
    }


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.lists(RAW | st.sampled_from(ODD) | st.none(), max_size=300), min_size=1, max_size=2),
    st.randoms(use_true_random=False),
)
def test_any_strings_in_any_appends_become_dense_ints_that_never_change(spark, appends, order):
    known = {}
    for seen in appends:
        shuffled = [*seen, *seen[:5], None]
        order.shuffle(shuffled)
        new = number_ids(spark, shuffled, known, order.choice([1, 2, 7]))
        assert set(new) == set(seen) - set(known) - {None}
        assert sorted(new.values()) == list(range(len(known), len(known) + len(new)))
        known |= new


def test_ids_do_not_depend_on_order_repeats_nulls_or_partitions(spark):
    seen = [f"user {i}" for i in range(2000)] + ODD
    known = spark.createDataFrame([(f"old {i}", i) for i in range(50)], NONE)
    frames = []
    for partitions in (1, 2, 7):
        given = seen + random.Random(partitions).choices(seen, k=500) + [None] * partitions
        random.Random(partitions).shuffle(given)
        frame = spark.createDataFrame([(one,) for one in given], "user_id string").repartition(partitions)
        assert frame.rdd.getNumPartitions() == partitions
        frames.append(new_ids(frame, known, "user_id", "user_idx").cache())
    for other in frames[1:]:
        assert_df_equality(frames[0], other, ignore_row_order=True)
    everything = known.union(frames[0].select("user_id", "user_idx"))
    assert id_violations(everything, "user_id", "user_idx").first().asDict() == {
        "rows": 2050 + len(ODD),
        "an id twice": 0,
        "an idx twice": 0,
        "a gap in the idx": 0,
    }
    for frame in frames:
        frame.unpersist()


def test_no_new_ids_give_no_rows_and_no_number_is_given_twice(spark):
    known = {"a": 0, "b": 1}
    assert number_ids(spark, ["a", "b", "a", None], known) == {}
    assert number_ids(spark, [], {}) == {}


def test_an_overflow_of_int32_can_be_seen(spark):
    assert set(number_ids(spark, ["a", "b"], {"last": INT32_MAX}).values()) == {INT32_MAX + 1, INT32_MAX + 2}


def test_a_recording_is_the_track_where_the_catalogue_names_none(spark):
    tracks = rows(
        spark,
        "tracks",
        {"track_id": "t1", "recording_id": "r"},
        {"track_id": "t2", "recording_id": "r"},
        {"track_id": "t3"},
    )
    expected = spark.createDataFrame(
        [("t1", "r"), ("t2", "r"), ("t3", "t3")], "track_id string, recording_id string"
    )
    assert_df_equality(recording_of(tracks), expected, ignore_row_order=True, ignore_nullable=True)


def test_the_largest_int_can_be_checked(spark):
    ids = spark.createDataFrame([("a", INT32_MAX)], NONE)
    assert id_violations(ids, "user_id", "user_idx").first()["a gap in the idx"] == INT32_MAX


def test_broken_ids_are_counted(spark):
    ids = spark.createDataFrame([("a", 0), ("a", 1), ("b", 1), ("c", 7)], NONE)
    assert id_violations(ids, "user_id", "user_idx").first().asDict() == {
        "rows": 4,
        "an id twice": 1,
        "an idx twice": 1,
        "a gap in the idx": 5,
    }
    assert id_violations(ids.where("false"), "user_id", "user_idx").first().asDict() == {
        "rows": 0,
        "an id twice": 0,
        "an idx twice": 0,
        "a gap in the idx": 0,
    }


@pytest.mark.parametrize(("numbers", "twice", "gap"), [((-1, 0, 2), 0, 2), ((-2,), 0, 1), ((0, 0, 2), 1, 1)])
def test_a_gap_is_not_hidden_by_a_negative_or_a_repeated_idx(spark, numbers, twice, gap):
    ids = spark.createDataFrame([(f"u{n}", idx) for n, idx in enumerate(numbers)], NONE)
    found = id_violations(ids, "user_id", "user_idx").first()
    assert (found["an idx twice"], found["a gap in the idx"]) == (twice, gap)
