"""`blocked` on a standalone cluster of two workers: one dies in the middle of a half-step; ten times the users bring the driver no more (-m soak)."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from standalone import spark_submit, standalone_cluster

JOB = Path(__file__).with_name("train_blocked.py")
ROOT = JOB.parents[2]
SETTINGS = ("train.engine=blocked", "train.blocks=8", "train.rank=32", "train.iterations=4", "train.reg=1")
RECORDINGS = 5000


def train(folder, users, kill=None):
    """Submit the job to two workers of one core; `kill` is called with their processes once the job runs. Returns its answer and its events."""
    told, events = folder / "told", folder / "events"
    told.mkdir(parents=True)
    events.mkdir()
    confs = {
        "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.executor.memory": "900m", "spark.executor.cores": "1",
        "spark.executorEnv.PYTHONPATH": str(ROOT / "lib"), "spark.sql.shuffle.partitions": "4", "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.eventLog.compress": "false", "spark.eventLog.rolling.enabled": "false",
    }
    with standalone_cluster(folder / "cluster", cores=1, memory="1g", workers=2) as (url, workers):
        killer = threading.Thread(target=kill, args=(told, workers), daemon=True) if kill else None
        if killer:
            killer.start()
        submitted = ["--master", url, *(f"--conf={key}={value}" for key, value in confs.items()), JOB, told, users, RECORDINGS, *SETTINGS]
        done = spark_submit(submitted, timeout=600, PYTHONPATH=str(ROOT / "lib"))
    assert done.returncode == 0, done.stderr[-3000:]
    said = [json.loads(line) for log in events.iterdir() for line in log.read_text().splitlines()]
    return json.loads(done.stdout.splitlines()[-1]), said


def kill_one(told, workers):
    """SIGKILL a worker and its executor, as a machine dies, while the second half-step is on its way."""
    while not (told / "iteration-1").exists():
        time.sleep(0.01)
    os.killpg(workers[0].pid, signal.SIGKILL)
    (told / "killed").touch()


def driver_bytes(events):
    return sum(event["Task Metrics"]["Result Size"] for event in events if event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_worker_that_dies_changes_no_bit_and_ten_times_the_users_bring_the_driver_no_more(tmp_path):
    calm, events = train(tmp_path / "calm", 20_000)
    hurt, lost = train(tmp_path / "hurt", 20_000, kill_one)
    assert (tmp_path / "hurt" / "told" / "killed").exists()
    assert [event for event in lost if event["Event"] == "SparkListenerExecutorRemoved"], "no executor was lost"
    assert hurt == calm
    _, many = train(tmp_path / "many", 200_000)
    few, more = driver_bytes(events), driver_bytes(many)
    print(f"driver received {few:,} bytes of 20,000 users, {more:,} of 200,000: {more / few:.3f} ×")
    assert more <= 1.05 * few
