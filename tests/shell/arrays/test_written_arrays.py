"""Tests of the arrays of a release: the same from files and from tables, built again if they are damaged."""

import dataclasses
import datetime as dt
import logging
import os
import time
from dataclasses import replace

import cloudpickle
import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from trackpools.core.pools import online
from trackpools.core.proposals.release_layout import LAYOUTS
from trackpools.shell.arrays import written_arrays
from trackpools.shell.arrays.array_folder import read_manifest
from trackpools.shell.arrays.open_arrays import open_arrays, written
from trackpools.shell.arrays.written_arrays import columns_of, remove_unused, write_missing
from trackpools.shell.releases import releases
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store

AS_OF = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def assert_same(a, b):
    """Compare dataclasses, mappings and sequences of arrays; an array must have the same type and bytes."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


@pytest.fixture
def store(spark, released):
    return Store(spark, released.store)


def frames(store):
    release = releases.latest(store)
    return {name: store.read(name, release.version(name)) for name in LAYOUTS}


def manifests(folder, names):
    return {table: read_manifest(folder / name).files for table, name in names.items()}


def test_mapped_arrays_are_those_of_the_tables(released):
    opened = LoadedRelease.of(released)
    assert opened.arrays.keys() == LAYOUTS.keys()
    older = dataclasses.replace(opened, arrays={}, served={})  # as in a release of an older trackpools
    assert_same(opened.release, older.release)
    user = opened.online_user("u001")
    assert online.pool(opened.release, user) == online.pool(older.release, user)


def test_the_order_of_rows_changes_no_byte(store, released, tmp_path):
    names = releases.latest(store).arrays
    shuffled = {name: frame.orderBy(F.rand(7)).repartition(3) for name, frame in frames(store).items()}
    write_missing(tmp_path, names, columns_of(shuffled), released.topk)
    root = written_arrays.arrays_folder(store.config.root)
    assert manifests(tmp_path, names) == manifests(root, names)


def test_a_damaged_file_is_found_and_its_table_laid_out_again(store, released, caplog):
    folder, names = written_arrays.arrays_folder(store.config.root), releases.latest(store).arrays
    before = manifests(folder, names)
    path = folder / names["recording_facts"] / "artist.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "trackpools.shell.arrays.written_arrays"):
        write_missing(folder, names, columns_of(frames(store)), released.topk)
    (record,) = caplog.records
    assert "artist.npy has other bytes than were written" in record.getMessage()
    assert manifests(folder, names) == before


def test_other_rows_and_another_index_get_another_folder(store, released):
    tables = releases.latest(store).tables
    names = written_arrays.folder_names(tables, released.topk)
    assert names == releases.latest(store).arrays
    changed = [dataclasses.replace(one, hash=f"{one.hash}1") for one in tables]
    assert not set(names.values()) & set(written_arrays.folder_names(changed, released.topk).values())
    indexed = released.topk.model_copy(update={"exact_max": 1})
    other = written_arrays.folder_names(tables, indexed)
    assert {name for name in names if names[name] != other[name]} == {"recording_factors"}


def test_a_task_gets_a_small_object_and_opens_the_arrays_once(store, released):
    release = releases.latest(store)
    folder = written_arrays.arrays_folder(store.config.root)
    sent_object = cloudpickle.dumps(written(folder, release.arrays))
    assert len(sent_object) < 50_000
    opens, opens_again = cloudpickle.loads(sent_object), cloudpickle.loads(sent_object)
    one, two = opens(released, release.as_of), opens_again(released, release.as_of)
    assert one.spaces is two.spaces
    assert_same(one.recording_table, LoadedRelease.of(released).release.recording_table)


def test_a_root_without_a_file_system_sends_the_same_arrays(spark, store, released, monkeypatch):
    tables, topk = releases.latest(store).tables, released.topk
    mapped = open_arrays(store, tables, topk)(released, AS_OF)
    monkeypatch.setattr("trackpools.shell.arrays.open_arrays.arrays_folder", lambda _: None)
    opens = open_arrays(store, tables, topk)
    assert_same(replace(opens(released, AS_OF), masks={}), replace(mapped, masks={}))

    def longest(batches):
        for _ in batches:
            size = len(opens(released, AS_OF).recording_table)
            yield pa.RecordBatch.from_pydict({"size": pa.array([size], pa.int64())})

    (row,) = spark.range(1).coalesce(1).mapInArrow(longest, "size long").collect()
    assert row["size"] == len(mapped.recording_table)


def test_only_old_folders_that_nobody_needs_are_removed(tmp_path):
    for name, hours in (("needed", 50), ("old", 50), (".old.half", 50), ("young", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
        at = time.time() - 3600 * hours
        os.utime(tmp_path / name, (at, at))
    assert remove_unused(tmp_path, ["needed"], 24) == [".old.half", "old"]
    assert sorted(place.name for place in tmp_path.iterdir()) == ["needed", "young"]
    assert remove_unused(tmp_path / "missing", [], 24) == []
