"""Tests of the arrays of a release: the same from files and from tables, built again if they are damaged."""

import dataclasses
import logging
import os
import time

import cloudpickle
import numpy as np
import pytest
from pyspark.sql import functions as F

from trackpools.core.pools import online
from trackpools.core.serving.release_layout import LAYOUTS
from trackpools.shell.arrays import release_arrays
from trackpools.shell.arrays.array_folder import read_manifest
from trackpools.shell.arrays.release_arrays import WrittenArrays, columns_of, remove_unused, write_missing
from trackpools.shell.releases import releases
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store


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


def test_the_order_of_rows_changes_no_byte(store, tmp_path):
    names = releases.latest(store).arrays
    shuffled = {name: frame.orderBy(F.rand(7)).repartition(3) for name, frame in frames(store).items()}
    write_missing(tmp_path, names, columns_of(shuffled))
    root = release_arrays.arrays_folder(store.config.root)
    assert manifests(tmp_path, names) == manifests(root, names)


def test_a_damaged_file_is_found_and_its_table_laid_out_again(store, caplog):
    folder, names = release_arrays.arrays_folder(store.config.root), releases.latest(store).arrays
    before = manifests(folder, names)
    path = folder / names["recording_facts"] / "artist.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "trackpools.shell.arrays.release_arrays"):
        write_missing(folder, names, columns_of(frames(store)))
    (record,) = caplog.records
    assert "artist.npy has other bytes than were written" in record.getMessage()
    assert manifests(folder, names) == before


def test_other_rows_get_another_folder(store):
    tables = releases.latest(store).tables
    names = release_arrays.folder_names(tables)
    assert names == releases.latest(store).arrays
    changed = [dataclasses.replace(one, hash=f"{one.hash}1") for one in tables]
    assert not set(names.values()) & set(release_arrays.folder_names(changed).values())


def test_a_task_gets_a_small_object_and_opens_the_arrays_once(store, released):
    release = releases.latest(store)
    folder = release_arrays.arrays_folder(store.config.root)
    written = WrittenArrays(folder, release.arrays, released, release.as_of)
    sent = cloudpickle.dumps(written)
    assert len(sent) < 50_000
    one, two = cloudpickle.loads(sent)(), cloudpickle.loads(sent)()
    assert one is two
    assert_same(one.recording_table, LoadedRelease.of(released).release.recording_table)


def test_only_old_folders_that_nobody_needs_are_removed(tmp_path):
    for name, hours in (("needed", 50), ("old", 50), (".old.half", 50), ("young", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
        at = time.time() - 3600 * hours
        os.utime(tmp_path / name, (at, at))
    assert remove_unused(tmp_path, ["needed"], 24) == [".old.half", "old"]
    assert sorted(place.name for place in tmp_path.iterdir()) == ["needed", "young"]
    assert remove_unused(tmp_path / "missing", [], 24) == []
