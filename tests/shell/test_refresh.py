"""Refresh: the listeners concerned alone get what a full recomputation gives them, in an overlay that readers prefer and that folds into its base."""

import datetime as dt
import json

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from flows import AS_OF, SMALL, START, events, import_events, refreshed, run, shown
from trackpools import stages as s
from trackpools import tables as t
from trackpools.cli import _run
from trackpools.core import features, on_demand
from trackpools.core.als.foldin import signed
from trackpools.errors import BusyError
from trackpools.shell import refreshing, releases, work
from trackpools.shell.command import Options
from trackpools.shell.engines import fold_in_users
from trackpools.shell.refresh_command import advised
from trackpools.shell.serving import Opened
from trackpools.shell.store import Store
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


def opened(spark, config):
    store = Store(spark, config.store)
    return store, releases.latest(store)


def recomputed(store, config, release):
    """The pools of everybody at the release's moment with its model: what a refresh must give to whom it concerns."""
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
    )
    training = signed(s.training_set(read, c), config.train)
    read["user_factors"] = fold_in_users(
        training, read["recording_factors"].select("idx", "factors"), config.train, striped=False
    )
    known = features.facts(read["tracks"], read["recording_ids"])
    read["user_features"] = features.user_features(
        read["interactions"], read["plays_daily"], known, read["not_taste"], c.as_of
    )
    return s.fill_pools(read, c)["pools"]


def plain(pools):
    """In the order of users, with drops as what can be compared."""
    drops = F.array_sort(F.map_entries("drops")).alias("drops")
    return pools.select(*(drops if name == "drops" else name for name in t.POOLS.schema.names)).orderBy(
        "user_idx"
    )


def require_true(store, release):
    """Rows and hashes that a release tells are those on disk, though a refresh adds them up from what changed."""
    assert store.stats_of({one.name: one.version for one in release.tables}) == list(release.tables)


def test_whom_it_concerns_gets_what_a_full_recomputation_gives(spark, released, tmp_path):
    store, base = opened(spark, released)
    before = shown(spark, released)
    import_events(released, tmp_path, plays(["u001", "u007", "unheard of"], 39), "new")
    answer = refreshed(released)
    store, release = opened(spark, released)
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
    require_true(store, release)
    number = {
        row["user_id"]: row["user_idx"] for row in releases.released(store, release, "user_ids").collect()
    }
    turn = F.col("bucket").isin(refreshing.turn(1, released.pools.buckets, released.refresh.rota))
    some = F.col("user_idx").isin([number[user] for user in ("u001", "u007", "unheard of")])
    pools, whole = releases.released(store, release, "pools"), recomputed(store, released, release)
    assert_df_equality(
        plain(pools.where(some)), plain(whole.where(some)), ignore_nullable=True, ignore_metadata=True
    )
    assert pools.where(some).count() == answer.more["measured"]["concerned"]
    older = releases.released(store, base, "pools")
    assert_df_equality(plain(pools.where(~some)), plain(older.where(~some)))
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
    on_time = Opened.of(released)
    for user in ("u001", "u007", "unheard of"):
        offered = [
            one["recording"] for one in on_demand.pool(on_time.release, on_time.person(user))["candidates"]
        ]
        (row,) = pools.where(F.col("user_idx") == number[user]).collect()
        assert offered == [one["recording"] for one in row["candidates"]], (
            "on demand, at the same release, the same row"
        )
    assert "in force already" in refreshed(released).lines[0]
    assert (
        work.run_stages(
            released, Options(quiet=True), "publish", (), publish=True, as_of=AS_OF, known_as_of=None
        ).release_id
        == release.release_id
    )
    assert opened(spark, released)[1] == release
    import_events(released, tmp_path, plays(["u002"], 39), "newer")
    by_joins = released.model_copy(
        update={"refresh": released.refresh.model_copy(update={"rota": 1, "at_hand": 0})}
    )
    assert refreshed(by_joins).more["concerned"] == {"changed": 1}, (
        "as in a catalogue that is too large for one task"
    )
    store, folded = opened(spark, released)
    require_true(store, folded)
    assert (folded.seq, folded.rows("pools_hot"), folded.rows("pools")) == (3, 0, len(after))
    now = shown(spark, released)
    assert now.keys() == after.keys()
    assert [user for user in after if now[user] != after[user]] == ["u002"], (
        "every bucket had its turn: the overlay is in the base"
    )
    one = F.col("user_idx") == number["u002"]
    pools, whole = releases.released(store, folded, "pools"), recomputed(store, released, folded)
    assert_df_equality(
        plain(pools.where(one)), plain(whole.where(one)), ignore_nullable=True, ignore_metadata=True
    )


