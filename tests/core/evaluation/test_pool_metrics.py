"""Tests of the metrics of pools, compared with slow, simple Python on random pools and a random log."""

import datetime as dt
import math
import random

import pytest

from trackpools.core.evaluation.exposure import coverage, exposures, gini
from trackpools.core.evaluation.ground_truth import assign_idx, relevant_recordings
from trackpools.core.evaluation.pool_metrics import accuracy, metric_names, source_metric_names

AS_OF = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
POOLS = "user_idx int, candidates array<struct<recording int, sources int>>"
SOURCES = {0: "als", 1: "popular", 4: "tags"}


@pytest.fixture(scope="module")
def world():
    rng = random.Random(3)
    pools = {
        u: [(r, rng.choice([1, 2, 3, 16, 19])) for r in rng.sample(range(900), rng.choice([0, 40, 150, 600]))]
        for u in range(40)
    }
    plays = [
        (
            rng.randrange(45),
            rng.randrange(950),
            AS_OF + dt.timedelta(hours=rng.randrange(-200, 900)),
            rng.choice(["radio", "album", None]),
        )
        for _ in range(6000)
    ]
    heard = {(u, r) for u, r, at, _ in plays if at < AS_OF} | {
        (u, r) for u in range(45) for r in range(u, 950, 17)
    }
    return pools, plays, heard


def recordings_heard_later(world, kind, days):
    """Return {user: recordings of this kind heard within `days` after AS_OF}, found play by play."""
    _, plays, heard = world
    found = {}
    for user, recording, at, context in plays:
        if AS_OF <= at < AS_OF + dt.timedelta(days=days):
            new = (user, recording) not in heard
            if (kind == "again" and not new) or (kind == "new" and new and context != "radio"):
                found.setdefault(user, set()).add(recording)
    return found


@pytest.fixture(scope="module")
def frames(spark, world):
    pools, plays, heard = world
    later = relevant_recordings(
        spark.createDataFrame(
            plays, "user_idx int, recording_idx int, played_at timestamp, context_type string"
        ),
        spark.createDataFrame(sorted(heard), "user_idx int, recording_idx int"),
        AS_OF,
        (7, 28),
        ["radio"],
    )
    return spark.createDataFrame(list(pools.items()), POOLS), later


def test_recordings_heard_later_are_found(world, frames):
    rows = {row["user_idx"]: row for row in frames[1].collect()}
    for kind in ("new", "again"):
        for days in (7, 28):
            expected = recordings_heard_later(world, kind, days)
            assert {user: row[f"{kind}_{days}d"] for user, row in rows.items() if row[f"{kind}_{days}d"]} == {
                u: sorted(found) for u, found in expected.items()
            }
    assert any(row["new_28d"] != row["new_7d"] for row in rows.values())


def test_metrics_of_pools_agree_with_plain_counts(world, frames):
    pools, later = frames
    rows = {row["user_idx"]: row.asDict() for row in accuracy(pools, later, (7, 28), SOURCES).collect()}
    assert set(rows[0]) == {
        "user_idx",
        "has_pool",
        *metric_names((7, 28)),
        *source_metric_names((7, 28), SOURCES),
    }
    assert not rows[44]["has_pool"]
    for user, row in rows.items():
        pool = world[0].get(user, [])
        for kind in ("new", "again"):
            for days in (7, 28):
                true = recordings_heard_later(world, kind, days).get(user, set())
                for k, name in ((100, "100"), (200, "200"), (500, "500"), (10**6, "all")):
                    value = len(true & {r for r, _ in pool[:k]}) / len(true) if true else None
                    assert row[f"{kind}_{days}d_recall@{name}"] == (
                        value if value is None else pytest.approx(value)
                    )
                hits = len(true & {r for r, _ in pool})
                best = (
                    sum(1 / math.log2(i + 2) for i in range(min(hits, 30)))
                    / sum(1 / math.log2(i + 2) for i in range(min(len(true), 30)))
                    if true
                    else None
                )
                assert row[f"{kind}_{days}d_oracle_ndcg@30"] == (
                    best if best is None else pytest.approx(best)
                )
        true = recordings_heard_later(world, "new", 28).get(user, set())
        for bit, name in SOURCES.items():
            for how, mine in (
                ("by", [r for r, told in pool if told >> bit & 1]),
                ("only_by", [r for r, told in pool if told == 1 << bit]),
            ):
                value = len(true & set(mine)) / len(true) if true else None
                assert row[f"new_28d_recall_{how}:{name}"] == (
                    value if value is None else pytest.approx(value)
                )


def test_users_and_recordings_without_a_number_get_a_negative_one(spark):
    plays = spark.createDataFrame([("a", "x"), ("b", "y"), ("b", "x")], "user_id string, track_id string")
    tracks = spark.createDataFrame([("x", "X")], "track_id string, recording_id string")
    found = assign_idx(
        plays,
        tracks,
        spark.createDataFrame([("a", 0)], "user_id string, user_idx int"),
        spark.createDataFrame([("X", 5)], "recording_id string, recording_idx int"),
    )
    rows = sorted((row["user_idx"], row["recording_idx"]) for row in found.collect())
    assert rows[-1] == (0, 5)
    assert [user < 0 for user, _ in rows] == [True, True, False]
    assert len({user for user, _ in rows}) == 2
    assert sorted(recording >= 0 for _, recording in rows) == [False, True, True]


def test_exposure(world, frames):
    found = [(row["pools"], row["recordings"]) for row in exposures(frames[0]).collect()]
    counts = [0] * 1000
    for pool in world[0].values():
        for recording, _ in pool:
            counts[recording] += 1
    assert coverage(found, 1000) == pytest.approx(sum(n > 0 for n in counts) / 1000)
    ordered = sorted(counts)
    pairs = sum(abs(a - b) for a in ordered for b in ordered) / (
        2 * len(ordered) * sum(ordered)
    )  # the definition of the Gini coefficient
    assert gini(found, 1000) == pytest.approx(pairs)
    assert gini([(3, 10)], 10) == pytest.approx(0)
    assert gini([(5, 1)], 1000) == pytest.approx(0.999)
    assert (gini([], 10), coverage([], 0)) == (0, 0)
