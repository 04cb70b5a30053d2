"""Tests of the audience: each user's market group and explicit policy, and which users are active."""

import datetime as dt

import pytest
from chispa import assert_df_equality

from builders import rows
from trackpools.core.log.audience import audience, eligible_users, is_minor_band

GROUPS = {"SE": "nordic", "NO": "nordic"}
SCHEMA = "user_idx int, market string, clean boolean, declared_tags array<string>"


def ids(spark, *names):
    return rows(spark, "user_ids", *({"user_id": name, "user_idx": i} for i, name in enumerate(names)))


def test_every_user_has_a_market_group_and_a_policy(spark):
    users = rows(
        spark,
        "users",
        {"user_id": "a", "market": "SE", "explicit_policy": "clean", "declared_tags": ["jazz"]},
        {"user_id": "b", "market": "DE", "explicit_policy": "allow"},
        {"user_id": "c", "explicit_policy": "clean"},
        {"user_id": "stranger", "market": "NO", "explicit_policy": "allow"},
    )
    grouped = [
        (0, "nordic", True, ["jazz"]),
        (1, "DE", False, None),
        (2, "*", True, None),
        (3, "*", False, None),
    ]
    known = ids(spark, "a", "b", "c", "without profile")
    assert_df_equality(
        audience(known, users, GROUPS, ()),
        spark.createDataFrame(grouped, SCHEMA),
        ignore_row_order=True,
        ignore_nullable=True,
    )
    single = [(0, "SE", True, ["jazz"]), *grouped[1:]]
    assert_df_equality(
        audience(known, users, {}, ()),
        spark.createDataFrame(single, SCHEMA),
        ignore_row_order=True,
        ignore_nullable=True,
    )


BANDS = {
    "13-17": True,
    "0-12": True,
    "13 – 17": True,
    "14": True,
    "<18": True,
    "under 16": True,
    "kid": True,
    "16-18": False,
    "18-24": False,
    "55+": False,
    "17+": False,
    "<=18": False,
    "<19": False,
    "": False,
    "unknown": False,
    "1990-1999": False,
    None: False,
}


@pytest.mark.parametrize("policy", ["allow", "clean"])
def test_a_minors_policy_is_clean_whatever_the_profile_says(spark, policy):
    users = rows(
        spark,
        "users",
        *(
            {"user_id": f"u{i}", "explicit_policy": policy, "birth_band": band}
            for i, band in enumerate(BANDS)
        ),
    )
    got = (
        audience(ids(spark, *(f"u{i}" for i in range(len(BANDS)))), users, {}, ["kid"])
        .orderBy("user_idx")
        .collect()
    )
    assert [row["clean"] for row in got] == [young or policy == "clean" for young in BANDS.values()]
    assert {band: is_minor_band(band, ["kid"]) for band in BANDS} == BANDS, "without Spark the same"


def test_users_who_played_within_the_days_are_active_and_zero_days_means_all_users(spark):
    as_of = dt.datetime(2025, 6, 30, 12, tzinfo=dt.UTC)
    everybody = spark.createDataFrame([(i, "*", False, None) for i in range(4)], SCHEMA)
    history = spark.createDataFrame(
        [(0, 20239), (0, 20269), (1, 20262), (2, 20261), (3, None)], "user_idx int, last_day int"
    )  # day 20269 is June 30
    features = rows(spark, "user_features", {"user_idx": 0}).select("user_idx", "profile")
    for days, expected in ((0, [0, 1, 2, 3]), (7, [0, 1]), (8, [0, 1, 2]), (1, [0])):
        got = eligible_users(everybody, features, history, days, as_of)
        assert got.columns == ["user_idx", "market", "clean", "declared_tags", "profile"]
        assert sorted(row["user_idx"] for row in got.collect()) == expected
