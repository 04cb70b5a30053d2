"""The ledger of soak tests, `tests/soak.json`: when each of them last passed, and on which commit.

CI does not run soak tests, so the ledger shows how old their proof is. `pytest -m soak --record-soak` writes it.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "tests" / "soak.json"


def read_ledger():
    """Return {test id: {"commit": hash, "date": ISO day, "seconds": duration}}."""
    return json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}


def _git(*words):
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class SoakRecorder:
    """A pytest plugin that records each soak test as soon as it has passed.

    A test that fails loses its entry. The tree must hold nothing that is not committed, but for the ledger.
    """

    def __init__(self, commit):
        self.commit = commit
        self.setup = {}

    @classmethod
    def of_this_commit(cls):
        if changed := _git("status", "--porcelain", "--", ".", ":!tests/soak.json"):
            raise pytest.UsageError(f"--record-soak names a commit, so commit first:\n{changed}")
        return cls(_git("rev-parse", "--short", "HEAD"))

    def pytest_runtest_logreport(self, report):
        if "soak" not in report.keywords:
            return
        if report.when == "setup":
            self.setup[report.nodeid] = report.duration
        if report.failed:
            self._write(report.nodeid, None)
        elif report.when == "call" and report.passed:
            seconds = round(self.setup.pop(report.nodeid, 0.0) + report.duration, 1)
            day = datetime.now(UTC).date().isoformat()
            self._write(report.nodeid, {"commit": self.commit, "date": day, "seconds": seconds})

    def _write(self, nodeid, entry):
        ledger = read_ledger()
        ledger.pop(nodeid, None)
        if entry is not None:
            ledger[nodeid] = entry
        LEDGER.write_text(json.dumps(ledger, indent=1, sort_keys=True) + "\n", encoding="utf-8")
