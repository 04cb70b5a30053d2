"""Tests of the refresh: the users concerned get what a full recomputation would give them.

Their rows are written to an overlay, which readers prefer and which is folded into its base.
"""

import datetime as dt
import json

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from flows import AS_OF, SMALL, START, events, import_events, refreshed, run, shown
from trackpools import stages as s
from trackpools import tables as t
from trackpools.cli import invoke
from trackpools.core.als.fold_in_users import signed_values
from trackpools.core.catalogue import features
from trackpools.core.pools import online
from trackpools.core.serving.refresh_scope import rota_buckets
from trackpools.errors import BusyError
from trackpools.shell.arrays.open_arrays import open_arrays
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.pipeline.runner import ACTIONS
from trackpools.shell.refresh.refresh_command import full_run_reasons
from trackpools.shell.releases import releases
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store
from trackpools.shell.training.train import fold_in_users
from trackpools.stage import Context, Notes


def plays(users, day, track="t0000", n=3):
    at = START + dt.timedelta(days=day)
    return [
        {
            "event_id": f"r{day}-{user}-{i}",
            "user_id": user,
            "track_id": track,
            "played_at": (at + dt.timedelta(minutes=4 * i)).isoformat(),
            "ms_played": 200_000,
        }
        for user in users
        for i in range(n)
    ]


def open_store(spark, config):
    store = Store(spark, config.store)
    return store, releases.latest(store)


def recompute_pools(store, config, release):
    """Return the pools of all users at the release's moment, with the release's model.

    A refresh must give the same pools to the users that it concerns.
    """
    read = {one.name: store.read(one.name, one.version) for one in release.tables} | {
        "plays_daily": store.read("plays_daily")
    }
    rows = {name: release.rows(name) for name in ("recording_factors", "recording_vectors")}
    c = Context(
        config,
        release.as_of,
        release.as_of,
        None,
        {},
        "",
        release.model_version,
        rows,
        Notes(),
        lambda frame: frame,
        ACTIONS,
        lambda: open_arrays(store, release.tables, config.topk),
    )
    training = signed_values(s.training_set(read, c), config.train)
    read["user_factors"] = fold_in_users(
        training, read["recording_factors"].select("idx", "factors"), config.train, striped=False
    )
    known = features.catalogue_facts(read["tracks"], read["recording_ids"])
    read["user_features"] = features.user_features(
        read["interactions"], read["plays_daily"], known, read["not_taste"], c.as_of
    )
    return s.compute_pools(read, c)["pools"]


def comparable_pools(pools):
    """Return the pools in the order of users, with drops as sorted entries, so that they can be compared."""
    drops = F.array_sort(F.map_entries("drops")).alias("drops")
    return pools.select(*(drops if name == "drops" else name for name in t.POOLS.schema.names)).orderBy(
        "user_idx"
    )


def require_true_stats(store, release):
    """Check that the rows and hashes in a release are those on disk.

    A refresh does not count them again but computes them from what changed.
    """
    assert store.stats_of({one.name: one.version for one in release.tables}) == list(release.tables)


