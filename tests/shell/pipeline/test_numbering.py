"""Tests that two concurrent writers never give one number twice.

This holds whichever writer is faster, and whenever the other one read the table.
"""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread
from uuid import uuid4

import pytest

from builders import rows
from trackpools import stages
from trackpools.config import StoreConfig
from trackpools.core.contracts.ids import new_ids
from trackpools.core.contracts.table_checks import id_violations
from trackpools.errors import NumberTakenError
from trackpools.shell.pipeline import stage_writer
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.store import delta_table
from trackpools.shell.store.store import Store
from trackpools.shell.tracking.tracker import Tracker
from trackpools.tables import PLAYS, USER_IDS

IDS = stages.STAGES[0]
SOUND = {"an id twice": 0, "an idx twice": 0, "a gap in the idx": 0}


def number_users(store, version, *users):
    """Return a frame of numbers for the users that are new to a version of the table."""
    return new_ids(
        rows(store.spark, "users", *({"user_id": user} for user in users)),
        store.read("user_ids", version),
        "user_id",
        "user_idx",
    )


def given_numbers(store):
    return {
        row["user_id"]: row["user_idx"] for row in Store(store.spark, store.config).read("user_ids").collect()
    }


def violations(store, name="user_ids"):
    counts = id_violations(store.read(name), *store.read(name).columns).first().asDict()
    counts.pop("rows")
    return counts


@pytest.fixture(params=["path", "name"])
def place(request, spark, config):
    """Yield the place of the tables: under a root, or in a catalog."""
    if request.param == "path":
        yield config().store
        return
    schema = f"tp_{uuid4().hex[:12]}"
    spark.sql(f"CREATE SCHEMA spark_catalog.{schema}")
    yield StoreConfig(root=None, catalog="spark_catalog", schema=schema)
    spark.sql(f"DROP SCHEMA spark_catalog.{schema} CASCADE")


@pytest.fixture(params=["api", "spark"])
def session(request, spark, monkeypatch):
    """Return the session, with Delta used by its own API or by plain Spark as on Connect."""
    if request.param == "spark":
        monkeypatch.setattr(delta_table, "is_classic", lambda _: False)
    return spark


def test_the_second_of_two_batches_from_one_version_is_refused_and_may_be_numbered_again(session, place):
    first, second = Store(session, place), Store(session, place)
    first.create(USER_IDS)
    version = first.version("user_ids")
    assert first.insert(USER_IDS, number_users(first, version, "a", "b"), {}) == 2
    with pytest.raises(NumberTakenError) as refused:
        second.insert(USER_IDS, number_users(second, version, "b", "c", "d"), {})
    assert refused.value.exit_code == 75
    before = given_numbers(first)
    assert sorted(before) == ["a", "b"]
    assert second.insert(USER_IDS, number_users(second, second.version("user_ids"), "b", "c", "d"), {}) == 2
    after = given_numbers(first)
    assert (sorted(after), after.items() >= before.items()) == (["a", "b", "c", "d"], True)
    assert violations(first) == SOUND


def test_a_batch_equal_to_the_start_of_the_other_changes_nothing(session, place):
    """Check that two runs of the same work give the same numbers, so nothing is refused."""
    first, second = Store(session, place), Store(session, place)
    first.create(USER_IDS)
    version = first.version("user_ids")
    assert first.insert(USER_IDS, number_users(first, version, "a", "b"), {}) == 2
    assert second.insert(USER_IDS, number_users(second, version, "a", "b"), {}) == 0
    assert violations(first) == SOUND


@contextmanager
def run_beside(work: Callable[[], None]):
    """Run `work` in a thread while the block runs; raise its error at the end of the block."""
    failed = []

    def caught():
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=caught)
    thread.start()
    try:
        yield
    finally:
        thread.join(300)
    if failed:
        raise failed[0]


def test_a_commit_that_lands_while_the_other_merges_is_a_conflict_and_no_number_is_given_twice(
    spark, config, tmp_path, monkeypatch
):
    """Check a slower MERGE that has begun and computes its rows until the faster one is committed."""
    faster, slower = Store(spark, config().store), Store(spark.newSession(), config().store)
    faster.create(USER_IDS)
    begun, committed, tries = str(tmp_path / "begun"), str(tmp_path / "committed"), []
    merge = delta_table.ApiTableHandle._merge
    monkeypatch.setattr(
        delta_table.ApiTableHandle,
        "_merge",
        lambda self, *args, **more: (tries.append(self.spark), merge(self, *args, **more)),
    )

    def wait(batches):
        Path(begun).touch()
        end = time.monotonic() + 120
        while not Path(committed).exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield from batches

    def slow():
        numbers = number_users(slower, 0, "x", "y", "z").coalesce(1)
        with pytest.raises(NumberTakenError):
            slower.insert(
                USER_IDS,
                numbers.mapInArrow(wait, numbers.schema),
                {},
                delta_table.ValueRange("user_idx", 0, 2),
            )

    with run_beside(slow):
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        assert faster.insert(USER_IDS, number_users(faster, 0, "a", "b"), {}) == 2
        (tmp_path / "committed").touch()
    assert tries.count(slower.spark) == 2, "the first of its MERGEs met a conflict, the second the numbers"
    assert sorted(given_numbers(faster)) == ["a", "b"]


def test_two_runs_that_read_at_the_same_time_both_number_all_their_ids(spark, config, monkeypatch):
    """Check two runs that see different plays because they start at different moments.

    Both have read the ids before either of them writes.
    """
    c = config()
    store, start = Store(spark, c.store), dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
    plays = [
        {
            "play_key": f"e:{n}",
            "user_id": f"u{n}",
            "track_id": f"t{n}",
            "played_at": start + dt.timedelta(hours=n),
            "kind": "play",
            "plays": 1,
        }
        for n in range(40)
    ]
    store.insert(PLAYS, rows(spark, "plays", *plays), {})
    for table in IDS.reads:
        store.create(table)
    monkeypatch.setattr(
        stage_writer, "code", lambda _: "0123456789abcdef"
    )  # the body of a test has no code hash
    both_have_read = Barrier(2, timeout=300)

    def run(hours):
        calls = []

        def late(read, c):
            calls.append(c)
            if len(calls) == 1:
                both_have_read.wait()
            return IDS.run(read, c)

        flow = Flow(
            c,
            spark.newSession(),
            Tracker(c.mlflow, None, "t", "t"),
            as_of=(start + dt.timedelta(hours=hours)).isoformat(),
        )
        flow.run(replace(IDS, run=late))
        seen = {
            row["user_id"] for row in flow.store.read("user_ids", flow.store.version("user_ids")).collect()
        }
        assert seen >= {f"u{n}" for n in range(hours)}, "what the next stage reads holds everybody"

    with run_beside(lambda: run(20)):
        run(40)
    assert sorted(given_numbers(store)) == sorted(f"u{n}" for n in range(40))
    assert [violations(store, name) for name in ("user_ids", "recording_ids")] == [SOUND, SOUND]