@pytest.mark.soak
@pytest.mark.parametrize("days", [1, 30])
def test_late_and_replayed_events_end_in_the_tables_of_one_batch(spark, config, tmp_path, days):
    """Played in any order, some brought twice, some for long not known: by raw ids, for numbers are given in the order of coming."""
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
        ]  # some a second time, some before they count
        import_events(c, tmp_path, known, f"day{start}")
        if start == 51:  # two tracks turn out to be one recording, whoever played them
            Store(spark, c.store).upsert(t.TRACKS, merged(spark), {})
        refreshed(c, (START + dt.timedelta(days=start + 1)).isoformat())
    store, release = opened(spark, c)
    require_true(store, release)
    import_events(whole, tmp_path, log, "all")
    Store(spark, whole.store).upsert(t.TRACKS, merged(spark), {})
    flow_end = (START + dt.timedelta(days=52)).isoformat()
    run(whole, flow_end)
    for name in ("plays_daily", "interactions"):
        assert_df_equality(
            raw(Store(spark, c.store), name),
            raw(Store(spark, whole.store), name),
            ignore_row_order=True,
            ignore_nullable=True,
        )


def merged(spark):
    return spark.createDataFrame(
        [("t0000", "one song", True), ("t0003", "one song", True)],
        "track_id string, recording_id string, available boolean",
    )


def raw(store, name):
    return (
        store.read(name)
        .join(store.read("user_ids"), "user_idx")
        .join(store.read("recording_ids"), "recording_idx")
        .drop("user_idx", "recording_idx")
    )


@pytest.mark.soak
def test_a_crash_a_withdrawal_and_a_rollback(spark, released, tmp_path, monkeypatch):
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
    store, release = opened(spark, released)
    require_true(store, release)
    assert answer.more["refresh"] == 1
    assert {"withdrawn", "profile"} <= set(answer.more["concerned"])
    for user, pool in shown(spark, released).items():
        assert gone not in {one["track_id"] for one in pool["candidates"]}, user
    releases.rollback(store, 1, dt.datetime.now(dt.UTC))
    assert shown(spark, released) == before
    assert refreshed(released).more["refresh"] == 1, "it starts from what is in force"
    store, second = opened(spark, released)
    assert {one.name: one.hash for one in second.tables} == {one.name: one.hash for one in release.tables}


@pytest.mark.soak
def test_a_full_run_empties_the_overlays(spark, released, tmp_path):
    import_events(released, tmp_path, plays(["u001", "u007"], 39), "new")
    refreshed(released)
    assert opened(spark, released)[1].rows("pools_hot") > 0
    run(released, AS_OF)
    store, full = opened(spark, released)
    require_true(store, full)
    assert (full.seq, full.rows("pools_hot"), full.rows("pools"), full.rows("user_factors_hot")) == (
        3,
        0,
        40,
        0,
    )
    assert releases.vacuum(store, 5, dt.datetime.now(dt.UTC)).keys() == {one.name for one in full.tables}


def test_what_a_refresh_cannot_do_is_said(released, config, capsys):
    told = [part for setting in ("mlflow.enabled=false", *SMALL) for part in ("--set", setting)]
    assert _run(["refresh", "--root", released.store.root, "--json", *told, "--set", "pools.k=41"]) == 4
    said = json.loads(capsys.readouterr().out)["error"]
    assert "was made with other settings" in said["message"]
    assert "trackpools run" in said["message"]
    assert _run(["refresh", "--root", config().store.root, "--json", "--set", "mlflow.enabled=false"]) == 2
    assert "run `trackpools run` first" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_full_run_is_advised_with_its_reason(config):
    calm = {"unknown_share": 0.1, "hot_share": 0.3, "model_days": 14.0}
    assert advised(config(), calm) == []
    for name, value in (("unknown_share", 0.11), ("hot_share", 0.31), ("model_days", 14.1)):
        (said,) = advised(config(), calm | {name: value})
        assert f"refresh.max_{name}" in said