def test_the_users_concerned_get_what_a_full_recomputation_gives(spark, released, tmp_path):
    store, base = open_store(spark, released)
    before = shown(spark, released)
    import_events(released, tmp_path, plays(["u001", "u007", "unheard of"], 39), "new")
    answer = refreshed(released)
    store, release = open_store(spark, released)
    why = answer.more["concerned"]
    assert why == {"changed": 3, "new": 1}
    assert (release.seq, release.model_version, release.as_of) == (2, base.model_version, base.as_of)
    for unmoved in (
        "recording_factors",
        "user_factors",
        "user_features",
        "recording_facts",
        "source_lists",
        "track_cards",
    ):
        assert release.version(unmoved) == base.version(unmoved), unmoved
    require_true_stats(store, release)
    number = {
        row["user_id"]: row["user_idx"] for row in releases.read_pinned(store, release, "user_ids").collect()
    }
    turn = F.col("bucket").isin(rota_buckets(1, released.pools.buckets, released.refresh.rota))
    some = F.col("user_idx").isin([number[user] for user in ("u001", "u007", "unheard of")])
    pools, whole = releases.read_pinned(store, release, "pools"), recompute_pools(store, released, release)
    assert_df_equality(
        comparable_pools(pools.where(some)),
        comparable_pools(whole.where(some)),
        ignore_nullable=True,
        ignore_metadata=True,
    )
    assert pools.where(some).count() == answer.more["measured"]["concerned"]
    older = releases.read_pinned(store, base, "pools")
    assert_df_equality(comparable_pools(pools.where(~some)), comparable_pools(older.where(~some)))
    hot = store.read("pools_hot")
    assert {row["user_idx"] for row in hot.collect()} == {
        row["user_idx"] for row in whole.where(some & ~turn).collect()
    }, "whose bucket has its turn is not hot"
    assert store.commit("pools").version > base.version("pools"), (
        "the bucket whose turn it is was rewritten, with what it had of others"
    )
    after = shown(spark, released)
    assert set(after) - set(before) == {"unheard of"}
    assert after["u007"] != before["u007"]
    on_time = LoadedRelease.of(released)
    for user in ("u001", "u007", "unheard of"):
        offered = [
            one["recording"] for one in online.pool(on_time.release, on_time.online_user(user))["candidates"]
        ]
        (row,) = pools.where(F.col("user_idx") == number[user]).collect()
        assert offered == [one["recording"] for one in row["candidates"]], (
            "on demand, at the same release, the same row"
        )
    assert "in force already" in refreshed(released).lines[0]
    assert (
        pipeline.run_stages(
            released, Options(quiet=True), "publish", (), publish=True, as_of=AS_OF, known_as_of=None
        ).release_id
        == release.release_id
    )
    assert open_store(spark, released)[1] == release
    import_events(released, tmp_path, plays(["u002"], 39), "newer")
    all_buckets = released.model_copy(update={"refresh": released.refresh.model_copy(update={"rota": 1})})
    assert refreshed(all_buckets).more["concerned"] == {"changed": 1}
    store, folded = open_store(spark, released)
    require_true_stats(store, folded)
    assert (folded.seq, folded.rows("pools_hot"), folded.rows("pools")) == (3, 0, len(after))
    now = shown(spark, released)
    assert now.keys() == after.keys()
    assert [user for user in after if now[user] != after[user]] == ["u002"], (
        "every bucket had its turn: the overlay is in the base"
    )
    one = F.col("user_idx") == number["u002"]
    pools, whole = releases.read_pinned(store, folded, "pools"), recompute_pools(store, released, folded)
    assert_df_equality(
        comparable_pools(pools.where(one)),
        comparable_pools(whole.where(one)),
        ignore_nullable=True,
        ignore_metadata=True,
    )


@pytest.mark.soak
@pytest.mark.parametrize("days", [1, 30])
def test_late_and_replayed_events_end_in_the_tables_of_one_batch(spark, config, tmp_path, days):
    """Check plays that arrive in any order, twice, or days late.

    The tables are compared by raw ids, because numbers are given in the order of arrival.
    """
    c, whole = config(*SMALL), config(*SMALL, f"store.root={tmp_path / 'whole'}")
    log = events(users=20, recordings=60, plays=800, seed=3)
    for i, row in enumerate(log):
        late = dt.timedelta(days=4 * (i % 7 == 0))
        row["received_at"] = (dt.datetime.fromisoformat(row["played_at"]) + late).isoformat()
    log.sort(key=lambda row: row["received_at"])
    day = [int((dt.datetime.fromisoformat(row["received_at"]) - START).days) for row in log]
    first = 52 - days
    import_events(c, tmp_path, [row for row, at in zip(log, day, strict=True) if at < first], "first")
    run(c, (START + dt.timedelta(days=first)).isoformat())
    for start in range(first, 52):
        known = [
            row for row, at in zip(log, day, strict=True) if start - 2 <= at < start + 2
        ]  # some arrive a second time, and some before they count
        import_events(c, tmp_path, known, f"day{start}")
        if start == 51:  # the catalogue now says that two tracks are one recording
            Store(spark, c.store).upsert(t.TRACKS, merged_tracks(spark), {})
        refreshed(c, (START + dt.timedelta(days=start + 1)).isoformat())
    store, release = open_store(spark, c)
    require_true_stats(store, release)
    import_events(whole, tmp_path, log, "all")
    Store(spark, whole.store).upsert(t.TRACKS, merged_tracks(spark), {})
    flow_end = (START + dt.timedelta(days=52)).isoformat()
    run(whole, flow_end)
    for name in ("plays_daily", "interactions"):
        assert_df_equality(
            with_raw_ids(Store(spark, c.store), name),
            with_raw_ids(Store(spark, whole.store), name),
            ignore_row_order=True,
            ignore_nullable=True,
        )


