"""Tests of the promises of the flow, on real Spark and Delta.

A second run changes nothing, partitions do not matter, future plays and bad rows change nothing, extreme
users share a batch, and of two publishers one wins.
"""

import datetime as dt

import pytest
from delta.tables import DeltaTable
from pyspark.sql import functions as F

from bad_rows import bad_lines
from flows import AS_OF, SMALL, START, WHOLE, events, hashes, import_events, run
from trackpools import stages
from trackpools.core.contracts.conform import conform, content_hash, repeated_keys
from trackpools.errors import BusyError, InputError
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.releases import releases, show_pools
from trackpools.shell.store.store import Store
from trackpools.shell.store.time_travel import Moment
from trackpools.shell.tracking.tracker import Tracker
from trackpools.tables import TABLES


def test_a_second_run_changes_nothing_and_no_key_occurs_twice(spark, released):
    store = Store(spark, released.store)
    first = releases.latest(store)
    versions = {name: store.version(name) for name in TABLES}
    again = run(released, AS_OF)
    assert again.release_id == first.release_id
    assert {stage["stage"] for stage in again.more["stages"] if not stage["skipped"]} == {"ids"}
    assert {name: Store(spark, released.store).version(name) for name in TABLES} == versions
    for name, table in TABLES.items():
        if store.exists(name):
            assert repeated_keys(store.read(name), table).count() == 0, name
    pools = store.read("pools")
    assert pools.where(F.size("candidates") != 40).where("shortfall IS NULL").count() == 0


@pytest.mark.soak
def test_another_setting_reruns_the_stages_that_depend_on_it(spark, config, released):
    first = releases.latest(Store(spark, released.store))
    moved = run(config(*SMALL, "pools.k=41", f"store.root={released.store.root}"), AS_OF)
    assert {stage["stage"] for stage in moved.more["stages"] if not stage["skipped"]} == {
        "ids",
        "pools",
        "publish",
    }
    assert moved.release_id != first.release_id


@pytest.mark.soak
def test_pinned_factors_give_equal_pools_whatever_the_partitions(spark, config, released):
    adaptive, shuffle = (
        spark.conf.get("spark.sql.adaptive.enabled"),
        spark.conf.get("spark.sql.shuffle.partitions"),
    )
    c, found = (
        config(*SMALL, "topk.user_block=8", "pools.user_block=1", f"store.root={released.store.root}"),
        {},
    )
    try:
        for parts in (1, 7):
            spark.conf.set("spark.sql.adaptive.enabled", "false")
            spark.conf.set("spark.sql.shuffle.partitions", parts)
            pools = conform(_pools(spark, c, AS_OF), TABLES["pools"])
            assert pools.select(F.spark_partition_id().alias("p")).distinct().count() == parts
            found[parts] = content_hash(pools, TABLES["pools"]).first()["hash"]
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", adaptive)
        spark.conf.set("spark.sql.shuffle.partitions", shuffle)
    assert len(set(found.values())) == 1, found


def _pools(spark, c, as_of=None):
    """Compute the pools from the present tables without writing them."""
    flow = Flow(c, spark, Tracker(c.mlflow, None, "t", "t"), as_of)
    context = flow.context(stages.BY_NAME["pools"])
    return stages.compute_pools(
        {name: flow.store.read(name, version) for name, version in context.versions.items()}, context
    )["pools"]


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["implicit", "mllib"])
def test_pools_are_equal_whatever_the_partitions(spark, config, tmp_path, engine):
    found = {}
    adaptive, shuffle = (
        spark.conf.get("spark.sql.adaptive.enabled"),
        spark.conf.get("spark.sql.shuffle.partitions"),
    )
    try:
        for parts in (1, 2, 7):
            spark.conf.set("spark.sql.adaptive.enabled", "false")
            spark.conf.set("spark.sql.shuffle.partitions", parts)
            c = config(
                *(WHOLE if engine == "implicit" else SMALL),
                f"train.engine={engine}",
                "topk.user_block=8",
                "pools.user_block=1",
                f"store.root={tmp_path / str(parts)}",
            )
            import_events(c, tmp_path, events()[:: 1 if parts != 2 else -1], f"events-{parts}", files=parts)
            run(c)
            assert _pools(spark, c).select(F.spark_partition_id().alias("p")).distinct().count() == parts
            found[parts] = hashes(spark, c)["pools"]
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", adaptive)
        spark.conf.set("spark.sql.shuffle.partitions", shuffle)
    assert len(set(found.values())) == 1, found


