"""Tests that Delta by plain Spark, as on Connect, does what Delta's own API does.

The tables, rows, counts and refusals are the same.
"""

import datetime as dt
from uuid import uuid4

import pytest
from delta.tables import DeltaTable

from builders import rows
from trackpools.config import StoreConfig
from trackpools.errors import InputError
from trackpools.shell.store import delta_table, sql
from trackpools.shell.store.delta_table import ValueRange
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES


@pytest.fixture
def by_spark(monkeypatch):
    monkeypatch.setattr(delta_table, "is_classic", lambda _: False)


def describe_table(spark, store, name):
    detail = (
        DeltaTable.forPath(spark, store.where(name))
        .detail()
        .select("partitionColumns", "clusteringColumns", "properties", "description")
        .first()
    )
    return store.read(name).schema.json(), detail.asDict()


@pytest.mark.parametrize(
    "name", ["pools", "interactions", "switches", "releases"]
)  # nested and partitioned; with a change feed; with checks; with a map
def test_a_table_is_declared_alike_both_ways(name, spark, config, tmp_path, monkeypatch):
    api, plain = (Store(spark, config(f"store.root={tmp_path / kind}").store) for kind in ("api", "plain"))
    api.create(TABLES[name])
    monkeypatch.setattr(delta_table, "is_classic", lambda _: False)
    assert not plain.exists(name)
    plain.create(TABLES[name])
    plain.create(TABLES[name])
    assert plain.exists(name)
    assert describe_table(spark, plain, name) == describe_table(spark, api, name)
    assert plain.commit(name).version == 0


def test_rows_are_inserted_once_updated_where_changed_and_found_in_a_span(spark, store, by_spark):
    hour = [dt.datetime(2025, 5, 1, n, tzinfo=dt.UTC) for n in range(3)]
    plays = [
        {"play_key": f"e:{n}", "user_id": "u", "track_id": "t", "played_at": at} for n, at in enumerate(hour)
    ]
    assert store.insert(TABLES["plays"], rows(spark, "plays", *plays[:2]), {}) == 2
    assert (
        store.insert(
            TABLES["plays"], rows(spark, "plays", *plays), {}, ValueRange("played_at", hour[0], hour[2])
        )
        == 1
    )
    assert store.insert(TABLES["plays"], rows(spark, "plays", *plays), {}) == 0
    users = [
        {"user_id": "a", "market": "SE", "explicit_policy": "allow"},
        {"user_id": "b", "market": None, "explicit_policy": "allow"},
    ]
    assert store.upsert(TABLES["users"], rows(spark, "users", *users), {}) == 2
    assert store.upsert(TABLES["users"], rows(spark, "users", users[0], users[1] | {"market": "NO"}), {}) == 1
    assert {row["user_id"]: row["market"] for row in store.read("users").collect()} == {"a": "SE", "b": "NO"}


def test_versions_work_and_constraints_hold(spark, store, by_spark):
    kinds = TABLES["not_taste"]
    empty, one = (
        rows(spark, "not_taste"),
        rows(spark, "not_taste", {"recording_idx": 1, "kind": "sleep", "why": "tag"}),
    )
    for number, frame in enumerate((empty, one, empty, empty)):
        version = store.overwrite(kinds, frame, {"run_key": f"r{number}", "said": 'it\'s \\ "quoted"'})
        assert (store.commit("not_taste").version, store.commit("not_taste").metadata["run_key"]) == (
            version,
            f"r{number}",
        )
    assert store.commit("not_taste").metadata["said"] == 'it\'s \\ "quoted"'
    with pytest.raises(Exception, match="kind_known"):
        store.overwrite(kinds, rows(spark, "not_taste", {"kind": "talk", "why": "tag"}), {})
    with pytest.raises(InputError, match="cannot be read at version 99"):
        store.read("not_taste", 99)


def test_tables_by_name_are_created_and_merged(spark, by_spark):
    schema = f"tp_{uuid4().hex[:12]}"
    spark.sql(f"CREATE SCHEMA spark_catalog.{schema}")
    try:
        named = Store(spark, StoreConfig(root=None, catalog="spark_catalog", schema=schema))
        users = rows(spark, "users", {"user_id": "a", "explicit_policy": "allow"})
        assert not named.exists("users")
        assert (named.insert(TABLES["users"], users, {}), named.insert(TABLES["users"], users, {})) == (1, 0)
        assert named.version("users") == 1
    finally:
        spark.sql(f"DROP SCHEMA spark_catalog.{schema} CASCADE")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "'plain'"),
        ("it's", r"'it\'s'"),
        ("back\\slash", r"'back\\slash'"),
        ("a\\' OR '1", r"'a\\\' OR \'1'"),
    ],
)
def test_a_literal_ends_where_its_text_does(text, said):
    assert sql.literal(text) == said


def test_an_identifier_ends_where_its_name_does():
    assert sql.quoted(["delta", "/a`b; DROP"]) == "`delta`.`/a``b; DROP`"


def test_the_change_feed_holds_differences_and_an_older_version_can_be_restored(spark, store, by_spark):
    table = TABLES["interactions"]

    def met(*plays):
        return rows(
            spark, "interactions", *({"user_idx": user, "recording_idx": 1, "plays": n} for user, n in plays)
        )

    store.overwrite(table, met((0, 1), (1, 1), (2, 1)), {"run_key": "first"})
    first = store.commit("interactions").version
    assert store.difference(table, met((0, 1), (1, 5), (3, 1)), {"run_key": "second"}) == 3
    feed = store.changes("interactions", first, store.version("interactions"))
    assert {(row["user_idx"], row["plays"], row["_change_type"]) for row in feed.collect()} == {
        (1, 1, "update_preimage"),
        (1, 5, "update_postimage"),
        (2, 1, "delete"),
        (3, 1, "insert"),
    }
    assert store.changes("interactions", first, first).count() == 0
    store.restore("interactions", first)
    assert {(row["user_idx"], row["plays"]) for row in store.read("interactions").collect()} == {
        (0, 1),
        (1, 1),
        (2, 1),
    }
    assert store.version("interactions") == first + 2
    assert store.commit("interactions").metadata["run_key"] == "first"
    before = store.version("interactions")
    store.mark("interactions", {"run_key": "third", "said": 'it\'s \\ "quoted"'})
    assert store.commit("interactions").metadata == {"run_key": "third", "said": 'it\'s \\ "quoted"'}
    assert store.changes("interactions", before, store.version("interactions")).count() == 0
    store.create(TABLES["not_taste"])
    assert store.changes("not_taste", 0, 0) is None, "it has no feed"
