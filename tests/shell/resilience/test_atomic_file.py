"""Tests of atomic files: other processes see them complete or not at all."""

import os
import subprocess
import sys

import pytest

from trackpools.shell.resilience.atomic_file import atomic_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_file(target) as draft:
        draft.write_text("half")
        assert not target.exists()
        assert draft.parent == tmp_path, "a move between file systems would be no single step"
        draft.write_text("whole")
    assert target.read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


def write_half(target, error):
    with atomic_file(target) as draft:
        draft.write_text("half")
        raise error


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, before, error):
    target = tmp_path / "a.txt"
    if before:
        target.write_text(before)
    with pytest.raises(error):
        write_half(target, error)
    assert names(tmp_path) == (["a.txt"] if before else [])
    assert before is None or target.read_text() == before


def test_an_error_before_anything_is_written_is_the_error_that_is_raised(tmp_path):
    with pytest.raises(ValueError, match="mine"), atomic_file(tmp_path / "a.txt"):
        raise ValueError("mine")


def test_a_target_that_cannot_be_replaced_leaves_no_draft(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inside").touch()
    with pytest.raises(OSError, match="a"), atomic_file(tmp_path / "a") as draft:
        draft.write_text("new")
    assert names(tmp_path) == ["a"]


def test_bytes_are_synced_before_the_rename_unless_that_is_switched_off(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(f"fsync {os.fstat(handle).st_size}"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *args: (done.append("replace"), replace(*args)))
    with atomic_file(tmp_path / "a") as draft:
        draft.write_text("four")
    with atomic_file(tmp_path / "b", durable=False) as draft:
        draft.write_text("four")
    assert done == ["fsync 4", "replace", "replace"]


def test_the_file_has_the_mode_that_any_new_file_has(tmp_path):
    """Check the mode, because other users read packages and jars.

    A file of `tempfile` could be read by its owner alone.
    """
    (tmp_path / "plain").touch()
    with atomic_file(tmp_path / "a") as draft:
        draft.touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_many_writers_of_one_file_leave_one_whole(tmp_path):
    code = f"""
import pathlib, sys
from trackpools.shell.resilience.atomic_file import atomic_file
for _ in range(50):
    with atomic_file(pathlib.Path({str(tmp_path / "a")!r})) as draft:
        draft.write_text(sys.argv[1] * 10_000)
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, letter]) for letter in "abc"]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    assert (tmp_path / "a").read_text() in {letter * 10_000 for letter in "abc"}
    assert names(tmp_path) == ["a"]
