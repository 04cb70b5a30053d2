"""Tests that non-taste, such as a sleep loop, does not move the pools (-m soak).

Worlds that differ only by non-taste train on equal rows and describe equal users.
"""

import datetime as dt

import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from builders import rows
from flows import AS_OF, SMALL, START, events, import_events
from trackpools import stages
from trackpools import tables as t
from trackpools.config.loading import load_config
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.tracking.tracker import Tracker

pytestmark = pytest.mark.soak
NOISE = "zzz rain"  # sorts after all other ids, so that they keep their numbers
TASTE = ("ids", "daily", "taste", "interactions", "features")


def music_log():
    """Return the log of `flows`, with artists."""
    return [
        row | {"title": row["track_id"], "artist": f"artist {int(row['track_id'][1:]) % 7}"}
        for row in events(users=30, recordings=90, plays=1800)
    ]


def night_plays(user, plays, nights=21, **more):
    """Return `plays` plays of three minutes for each of `nights` nights, from 22:00 past midnight."""
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
    """Return a flow that ran its first stages over the log.

    The catalogue has NOISE even where no user hears it, so that all worlds have the same numbers.
    """
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


def assert_same_rows(one, other):
    assert_df_equality(one, other, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


@pytest.fixture(scope="module")
def without(spark, tmp_path_factory):
    """Return the flow of the world without sleep sounds, run up to its pools."""
    return flow_of(
        spark, tmp_path_factory.mktemp("without"), music_log(), (*TASTE, "train", "index", "pools")
    )


def compare_worlds(flow, without):
    """Check training, profiles and charts against the other world; return the count of heard NOISE."""
    assert_same_rows(training(flow), training(without))
    profile, chart = (
        ("user_idx", "profile"),
        ("recording_idx", "market", "listeners", "artist_rank", "popularity"),
    )
    assert_same_rows(
        flow.store.read("user_features").select(*profile),
        without.store.read("user_features").select(*profile),
    )
    assert_same_rows(
        flow.store.read("track_cards").select(*chart), without.store.read("track_cards").select(*chart)
    )
    noise = flow.store.read("recording_ids").where(F.col("recording_id") == NOISE)
    return (
        flow.store.read("interactions")
        .join(noise, "recording_idx")
        .where("plays > 0 AND last_day IS NOT NULL")
        .count()
    )


def non_taste_kinds(flow):
    return [(row["kind"], row["why"]) for row in flow.store.read("not_taste").collect()]


def test_a_user_who_loops_a_recording_every_night_moves_no_pool(spark, tmp_path, without):
    flow = flow_of(
        spark, tmp_path, music_log() + night_plays("u000", 100), (*TASTE, "train", "index", "pools")
    )
    assert compare_worlds(flow, without) == 1
    assert non_taste_kinds(flow) == [], (
        "the loop alone told: masked for the listener, no verdict on the recording"
    )
    pool = "user_idx", "candidates", "profile", "shortfall"
    assert_same_rows(flow.store.read("pools").select(*pool), without.store.read("pools").select(*pool))


def test_a_recording_that_most_users_loop_is_non_taste_even_for_users_who_hear_it_by_day(
    spark, tmp_path, without
):
    by_day = [
        row
        | {
            "event_id": f"day-{row['event_id']}",
            "played_at": (START + dt.timedelta(days=20, minutes=i)).isoformat(),
        }
        for i, row in enumerate(night_plays("u001", 3, 1))
    ]
    flow = flow_of(
        spark,
        tmp_path,
        music_log() + [row for u in range(6) for row in night_plays(f"u00{u}", 60, 7)] + by_day,
    )
    assert compare_worlds(flow, without) == 6
    assert non_taste_kinds(flow) == [("noise", "loop")]


def test_contexts_private_sessions_and_podcasts_are_non_taste(spark, tmp_path, without):
    podcasts = [
        row | {"track_id": "zzz talk", "event_id": f"p-{row['event_id']}"}
        for row in night_plays("u001", 2, content_type="podcast")
    ]
    flow = flow_of(
        spark,
        tmp_path,
        music_log()
        + night_plays("u000", 3, context_type="sleep")
        + night_plays("u002", 3, private=True)
        + podcasts,
    )
    assert compare_worlds(flow, without) == 1
    assert non_taste_kinds(flow) == []
    assert flow.store.read("recording_ids").where("recording_id = 'zzz talk'").count() == 0


def test_a_recording_of_an_excluded_context_is_recognised_and_a_second_run_changes_nothing(
    spark, tmp_path, without
):
    flow = flow_of(
        spark,
        tmp_path,
        music_log() + [row for u in range(6) for row in night_plays(f"u00{u}", 2, 5, context_type="kids")],
    )
    assert compare_worlds(flow, without) == 6
    assert non_taste_kinds(flow) == [("kids", "context")]
    before = {table: flow.store.version(table) for table in ("plays_daily", "not_taste", "interactions")}
    again = Flow(flow.config, spark, Tracker(flow.config.mlflow, None, "t", "t"), AS_OF)
    assert [again.run(stages.BY_NAME[name]).skipped for name in TASTE[1:]] == [True] * 4
    assert {table: again.store.version(table) for table in before} == before


def test_a_tag_is_enough(spark, tmp_path, without):
    flow = flow_of(spark, tmp_path, music_log() + night_plays("u000", 3), tags=("rain sounds", "ambient"))
    assert compare_worlds(flow, without) == 1
    assert non_taste_kinds(flow) == [("noise", "tag")]


def test_a_minor_is_offered_no_explicit_track_whatever_the_policy_says(spark, tmp_path):
    flow = flow_of(spark, tmp_path, music_log(), ())
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
