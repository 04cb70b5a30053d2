"""Tests of `conform`, of the content hash, and of the keys that `tables.py` declares."""

import datetime as dt

import pytest
from chispa import assert_df_equality
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from builders import rows
from trackpools import tables as t
from trackpools.core.contracts.conform import conform, content_hash, repeated_keys
from trackpools.errors import ContractError


def test_conform_selects_orders_casts_and_fills_with_null(spark):
    given_ = spark.createDataFrame(
        [("a", "u", "x", 7)], "extra string, user_id string, explicit_policy string, tier int"
    )
    expected = rows(spark, "users", {"user_id": "u", "explicit_policy": "x", "tier": "7"})
    assert_df_equality(conform(given_, t.USERS), expected, ignore_nullable=True, ignore_metadata=True)


def test_every_required_column_that_is_absent_is_named(spark):
    with pytest.raises(ContractError) as refused:
        conform(spark.createDataFrame([(1,)], "user_idx int"), t.USER_FACTORS)
    assert [problem.split()[0] for problem in refused.value.problems] == [
        f"user_factors.{name}" for name in ("idx", "factors", "model_version", "id_version")
    ]
    assert "the frame has the columns user_idx" in str(refused.value)


def hash_of(frame, table):
    row = content_hash(frame, table).first()
    assert row["hash"].startswith(f"{row['rows']}:")
    return row["hash"]


POOL = {
    "user_idx": 1,
    "emitted": 3,
    "drops": {"rights": 1, "blocked": 2},
    "shortfall": {"wanted": 5, "got": 1, "rule": "rights"},
    "candidates": [
        {
            "recording": 1,
            "score": 0.5,
            "sources": 1,
            "reason": 0,
            "reason_arg": 1,
            "plays": 0,
            "last_day": None,
            "propensity": 1.0,
        }
    ],
}


def test_run_ids_and_clocks_are_not_hashed_and_everything_else_is(spark):
    base = hash_of(rows(spark, "pools", POOL), t.POOLS)
    same = POOL | {
        "as_of": dt.datetime(2030, 1, 1),
        "valid_until": dt.datetime(2030, 1, 1),
        "model_version": "other",
        "drops": {"blocked": 2, "rights": 1},
    }
    assert hash_of(rows(spark, "pools", same), t.POOLS) == base
    other = [
        {"user_idx": 2},
        {"emitted": 4},
        {"drops": {"rights": 2, "blocked": 1}},
        {"shortfall": None},
        {"shortfall": {"wanted": 5, "got": 1, "rule": "heard"}},
        {"candidates": []},
        {"candidates": [POOL["candidates"][0] | {"score": 0.25}]},
        {"candidates": [POOL["candidates"][0] | {"last_day": 0}]},
        {"candidates": POOL["candidates"] * 2},
        {"bucket": 1},
    ]
    hashes = [hash_of(rows(spark, "pools", POOL | change), t.POOLS) for change in other]
    assert len({base, *hashes}) == len(other) + 1


def test_a_value_that_moves_to_another_column_changes_the_hash(spark):
    """Check that nulls count by their column.

    xxhash64 skips nulls: without more, (null, x) and (x, null) would be the same row, and so would null, []
    and [null]. Nulls inside an array or a struct are still skipped; our tables hold none but `last_day`.
    """
    tracks = [
        {"title": "x"},
        {"album_id": "x"},
        {"version_kind": "x"},
        {"tags": ["x"]},
        {"tags": []},
        {"tags": None},
        {"tags": [None]},
        {"artist_ids": ["x"]},
        {"artist_names": ["x"]},
        {"artist_names": ["x", None]},
    ]
    hashes = [hash_of(rows(spark, "tracks", track), t.TRACKS) for track in tracks]
    assert len(set(hashes)) == len(hashes)


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers(0, 2**31 - 1)),
        min_size=1,
        max_size=50,
    ),
    st.randoms(),
)
def test_order_and_partitions_keep_the_hash_and_a_repeated_row_changes_it(spark, pairs, order):
    def frame(given_, partitions):
        return spark.createDataFrame(given_, "user_id string, user_idx int").repartition(partitions)

    shuffled = order.sample(pairs, len(pairs))
    assert hash_of(frame(pairs, 1), t.USER_IDS) == hash_of(frame(shuffled, 5), t.USER_IDS)
    assert hash_of(frame([*pairs, pairs[0]], 2), t.USER_IDS) != hash_of(frame(pairs, 2), t.USER_IDS)


def test_no_rows_have_a_hash_too(spark):
    assert [hash_of(rows(spark, table.name), table) for table in (t.POOLS, t.INTERACTIONS)] == ["0:0", "0:0"]


def test_a_key_that_occurs_twice_is_found(spark):
    given_ = rows(
        spark,
        "interactions",
        {"user_idx": 1},
        {"user_idx": 1, "plays": 5},
        {"user_idx": 2},
        {"user_idx": 2, "recording_idx": 1},
    )
    expected = spark.createDataFrame([(1, 0, 2)], "user_idx int, recording_idx int, count long")
    assert_df_equality(repeated_keys(given_, t.INTERACTIONS), expected, ignore_nullable=True)
    assert repeated_keys(given_.where(F.col("user_idx") == 2), t.INTERACTIONS).count() == 0
