"""Tests of what the report says of a release compared with the one before it.

They use real tables and releases, among them older ones that can no longer be read.
"""

import dataclasses
import datetime as dt
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from trackpools import api
from trackpools.core.evaluation.drift import DRIFT_PSI
from trackpools.errors import ContractError
from trackpools.shell.measurement.release_drift import (
    PLAYS,
    RECORDINGS,
    SCORES,
    USERS,
    Drift,
    Older,
    drift_of,
)
from trackpools.shell.releases import releases
from trackpools.shell.reports.release_page import build_report
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES


def publish_next(store, *changed):
    """Publish a release that pins the present versions of the changed tables; return it."""
    last = releases.latest(store)
    tables = tuple(
        store.stats(t.name, store.version(t.name)) if t.name in changed else t for t in last.tables
    )
    row = dataclasses.replace(
        last,
        seq=last.seq + 1,
        release_id=f"after-{last.release_id}",
        tables=tables,
        created_at=last.created_at + dt.timedelta(days=1),
    )
    return releases.publish(store, row, row.run_key)


@pytest.fixture
def store(spark, released):
    return Store(spark, released.store)


def test_a_first_release_has_nothing_to_be_compared_with(spark, released):
    data = api.report_data(released)
    assert data.drift == Drift()
    text = build_report(data)
    assert "Lorenz curve of exposure" in text
    assert "Coverage by activity and source" in text
    assert "Drift since the last release" not in text
    # Every decile gets candidates from some source, and no source gives more than the whole catalogue.
    shares = {decile: row for decile, row in data.reach.by_source.items() if decile.isdigit()}
    assert all(0 < max(row.values()) <= 1 for row in shares.values())
    assert 0 < data.reach.gini < 1
    assert 1 - data.reach.lorenz[1][0] == pytest.approx(data.coverage)


@pytest.mark.soak
def test_a_release_is_compared_with_the_one_just_before_it_and_only_what_has_changed_drifts(released, store):
    first = releases.latest(store)
    busier = (
        store.read("user_features")
        .withColumn(
            "plays", F.when(F.col("user_idx") % 2 == 0, 64 * F.col("plays")).otherwise(F.col("plays"))
        )
        .localCheckpoint()
    )
    store.overwrite(TABLES["user_features"], busier, {})
    second = publish_next(store, "user_features")
    third = releases.rollback(store, first.seq, second.created_at)
    data = api.report_data(released, third)
    drift = data.drift
    assert drift.since == second.release_id
    assert drift.psi[PLAYS] > max(DRIFT_PSI, drift.chance[PLAYS])
    assert (drift.psi[USERS], drift.psi[RECORDINGS], drift.psi[SCORES]) == (0, 0, 0)
    # With 40 users, chance alone reaches a value that would be drift among many users.
    assert drift.chance[USERS] > DRIFT_PSI > drift.chance[SCORES] > 0
    assert "Drift since the last release" in build_report(data)


@pytest.mark.parametrize("lost", ["files", "log"])
def test_an_older_release_that_vacuum_took_leaves_no_panel(store, lost):
    old = [Path(urlsplit(path).path) for path in store.read("user_features").inputFiles()]
    features = store.read("user_features").withColumn("plays", F.col("plays") + 1).localCheckpoint()
    before = store.version("user_features")
    now = store.overwrite(TABLES["user_features"], features, {})
    older = Older("x", lambda name: store.read(name, before if name == "user_features" else None))
    assert (
        drift_of(
            lambda name: store.read(name, now if name == "user_features" else None), older, F.lit(True)
        ).psi[PLAYS]
        >= 0
    )
    if lost == "files":
        for path in old:
            path.unlink()
    else:
        (old[0].parent / "_delta_log" / f"{before:020}.json").unlink()
    assert (
        drift_of(lambda name: store.read(name, now if name == "user_features" else None), older, F.lit(True))
        == Drift()
    )


def test_an_older_release_without_a_column_leaves_no_panel(store):
    assert (
        drift_of(store.read, Older("x", lambda name: store.read(name).drop("plays_28d")), F.lit(True))
        == Drift()
    )


def test_damage_of_the_older_release_leaves_no_panel_and_damage_of_the_younger_is_an_error(store):
    def damaged(_):
        raise ContractError("table user_features is not what was published")

    assert drift_of(store.read, Older("x", damaged), F.lit(True)) == Drift()
    with pytest.raises(ContractError, match="not what was published"):
        drift_of(damaged, Older("x", store.read), F.lit(True))


def test_any_other_failure_is_raised(store):
    broken = Older("x", lambda name: store.read(name).where(F.raise_error(F.lit("boom"))))
    with pytest.raises(PySparkException, match="boom"):
        drift_of(store.read, broken, F.lit(True))
