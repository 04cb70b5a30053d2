"""A sleep-loop fixture does not move the pool: worlds that differ by what is no taste train on equal rows and describe equal listeners (-m soak)."""

import datetime as dt

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from builders import rows
from flows import AS_OF, SMALL, START, events, import_events
from trackpools import stages
from trackpools import tables as t
from trackpools.shell.flow import Flow
from trackpools.shell.settings import load_config
from trackpools.shell.tracking import Tracker

pytestmark = pytest.mark.soak
NOISE = "zzz rain"  # behind all others, so that they keep their numbers
TASTE = ("ids", "daily", "taste", "interactions", "features")


def music():
    """The log of `flows`, with artists."""
    return [
        row | {"title": row["track_id"], "artist": f"artist {int(row['track_id'][1:]) % 7}"}
        for row in events(users=30, recordings=90, plays=1800)
    ]


def nights(user, plays, nights=21, **more):
    """So many plays of three minutes a night for weeks, from ten in the evening, past midnight."""
    return [
        {
            "event_id": f"n-{user}-{d}-{i}",
            "user_id": user,
            "track_id": NOISE,
            "title": "Rain",
            "artist": "Sleepy",
            "ms_played": 180_000,
            "played_at": (START + dt.timedelta(days=d, hours=22, minutes=3 * i)).isoformat(),
        }
        | more
        for d in range(nights)
        for i in range(plays)
    ]


def flow_of(spark, folder, log, upto=TASTE, tags=("ambient",)):
    """A flow that ran its first stages over the log; the catalogue knows NOISE also where nobody hears it, so that numbers are alike."""
    c = load_config(settings=["mlflow.enabled=false", *SMALL], root=str(folder / "root"))
    import_events(c, folder, log)
    flow = Flow(c, spark, Tracker(c.mlflow, None, "t", "t"), AS_OF)
    track = {
        "track_id": NOISE,
        "artist_ids": ["s"],
        "artist_names": ["Sleepy"],
        "tags": list(tags),
        "available": True,
    }
    flow.store.upsert(t.TRACKS, rows(spark, "tracks", track), {})
    for name in upto:
        flow.run(stages.BY_NAME[name])
    return flow


def training(flow):
    context = flow.context(stages.BY_NAME["train"])
    return stages.training_set(
        {name: flow.store.read(name, version) for name, version in context.versions.items()}, context
    )


