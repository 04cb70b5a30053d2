"""Tests of the store: tables are created, overwritten, inserted into and read at a version."""

from dataclasses import replace

import pytest

from builders import rows
from trackpools.errors import ConfigError, InputError
from trackpools.tables import TABLES


def test_a_table_is_created_with_comments_keys_and_checks_and_reads_back(spark, store):
    for table in TABLES.values():
        store.create(table)
    assert store.read("user_ids").schema["user_idx"].metadata["comment"] == "dense, never renumbered"
    assert not store.read("user_ids").schema["user_idx"].nullable
    version = store.overwrite(
        TABLES["user_ids"], rows(spark, "user_ids", {"user_id": "a", "user_idx": 1}), {"run_key": "r"}
    )
    assert (store.commit("user_ids").version, store.commit("user_ids").metadata) == (
        version,
        {"run_key": "r"},
    )
    stats = store.stats("user_ids", version)
    assert stats.rows == 1
    with pytest.raises(Exception, match="idx_not_negative"):
        store.overwrite(TABLES["user_ids"], rows(spark, "user_ids", {"user_idx": -1}), {})


def test_an_empty_overwrite_of_an_empty_table_still_records_its_run(spark, store):
    empty, one = (
        rows(spark, "not_taste"),
        rows(spark, "not_taste", {"recording_idx": 1, "kind": "sleep", "why": "tag"}),
    )
    for number, frame in enumerate((empty, empty, one, empty, empty)):
        version = store.overwrite(TABLES["not_taste"], frame, {"run_key": f"r{number}"})
        assert (store.commit("not_taste").version, store.commit("not_taste").metadata) == (
            version,
            {"run_key": f"r{number}"},
        )
        assert store.read("not_taste").count() == frame.count()
    assert not store.read("not_taste").schema["recording_idx"].nullable
    with pytest.raises(Exception, match="kind_known"):
        store.overwrite(TABLES["not_taste"], rows(spark, "not_taste", {"kind": "talk", "why": "tag"}), {})


def test_an_older_table_gets_the_new_columns_and_keeps_its_old_versions(spark, store):
    pools = TABLES["pools"]
    older = replace(pools, columns=tuple(column for column in pools.columns if column.name != "reserve"))
    row = rows(spark, "pools", {"user_idx": 1, "candidates": [], "drops": {}})
    before = store.overwrite(older, row, {"run_key": "old"})
    after = store.overwrite(pools, row, {"run_key": "new"})
    assert "reserve" not in store.read("pools", before).columns
    assert (store.read("pools", before).count(), store.read("pools", after).count()) == (1, 1)
    assert store.read("pools", after).columns == pools.schema.names
    assert not store.read("pools").schema["user_idx"].nullable
    assert store.commit("pools").metadata == {"run_key": "new"}


def test_inserting_the_same_keys_twice_changes_nothing(spark, store):
    ids = rows(spark, "user_ids", {"user_id": "a", "user_idx": 0}, {"user_id": "b", "user_idx": 1})
    assert store.insert(TABLES["user_ids"], ids, {}) == 2
    assert store.insert(TABLES["user_ids"], ids, {}) == 0
    assert store.read("user_ids").count() == 2


@pytest.mark.parametrize("name", ["../etc", "a`b", "A", "", "x; DROP", "delta.`/tmp`"])
def test_a_name_that_is_not_a_table_name_is_refused(store, name):
    with pytest.raises(ConfigError):
        store.where(name)


def test_a_missing_table_is_an_input_error(store):
    with pytest.raises(InputError, match="cannot be read"):
        store.read("plays").count()