CANARIES = [
    {
        "event_id": "c1",
        "user_id": "u000",
        "track_id": "future-only",
        "played_at": (START + dt.timedelta(days=41)).isoformat(),
    },
    {
        "event_id": "c2",
        "user_id": "canary",
        "track_id": "t0001",
        "played_at": (START + dt.timedelta(days=40)).isoformat(),
    },
    {
        "event_id": "c3",
        "user_id": "u001",
        "track_id": "late-only",
        "played_at": (START + dt.timedelta(days=10)).isoformat(),
        "received_at": (START + dt.timedelta(days=40, seconds=1)).isoformat(),
    },
]


@pytest.mark.soak
def test_a_future_play_and_one_received_too_late_change_nothing_from_the_first(
    spark, config, tmp_path, released
):
    planted = config(*SMALL, f"store.root={tmp_path / 'planted'}")
    import_events(planted, tmp_path, events() + CANARIES, "planted-events")
    run(planted, AS_OF)
    assert hashes(spark, planted) == hashes(spark, released)


@pytest.mark.soak
def test_a_future_play_and_one_received_too_late_change_nothing_after_a_release(spark, tmp_path, released):
    clean = hashes(spark, released)
    import_events(released, tmp_path, CANARIES, "late-events")
    run(released, AS_OF)
    assert hashes(spark, released) == clean


@pytest.mark.soak
def test_a_late_recording_appears_once_it_may_be_known(spark, tmp_path, released):
    import_events(released, tmp_path, CANARIES, "late-events")
    run(released, AS_OF, known_as_of=(START + dt.timedelta(days=50)).isoformat())
    store = Store(spark, released.store)
    assert store.read("recording_ids").where("recording_id = 'late-only'").count() == 1, (
        "the canary must sing once it may be known"
    )
    assert store.read("recording_ids").where("recording_id = 'future-only'").count() == 0


@pytest.mark.soak
def test_bad_rows_among_good_ones_change_no_table_of_the_release(spark, config, tmp_path, released):
    plays, counts, ratings = bad_lines(), bad_lines("count"), bad_lines("rating")
    c = config(*SMALL, "ingest.max_rejected_fraction=1")
    import_events(c, tmp_path, [*plays[::2], *events(), *plays[1::2]])
    import_events(c, tmp_path, counts, "counts")
    import_events(
        config(*SMALL, "ingest.max_rejected_fraction=1", "ingest.rating_column=rating"),
        tmp_path,
        ratings,
        "ratings",
    )
    run(c, AS_OF)
    rejected = Store(spark, c.store).read("plays_rejected")
    assert rejected.count() == len({*plays, *counts, *ratings})
    assert rejected.select(F.explode("reasons")).distinct().count() >= 25
    assert hashes(spark, c) == hashes(spark, released)


@pytest.mark.soak
def test_plays_that_arrive_late_rewrite_only_their_days_and_equal_a_full_build(spark, config, tmp_path):
    rows = sorted(events(), key=lambda row: row["played_at"])
    whole = config(*SMALL, f"store.root={tmp_path / 'whole'}", "daily.lookback_days=10")
    import_events(whole, tmp_path, rows, "all")
    parts = config(*SMALL, f"store.root={tmp_path / 'parts'}", "daily.lookback_days=10")
    import_events(parts, tmp_path, rows[:2000], "first")
    run(parts)
    import_events(parts, tmp_path, rows[2000:], "second")
    run(parts)
    replaced = (
        Store(spark, parts.store)._at("plays_daily").history(1).select("operationParameters").first()[0]
    )
    assert "day >=" in replaced.get("predicate", ""), "the second run rewrote more than its lookback"
    # Numbers are given in the order of arrival, so the days are compared by raw ids.
    run(whole)
    assert _days(spark, parts) == _days(spark, whole)
    import_events(parts, tmp_path, [rows[0] | {"event_id": "very-late"} | {"track_id": "t0000"}], "third")
    run(parts)
    assert sum(day[3] for day in _days(spark, parts)) == sum(day[3] for day in _days(spark, whole)) + 1


