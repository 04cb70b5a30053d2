"""Tests of arrays in a folder: they come back as they were written, and damage is found."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from trackpools.errors import ContractError
from trackpools.shell.arrays.array_folder import damaged_files, is_complete, map_folder, write_folder

SOME = {"few": np.arange(5, dtype=np.int32), "wide": np.arange(6.0, dtype=np.float32).reshape(2, 3)}
ANY = arrays(
    st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.float32, np.float64]),
    array_shapes(max_dims=2, min_side=0, max_side=7),
)


def assert_equal(got, wanted):
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


@given(st.dictionaries(st.sampled_from("abc"), ANY), st.lists(st.text(max_size=5), max_size=3))
def test_arrays_come_back_as_they_were_written(tmp_path_factory, wanted, labels):
    folder = tmp_path_factory.mktemp("arrays") / "one"
    write_folder(folder, wanted, tuple(labels))
    got, told = map_folder(folder)
    assert_equal(got, wanted)
    assert told == tuple(labels)
    assert damaged_files(folder) == []


def test_mapped_arrays_count_as_writable_and_the_file_stays_as_it_is(tmp_path):
    write_folder(tmp_path / "one", SOME)
    map_folder(tmp_path / "one")[0]["few"][0] = 99
    assert damaged_files(tmp_path / "one") == []
    assert_equal(map_folder(tmp_path / "one")[0], SOME)


def truncate(folder):
    with (folder / "few.npy").open("r+b") as file:
        file.truncate(130)


def flip(folder):
    data = bytearray((folder / "few.npy").read_bytes())
    data[-1] ^= 1
    (folder / "few.npy").write_bytes(data)


def remove(folder):
    (folder / "few.npy").unlink()


@pytest.mark.parametrize(
    ("damage", "told"), [(truncate, "130 bytes instead of"), (flip, "other bytes"), (remove, "is missing")]
)
def test_each_kind_of_damage_is_named(tmp_path, damage, told):
    write_folder(tmp_path / "one", SOME)
    damage(tmp_path / "one")
    (found,) = damaged_files(tmp_path / "one")
    assert found.startswith("few.npy")
    assert told in found


@pytest.mark.parametrize("damage", [truncate, remove])
def test_an_array_of_another_size_is_not_mapped(tmp_path, damage):
    write_folder(tmp_path / "one", SOME)
    damage(tmp_path / "one")
    with pytest.raises(ContractError, match=r"few\.npy cannot be used.*the next run builds it again"):
        map_folder(tmp_path / "one")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}', '{"labels": [], "files": {"few": {}}}'])
def test_a_broken_manifest_is_refused(tmp_path, text):
    write_folder(tmp_path / "one", SOME)
    (tmp_path / "one" / "manifest.json").write_text(text)
    with pytest.raises(ContractError, match=r"no readable manifest\.json"):
        damaged_files(tmp_path / "one")


def test_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="data-type"):
        write_folder(tmp_path / "one", {"objects": np.array([{}, None])})
    assert not is_complete(tmp_path / "one")


def test_writers_of_the_same_folder_do_not_disturb_each_other(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: write_folder(tmp_path / "one", SOME), range(32)))
    assert [place.name for place in tmp_path.iterdir()] == ["one"]
    assert damaged_files(tmp_path / "one") == []


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from trackpools.errors import InputError
from trackpools.shell.arrays.array_folder import write_folder

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_folder(Path(sys.argv[1]), {"small": np.zeros(10), "large": np.zeros(100_000)})
except InputError as error:
    print(error.message)
"""


def test_a_disk_that_takes_no_more_bytes_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "one")], capture_output=True, text=True, check=True
    )
    assert "File too large" in done.stdout
    assert "Free space or mend the permissions" in done.stdout
    assert not is_complete(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_deleted_is_not_complete(tmp_path):
    write_folder(tmp_path / "one", SOME)
    assert is_complete(tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    assert not is_complete(tmp_path / "one")
