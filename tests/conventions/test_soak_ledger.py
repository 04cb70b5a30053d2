"""Tests of the ledger of soak tests: it names tests that exist, and says when each of them last passed."""

import re
import subprocess
import sys

from soak_ledger import ROOT, SoakRecorder, read_ledger


def soak_tests():
    """Return the ids of all soak tests."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-m", "soak", "--no-cov"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if "::" in line}


def test_the_ledger_names_soak_tests_that_exist():
    assert read_ledger(), "run: pytest -m soak --record-soak"
    assert set(read_ledger()) - soak_tests() == set(), "rerun these, or remove their entries"


def test_every_entry_says_when_on_what_and_how_long():
    for name, entry in read_ledger().items():
        assert set(entry) == {"commit", "date", "seconds"}, name
        assert re.fullmatch(r"[0-9a-f]{7,40}", entry["commit"]), name
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry["date"]), name
        assert entry["seconds"] > 0, name


class Report:
    def __init__(self, nodeid, when, outcome, duration=1.5, keywords=("soak",)):
        self.nodeid, self.when, self.duration = nodeid, when, duration
        self.keywords = dict.fromkeys(keywords, 1)
        self.passed, self.failed = outcome == "passed", outcome == "failed"


def test_a_test_that_passes_is_recorded_and_one_that_fails_loses_its_entry(tmp_path, monkeypatch):
    monkeypatch.setattr("soak_ledger.LEDGER", tmp_path / "soak.json")
    recorder = SoakRecorder("abc1234")
    for name in ("a", "b"):
        recorder.pytest_runtest_logreport(Report(name, "setup", "passed"))
        recorder.pytest_runtest_logreport(Report(name, "call", "passed"))
        recorder.pytest_runtest_logreport(Report(name, "teardown", "passed"))
    recorder.pytest_runtest_logreport(Report("quick", "call", "passed", keywords=()))
    assert {name: entry["seconds"] for name, entry in read_ledger().items()} == {"a": 3.0, "b": 3.0}
    recorder.pytest_runtest_logreport(Report("a", "call", "failed"))
    assert set(read_ledger()) == {"b"}