def _days(spark, c):
    store = Store(spark, c.store)
    days = (
        store.read("plays_daily")
        .join(store.read("user_ids"), "user_idx")
        .join(store.read("recording_ids"), "recording_idx")
    )
    return sorted((row["user_id"], row["recording_id"], row["day"], row["plays"]) for row in days.collect())


HEARD = 1950  # the number of recordings that the heavy user heard


@pytest.mark.soak
def test_users_with_0_1_and_100_000_plays_share_a_batch_and_a_full_pool_takes_at_most_6_kb(
    spark, config, tmp_path
):
    heavy = [
        {
            "event_id": f"h{n}",
            "user_id": "heavy",
            "track_id": f"t{n % HEARD:04}",
            "played_at": (START + dt.timedelta(seconds=50 * n)).isoformat(),
        }
        for n in range(100_000)
    ]
    one = [{"event_id": "one", "user_id": "one", "track_id": "t0001", "played_at": START.isoformat()}]
    c = config(
        "train.rank=16",
        "train.iterations=4",
        "pools.heard=exclude",
        "daily.max_plays_day=2000",
        "rules.min_listeners=1",
        "report.enabled=false",
    )
    import_events(c, tmp_path, events(users=200, recordings=2400, plays=30_000) + heavy + one)
    store = Store(spark, c.store)
    users = spark.createDataFrame([("nobody", "allow")], "user_id string, explicit_policy string")
    store.upsert(TABLES["users"], users.selectExpr("user_id", "explicit_policy"), {})
    run(c)
    release = releases.latest(Store(spark, c.store))
    shown = {
        pool["user_id"]: pool
        for pool in show_pools.show_pools(store, release, c, ("nobody", "one", "heavy", "u001"), 4)
    }
    catalogue = store.read("recording_ids").count()
    assert store.read("plays").where("user_id = 'heavy'").count() == 100_000
    for user, heard in (("nobody", 0), ("one", 1), ("heavy", HEARD)):
        pool = shown[user]
        got = len(pool["candidates"])
        assert got == pool["k"] == min(500, catalogue - heard), user
        assert (pool["shortfall"] is None) == (got == 500)
        assert sum(pool["drops"].values()) + got == pool["emitted"]
        assert not any(one["plays"] for one in pool["candidates"])
    assert catalogue - HEARD < 500, "the heavy user is meant to run short"
    assert shown["heavy"]["shortfall"] == {"wanted": 500, "got": catalogue - HEARD, "rule": "heard"}
    pools = store.read("pools")
    assert pools.where(F.size("candidates") == 500).count() == pools.count() - 1
    size = (
        DeltaTable.forPath(spark, store.where("pools")).detail().select("sizeInBytes").first()[0]
        / pools.count()
    )
    print(f"bytes a pool row: {size:.0f}")
    assert size <= 6 * 1024


def test_the_slower_of_two_publishers_of_one_seq_exits_75(spark, released):
    first = releases.latest(Store(spark, released.store))
    rivals = [releases.replace(first, seq=2, release_id=name, run_key=name) for name in ("a", "b")]
    releases.publish(Store(spark, released.store), rivals[0], "a")
    with pytest.raises(BusyError) as lost:
        releases.publish(Store(spark, released.store), rivals[1], "b")
    assert lost.value.exit_code == 75
    assert [r.release_id for r in releases.releases(Store(spark, released.store))] == ["a", first.release_id]
    back = releases.rollback(Store(spark, released.store), 1, dt.datetime.now(dt.UTC))
    assert (back.seq, back.tables) == (3, first.tables)


def test_a_run_without_plays_says_what_to_type(config):
    with pytest.raises(InputError, match="trackpools import"):
        run(config())


def test_without_options_both_moments_are_just_after_the_last_play(spark, config, tmp_path):
    c = config(*SMALL)
    import_events(
        c,
        tmp_path,
        [{"event_id": "a", "user_id": "u", "track_id": "t", "played_at": "2025-03-01T10:00:00+02:00"}],
    )
    flow = Flow(c, spark, Tracker(c.mlflow, None, "t", "t"))
    at = dt.datetime(2025, 3, 1, 8, 0, 0, 1000, tzinfo=dt.UTC)
    assert flow.moment == Moment(at, at)