def same(one, other):
    assert_df_equality(one, other, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


@pytest.fixture(scope="module")
def without(spark, tmp_path_factory):
    """The world in which everybody sleeps in silence, up to its pools."""
    return flow_of(spark, tmp_path_factory.mktemp("without"), music(), (*TASTE, "train", "index", "pools"))


def compared(flow, without):
    """Training, profiles and charts are those of the world without; what was heard is known."""
    same(training(flow), training(without))
    profile, chart = (
        ("user_idx", "profile"),
        ("recording_idx", "market", "listeners", "artist_rank", "popularity"),
    )
    same(
        flow.store.read("user_features").select(*profile),
        without.store.read("user_features").select(*profile),
    )
    same(flow.store.read("track_cards").select(*chart), without.store.read("track_cards").select(*chart))
    noise = flow.store.read("recording_ids").where(F.col("recording_id") == NOISE)
    return (
        flow.store.read("interactions")
        .join(noise, "recording_idx")
        .where("plays > 0 AND last_day IS NOT NULL")
        .count()
    )


def kinds(flow):
    return [(row["kind"], row["why"]) for row in flow.store.read("not_taste").collect()]


def test_one_listener_who_loops_a_recording_all_night_for_weeks_moves_nobodys_pool(spark, tmp_path, without):
    flow = flow_of(spark, tmp_path, music() + nights("u000", 100), (*TASTE, "train", "index", "pools"))
    assert compared(flow, without) == 1
    assert kinds(flow) == [], "the loop alone told: masked for the listener, no verdict on the recording"
    pool = "user_idx", "candidates", "profile", "shortfall"
    same(flow.store.read("pools").select(*pool), without.store.read("pools").select(*pool))


def test_a_recording_that_most_loop_is_nobodys_taste_not_even_of_who_hears_it_by_day(
    spark, tmp_path, without
):
    by_day = [
        row
        | {
            "event_id": f"day-{row['event_id']}",
            "played_at": (START + dt.timedelta(days=20, minutes=i)).isoformat(),
        }
        for i, row in enumerate(nights("u001", 3, 1))
    ]
    flow = flow_of(
        spark, tmp_path, music() + [row for u in range(6) for row in nights(f"u00{u}", 60, 7)] + by_day
    )
    assert compared(flow, without) == 6
    assert kinds(flow) == [("noise", "loop")]


def test_contexts_private_sessions_and_podcasts_are_no_taste(spark, tmp_path, without):
    podcasts = [
        row | {"track_id": "zzz talk", "event_id": f"p-{row['event_id']}"}
        for row in nights("u001", 2, content_type="podcast")
    ]
    flow = flow_of(
        spark,
        tmp_path,
        music() + nights("u000", 3, context_type="sleep") + nights("u002", 3, private=True) + podcasts,
    )
    assert compared(flow, without) == 1
    assert kinds(flow) == []
    assert flow.store.read("recording_ids").where("recording_id = 'zzz talk'").count() == 0


def test_a_recording_of_an_excluded_context_is_recognised_and_a_second_run_changes_nothing(
    spark, tmp_path, without
):
    flow = flow_of(
        spark,
        tmp_path,
        music() + [row for u in range(6) for row in nights(f"u00{u}", 2, 5, context_type="kids")],
    )
    assert compared(flow, without) == 6
    assert kinds(flow) == [("kids", "context")]
    before = {table: flow.store.version(table) for table in ("plays_daily", "not_taste", "interactions")}
    again = Flow(flow.config, spark, Tracker(flow.config.mlflow, None, "t", "t"), AS_OF)
    assert [again.run(stages.BY_NAME[name]).skipped for name in TASTE[1:]] == [True] * 4
    assert {table: again.store.version(table) for table in before} == before


def test_a_tag_is_enough(spark, tmp_path, without):
    flow = flow_of(spark, tmp_path, music() + nights("u000", 3), tags=("rain sounds", "ambient"))
    assert compared(flow, without) == 1
    assert kinds(flow) == [("noise", "tag")]


def test_a_minor_is_offered_no_explicit_track_whatever_the_policy_says(spark, tmp_path):
    flow = flow_of(spark, tmp_path, music(), ())
    catalogue = flow.store.read("tracks")
    flow.store.upsert(
        t.TRACKS, catalogue.withColumn("explicit", F.substring("track_id", -1, 1).isin("0", "1", "2")), {}
    )
    bands = ("13-17", "0-12", "16", "18-24", None)
    flow.store.upsert(
        t.USERS,
        rows(
            spark,
            "users",
            *(
                {"user_id": f"u{u:03}", "explicit_policy": "allow", "birth_band": band}
                for u, band in enumerate(bands)
            ),
        ),
        {},
    )
    for name in (*TASTE, "train", "index", "pools"):
        flow.run(stages.BY_NAME[name])
    explicit = flow.store.read("track_cards").where("explicit AND market = '*'").select("recording_idx")
    offered = (
        flow.store.read("pools")
        .select("user_idx", F.explode("candidates.recording").alias("recording_idx"))
        .join(explicit, "recording_idx", "left_semi")
    )
    who = {
        row[0]
        for row in offered.join(flow.store.read("user_ids"), "user_idx")
        .select("user_id")
        .distinct()
        .collect()
    }
    assert who & {"u000", "u001", "u002"} == set()
    assert who >= {"u003", "u004", "u005"}
