"""Tests of `blocked` on a standalone cluster of two workers (-m soak).

One worker dies in the middle of a half-step, and ten times the users bring no more bytes to the driver.
"""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from standalone import spark_submit, standalone_cluster

JOB = Path(__file__).with_name("train_blocked.py")
ROOT = JOB.parents[2]
SETTINGS = ("train.engine=blocked", "train.blocks=8", "train.reg=1")
SMALL = ("train.rank=32", "train.iterations=4")
RECORDINGS = 5000


def train(folder, users, recordings=RECORDINGS, settings=SMALL, kill=None):
    """Submit the job to two workers of one core; return its answer and its Spark events.

    `kill` runs in a thread beside the job, with the job's folder and the workers' processes.
    """
    told, events = folder / "told", folder / "events"
    told.mkdir(parents=True)
    events.mkdir()
    confs = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "900m",
        "spark.executor.cores": "1",
        "spark.driver.memory": "1g",
        "spark.eventLog.logStageExecutorMetrics": "true",
        "spark.executorEnv.PYTHONPATH": str(ROOT / "lib"),
        "spark.sql.shuffle.partitions": "4",
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }
    with standalone_cluster(folder / "cluster", cores=1, memory="2g", workers=2) as (url, workers):
        killer = threading.Thread(target=kill, args=(told, workers), daemon=True) if kill else None
        if killer:
            killer.start()
        given = (
            told,
            users,
            recordings,
            *SETTINGS,
            *settings,
            f"train.checkpoint_dir={folder / 'checkpoints'}",
        )
        submitted = ["--master", url, *(f"--conf={key}={value}" for key, value in confs.items()), JOB, *given]
        done = spark_submit(submitted, timeout=1800, PYTHONPATH=str(ROOT / "lib"))
    assert done.returncode == 0, done.stderr[-3000:]
    said = [json.loads(line) for log in events.iterdir() for line in log.read_text().splitlines()]
    return json.loads(done.stdout.splitlines()[-1]), said


def kill_one(told, workers):
    """SIGKILL a worker and its executor during the second half-step, as if a machine died."""
    while not (told / "iteration-1").exists():
        time.sleep(0.01)
    os.killpg(workers[0].pid, signal.SIGKILL)
    (told / "killed").touch()


def driver_bytes(events):
    return sum(
        event["Task Metrics"]["Result Size"]
        for event in events
        if event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event
    )


def shuffle_bytes(events):
    """Return the bytes of shuffles that each query wrote, largest first."""
    queries, bytes_ = {}, {}
    for event in events:
        if event["Event"] == "SparkListenerJobStart":
            queries |= dict.fromkeys(event["Stage IDs"], event["Properties"].get("spark.sql.execution.id"))
        if event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event:
            query = queries[event["Stage ID"]]
            bytes_[query] = (
                bytes_.get(query, 0) + event["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            )
    return sorted(bytes_.values(), reverse=True)


def driver_heap(events):
    """Return the largest heap of the driver's JVM at the end of any stage, in bytes."""
    told = [
        event
        for event in events
        if event["Event"] == "SparkListenerStageExecutorMetrics" and event["Executor ID"] == "driver"
    ]
    return max(event["Executor Metrics"]["JVMHeapMemory"] for event in told)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stripes", [(), ("train.stripe_bytes=65536",)], ids=["driver", "stripes"])
def test_a_dead_worker_changes_no_bit_and_ten_times_the_users_cost_the_driver_no_more(tmp_path, stripes):
    settings = SMALL + stripes
    calm, events = train(tmp_path / "calm", 20_000, settings=settings)
    hurt, lost = train(tmp_path / "hurt", 20_000, settings=settings, kill=kill_one)
    assert (tmp_path / "hurt" / "told" / "killed").exists()
    assert [event for event in lost if event["Event"] == "SparkListenerExecutorRemoved"], (
        "no executor was lost"
    )
    assert hurt == calm
    _, many = train(tmp_path / "many", 200_000, settings=settings)
    few, more = driver_bytes(events), driver_bytes(many)
    print(f"driver received {few:,} bytes of 20,000 users, {more:,} of 200,000: {more / few:.3f} ×")
    assert more <= 1.05 * few


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_stripes_cost_the_driver_nothing_and_the_network_the_documented_bytes(tmp_path):
    sizes, rank, blocks, iterations, seconds = (100_000, 300_000, 1_000_000), 64, 8, 2, []
    for recordings in sizes:
        settings = (f"train.rank={rank}", f"train.iterations={iterations}", "train.stripe_bytes=4194304")
        folder = tmp_path / str(recordings)
        _, events = train(folder, 20_000, recordings, settings)
        spent, passes = (
            json.loads((folder / "told" / "spent.json").read_text()),
            shuffle_bytes(events)[: 3 * iterations],
        )
        result = max(
            event["Task Metrics"]["Result Size"]
            for event in events
            if event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event
        )
        formula = recordings * rank * (12 * blocks + 24)
        seconds.append(spent["iteration_s"])
        print(
            f"{recordings:,} recordings: {seconds[-1]:.1f} s an iteration, {max(passes):,} to {min(passes):,} bytes a pass, {max(passes) / formula:.3f} × the formula, "
            f"driver heap {driver_heap(events):,}, its Python {spent['driver_bytes']:,}, largest result {result:,}, received {driver_bytes(events):,}"
        )
        assert max(passes) <= 1.2 * formula
        assert result <= 2**28
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    print(f"exponent of the seconds {exponent:.2f}")
    assert exponent <= 1.05