def merged_tracks(spark):
    return spark.createDataFrame(
        [("t0000", "one song", True), ("t0003", "one song", True)],
        "track_id string, recording_id string, available boolean",
    )


def with_raw_ids(store, name):
    return (
        store.read(name)
        .join(store.read("user_ids"), "user_idx")
        .join(store.read("recording_ids"), "recording_idx")
        .drop("user_idx", "recording_idx")
    )


@pytest.mark.soak
def test_a_refresh_survives_a_crash_a_withdrawal_and_a_rollback(spark, released, tmp_path, monkeypatch):
    store = Store(spark, released.store)
    before = shown(spark, released)
    gone = before["u003"]["candidates"][0]["track_id"]
    catalogue = spark.createDataFrame([(gone, False)], "track_id string, available boolean")
    store.upsert(t.TRACKS, catalogue, {})
    store.upsert(
        t.USERS, spark.createDataFrame([("u005", "clean")], "user_id string, explicit_policy string"), {}
    )
    publish = releases.publish
    monkeypatch.setattr(releases, "publish", lambda *_: (_ for _ in ()).throw(BusyError("the power is off")))
    with pytest.raises(BusyError):
        refreshed(released)
    assert shown(spark, released) == before, "what is not published is not seen"
    monkeypatch.setattr(releases, "publish", publish)
    answer = refreshed(released)
    store, release = open_store(spark, released)
    require_true_stats(store, release)
    assert answer.more["refresh"] == 1
    assert {"withdrawn", "profile"} <= set(answer.more["concerned"])
    for user, pool in shown(spark, released).items():
        assert gone not in {one["track_id"] for one in pool["candidates"]}, user
    releases.rollback(store, 1, dt.datetime.now(dt.UTC))
    assert shown(spark, released) == before
    assert refreshed(released).more["refresh"] == 1, "it starts from what is in force"
    store, second = open_store(spark, released)
    assert {one.name: one.hash for one in second.tables} == {one.name: one.hash for one in release.tables}


@pytest.mark.soak
def test_a_full_run_empties_the_overlays(spark, released, tmp_path):
    import_events(released, tmp_path, plays(["u001", "u007"], 39), "new")
    refreshed(released)
    assert open_store(spark, released)[1].rows("pools_hot") > 0
    run(released, AS_OF)
    store, full = open_store(spark, released)
    require_true_stats(store, full)
    assert (full.seq, full.rows("pools_hot"), full.rows("pools"), full.rows("user_factors_hot")) == (
        3,
        0,
        40,
        0,
    )
    assert releases.vacuum(store, 5, dt.datetime.now(dt.UTC)).keys() == {one.name for one in full.tables}


def test_a_refresh_says_what_it_cannot_do(released, config, capsys):
    told = [part for setting in ("mlflow.enabled=false", *SMALL) for part in ("--set", setting)]
    assert invoke(["refresh", "--root", released.store.root, "--json", *told, "--set", "pools.k=41"]) == 4
    said = json.loads(capsys.readouterr().out)["error"]
    assert "was built with other settings" in said["message"]
    assert "trackpools run" in said["message"]
    assert invoke(["refresh", "--root", config().store.root, "--json", "--set", "mlflow.enabled=false"]) == 2
    assert "run `trackpools run` first" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_full_run_is_advised_with_its_reason(config):
    calm = {"unknown_share": 0.1, "hot_share": 0.3, "model_days": 14.0}
    assert full_run_reasons(config(), calm) == []
    for name, value in (("unknown_share", 0.11), ("hot_share", 0.31), ("model_days", 14.1)):
        (said,) = full_run_reasons(config(), calm | {name: value})
        assert f"refresh.max_{name}" in said
