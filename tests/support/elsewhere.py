"""Call `flow_elsewhere.py`, which runs the flow in a separate process."""

import json
import os
import subprocess
import sys
from pathlib import Path

from flows import SMALL, events
from standalone import clean_environment


def environment(**more):
    return (
        clean_environment(
            PYSPARK_PYTHON=sys.executable, PYTHONPATH=os.environ.get("PYTHONPATH", ""), TZ="UTC"
        )
        | more
    )


def asked_elsewhere(folder, timeout=800, env=None, **asked):
    """Return what `flow_elsewhere.py` answers in a separate process."""
    (folder / "log").mkdir()
    (folder / "log" / "part-0.json").write_text(
        "".join(json.dumps(row) + "\n" for row in events()), encoding="utf-8"
    )
    asked |= {
        "settings": ["mlflow.enabled=false", *SMALL, *asked.get("settings", ())],
        "events": str(folder / "log"),
    }
    command = [sys.executable, str(Path(__file__).parent / "flow_elsewhere.py")]
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
