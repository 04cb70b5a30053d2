"""Tests of kill -9 in the middle of a run, and of two commands at once.

The old release can still be read, the rerun publishes, and no key is written twice. Of two publishers at
once, one fails without waiting.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from flows import SMALL, events, hashes, import_events, run
from trackpools.core.contracts.conform import repeated_keys
from trackpools.shell.releases import releases, show_pools
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES


def command(root, *words):
    settings = [
        part
        for setting in ("mlflow.enabled=false", "session.memory=1g", *SMALL)
        for part in ("--set", setting)
    ]
    return [sys.executable, "-m", "trackpools", *words, "--root", root, *settings]


def start(root, *words):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "SPARK_"))
    }
    return subprocess.Popen(
        command(root, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def kill_at(process, line, delay):
    """SIGKILL Python and its JVM `delay` seconds after the given progress line appears."""
    told = []
    for text in process.stderr:
        told.append(text)
        if text.startswith(line):
            break
    else:
        raise AssertionError(f"never said {line!r}: {''.join(told)[-2000:]}")
    time.sleep(delay)
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    assert process.poll() is None, "ended before it could be killed"
    for one in tree:
        one.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()


@pytest.mark.soak
@pytest.mark.parametrize(
    "moments",
    [(("train:", 2.0),), (("interactions:", 1.0), ("train:", 2.0), ("publish:", 0.1))],
    ids=["one", "three"],
)
def test_kill_9_loses_nothing_and_the_rerun_publishes(spark, config, tmp_path, released, moments):
    c = config(*SMALL, f"store.root={released.store.root}")
    root = c.store.root
    old = releases.latest(Store(spark, c.store))
    import_events(
        c,
        tmp_path,
        [row | {"event_id": f"more-{row['event_id']}"} for row in events(plays=500, seed=1)],
        "more",
    )
    calm = config(*SMALL, f"store.root={shutil.copytree(root, tmp_path / 'calm')}")
    before = hashes(spark, c)
    for line, delay in moments:
        kill_at(start(root, "run"), line, delay)
        store = Store(spark, c.store)
        release = releases.latest(store)
        assert release.release_id == old.release_id, line
        for table in release.tables:  # every pinned table can still be read as it was released
            assert store.stats(table.name, table.version) == table, (line, table.name)
        assert show_pools.show_pools(store, release, c, (), 1)[0]["k"] == 40
    new = run(c)
    assert new.release_id != old.release_id
    assert hashes(spark, c)["pools"] != before["pools"]
    store = Store(spark, c.store)
    for name, table in TABLES.items():
        if store.exists(name):
            assert repeated_keys(store.read(name), table).count() == 0, name
    # This is the same work without a crash.
    run(calm)
    assert hashes(spark, calm) == hashes(spark, c)


@pytest.mark.soak
def test_one_of_two_publishers_at_once_wins_and_the_other_exits_75(config, spark, tmp_path):
    c = config(*SMALL)
    import_events(c, tmp_path, events())
    rivals = [start(c.store.root, "run", "--json") for _ in range(2)]
    ended = [(rival.communicate(timeout=400), rival.returncode) for rival in rivals]
    assert sorted(code for _, code in ended) == [0, 75], ended
    answers = {code: json.loads(out) for (out, _), code in ended}
    assert answers[0]["ok"] and answers[0]["release_id"]
    assert not answers[75]["ok"] and answers[75]["error"]["code"] == "busy"
    assert [release.release_id for release in releases.releases(Store(spark, c.store))] == [
        answers[0]["release_id"]
    ]
