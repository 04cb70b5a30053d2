"""Tests of tables by catalog and schema instead of paths, as the databricks overlay uses them.

They run on the session's own catalog.
"""

import datetime as dt
from uuid import uuid4

import pytest

from builders import rows
from trackpools import tables as t
from trackpools.config import StoreConfig
from trackpools.config.loading import load_config
from trackpools.errors import ConfigError, InputError
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES


@pytest.fixture(scope="module")
def schema(spark):
    name = f"tp_{uuid4().hex[:12]}"
    spark.sql(f"CREATE SCHEMA spark_catalog.{name}")
    yield name
    spark.sql(f"DROP SCHEMA spark_catalog.{name} CASCADE")


@pytest.fixture
def named(spark, schema):
    return Store(spark, StoreConfig(root=None, catalog="spark_catalog", schema=schema))


def test_the_databricks_overlay_gives_three_level_names(spark):
    config = load_config("databricks", ["store.schema=music"])
    assert Store(spark, config.store).where("pools") == "main.music.pools"
    assert (config.mlflow.registry_uri, config.mlflow.model_name) == (
        "databricks-uc",
        "main.trackpools.trackpools",
    )
    assert config.store.root is None


def test_a_root_beside_a_catalog_is_refused(spark):
    config = load_config("databricks", root="/data/trackpools")
    with pytest.raises(
        ConfigError, match=r"both a root \(/data/trackpools\) and a catalog \(main.trackpools\)"
    ):
        Store(spark, config.store)


def test_a_named_table_keeps_keys_comments_and_checks_through_overwrites_and_reads_at_a_version(spark, named):
    ids = TABLES["user_ids"]
    assert not named.exists("user_ids")
    first = named.overwrite(ids, rows(spark, "user_ids", {"user_id": "a", "user_idx": 1}), {"run_key": "one"})
    second = named.overwrite(
        ids, rows(spark, "user_ids", {"user_id": "b", "user_idx": 2}), {"run_key": "two"}
    )
    assert named.exists("user_ids")
    assert [named.read("user_ids", version).first()["user_id"] for version in (first, second, None)] == [
        "a",
        "b",
        "b",
    ]
    assert (named.commit("user_ids").version, named.commit("user_ids").metadata) == (
        second,
        {"run_key": "two"},
    )
    assert named.stats("user_ids", first).hash != named.stats("user_ids", second).hash
    field = named.read("user_ids").schema["user_idx"]
    assert (field.nullable, field.metadata["comment"]) == (False, "dense, never renumbered")
    with pytest.raises(Exception, match="idx_not_negative"):
        named.overwrite(ids, rows(spark, "user_ids", {"user_idx": -1}), {})
    with pytest.raises(InputError, match="cannot be read at version 99"):
        named.read("user_ids", 99).count()


def test_a_named_table_takes_inserts_once_and_replaces_days(spark, named):
    catalogue = rows(
        spark,
        "recording_ids",
        {"recording_id": "a", "recording_idx": 0},
        {"recording_id": "b", "recording_idx": 1},
    )
    assert (named.insert(t.RECORDING_IDS, catalogue, {}), named.insert(t.RECORDING_IDS, catalogue, {})) == (
        2,
        0,
    )
    old, new = dt.date(2025, 1, 1), dt.date(2025, 2, 1)
    days = [{"user_idx": 1, "recording_idx": 1, "day": day, "plays": 1} for day in (old, new)]
    named.replace_days(t.PLAYS_DAILY, rows(spark, "plays_daily", *days), None, {})
    named.replace_days(t.PLAYS_DAILY, rows(spark, "plays_daily", days[1] | {"plays": 5}), new, {})
    assert {row["day"]: row["plays"] for row in named.read("plays_daily").collect()} == {old: 1, new: 5}


def test_a_partitioned_named_table_stays_so(spark, named):
    for idx in (1, 2):
        named.overwrite(t.POOLS, rows(spark, "pools", {"user_idx": idx, "bucket": idx}), {})
    detail = spark.sql(f"DESCRIBE DETAIL {named.where('pools')}").first()
    assert (detail["partitionColumns"], detail["properties"]["delta.enableDeletionVectors"]) == (
        ["bucket"],
        "false",
    )
    assert named.read("pools").first()["user_idx"] == 2
