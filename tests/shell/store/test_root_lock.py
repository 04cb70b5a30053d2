"""Tests of the lock of a root: only one process writes.

The second process is told which one holds the lock, and a killed process leaves nothing to clean up.
"""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from trackpools.errors import BusyError
from trackpools.shell.store.root_lock import local_path, writer_lock

HOLD = """
import sys
from trackpools.shell.store.root_lock import writer_lock
with writer_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
TRY = """
import sys
from trackpools.errors import TrackpoolsError
from trackpools.shell.store.root_lock import writer_lock
try:
    with writer_lock(sys.argv[1]):
        pass
except TrackpoolsError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@contextmanager
def hold_lock(root):
    """Start another process that holds the lock until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def try_lock(root):
    return subprocess.run(
        [sys.executable, "-c", TRY, str(root)], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_second_of_two_processes_exits_75_and_names_the_holder(tmp_path):
    with hold_lock(tmp_path) as process:
        loser = try_lock(tmp_path)
        assert loser.returncode == 75
        assert f"process {process.pid}" in loser.stdout
        assert "wait until it ends, and run again" in loser.stdout
        with pytest.raises(BusyError), writer_lock(str(tmp_path)):
            pass
    assert try_lock(tmp_path).returncode == 0


def test_the_same_root_spelt_otherwise_is_the_same_lock(tmp_path):
    with hold_lock(tmp_path):
        for root in (f"file:{tmp_path}", f"file://{tmp_path}", f"{tmp_path}/", os.path.relpath(tmp_path)):
            assert try_lock(root).returncode == 75, root


def test_kill_9_releases_the_lock(tmp_path):
    with hold_lock(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        assert try_lock(tmp_path).returncode == 0


def test_an_error_inside_releases_the_lock_and_a_missing_root_is_created(tmp_path):
    root = tmp_path / "new" / "root"
    with pytest.raises(ZeroDivisionError), writer_lock(str(root)):
        raise ZeroDivisionError
    assert try_lock(root).returncode == 0


def test_two_roots_do_not_wait_for_each_other(tmp_path):
    with hold_lock(tmp_path / "a"):
        assert try_lock(tmp_path / "b").returncode == 0


@pytest.mark.parametrize("root", [None, "s3a://bucket/x", "abfss://box@account/x", "hdfs:///x", "dbfs:/x"])
def test_object_stores_and_catalogs_take_no_lock(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with writer_lock(root), writer_lock(root):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/x", "/x"),
        ("/x/", "/x"),
        ("file:/x", "/x"),
        ("file:///x", "/x"),
        ("x/y", "x/y"),
        ("./x", "x"),
        ("/a:b/c", "/a:b/c"),
        ("s3a://b/x", None),
        ("gs://b/x", None),
        ("dbfs:/x", None),
        (None, None),
    ],
)
def test_a_root_is_resolved_to_a_local_path(root, path):
    assert local_path(root) == (None if path is None else Path(path))
