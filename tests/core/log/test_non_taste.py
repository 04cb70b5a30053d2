"""Tests of non-taste: plays masked for one user, and recordings recognised as non-taste for all users."""

import datetime as dt

import pytest
from chispa import assert_df_equality
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from builders import rows
from core.log.test_interactions import START, logs, plays
from trackpools import tables as t
from trackpools.core.contracts.conform import conform, repeated_keys
from trackpools.core.log import interactions as one
from trackpools.core.log import non_taste

SPARK = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WIDE = ("daily.max_plays_recording_day=1000000", "daily.max_plays_day=1000000", "daily.lean_back=[radio]")
FACTS = "recording_idx int, tags array<string>"


def repeated_plays(n, **play):
    return [{"played_at": START + dt.timedelta(minutes=3 * i)} | play for i in range(n)]


def days_of(spark, c, log):
    return one.plays_daily(plays(spark, log), c.daily, c.taste, None)


def test_a_loop_and_an_excluded_context_are_masked_and_stay_heard(spark, config):
    c = config(
        "taste.exclude_contexts=[sleep, kids]", "taste.loop_plays=12", "daily.max_plays_recording_day=10"
    )
    log = [
        *repeated_plays(12),
        *repeated_plays(11, recording_idx=1),
        *repeated_plays(40, recording_idx=2, context_type="sleep"),
        *repeated_plays(3, recording_idx=3, context_type="kids"),
        *repeated_plays(4, recording_idx=3, context_type="album"),
        *repeated_plays(3, recording_idx=4, context_type="kids"),
        *repeated_plays(2, recording_idx=5, context_type="kids"),
        *repeated_plays(1, recording_idx=5, context_type="sleep"),
        *repeated_plays(3, recording_idx=5),
    ]
    got = {
        r["recording_idx"]: (r["plays"], r["completions"], r["masked"], r["masked_as"])
        for r in days_of(spark, c, log).collect()
    }
    assert got == {
        0: (10, 10, 10, "loop"),
        1: (10, 10, 0, None),
        2: (10, 10, 10, "sleep"),
        3: (7, 7, 3, None),
        4: (3, 3, 3, "kids"),
        5: (6, 6, 3, "kids"),
    }
    assert days_of(spark, config("taste.exclude_contexts=[]"), log).where("masked > 0").select(
        "recording_idx"
    ).collect() == [(0,), (2,)]


def test_a_loop_is_one_users_in_one_utc_day(spark, config):
    late = dt.datetime(2025, 3, 2, tzinfo=dt.UTC) - dt.timedelta(minutes=18)
    log = [
        *repeated_plays(6),
        *repeated_plays(6, user_idx=1),
        *({"recording_idx": 1, "played_at": late + dt.timedelta(minutes=3 * i)} for i in range(13)),
    ]
    got = days_of(spark, config("taste.loop_plays=12"), log)
    assert got.where("masked > 0").count() == 0


def test_podcasts_audiobooks_and_private_sessions_are_not_plays_of_music(spark, config):
    log = [
        {"content_type": "podcast"},
        {"content_type": "audiobook", "recording_idx": 1},
        {"private": True, "recording_idx": 2},
        {"content_type": "music", "private": False, "recording_idx": 3},
        {"recording_idx": 4},
    ]
    assert sorted(row[0] for row in days_of(spark, config(), log).select("recording_idx").collect()) == [3, 4]


@SPARK
@given(logs(), st.sampled_from([(30, 1000), (5, 12), (1, 1)]), st.sampled_from([2, 12, 100]))
def test_masked_plays_never_exceed_completions_whatever_the_caps_and_partitions(
    spark, config, log, caps, loop_plays
):
    c = config(
        f"daily.max_plays_recording_day={caps[0]}",
        f"daily.max_plays_day={caps[1]}",
        f"taste.loop_plays={loop_plays}",
        "taste.exclude_contexts=[album]",
    )
    found = [one.plays_daily(plays(spark, log).repartition(n), c.daily, c.taste, None) for n in (1, 7)]
    assert found[0].where("masked NOT BETWEEN 0 AND completions OR completions > plays").count() == 0
    assert found[0].where("masked_as IS NOT NULL AND masked = 0").count() == 0
    assert found[0].exceptAll(found[1]).count() == found[1].exceptAll(found[0]).count() == 0


@SPARK
@given(logs())
def test_mass_leaves_out_masked_plays_and_the_heard_state_keeps_them(spark, config, log):
    c = config(*WIDE, "taste.loop_plays=8", "taste.exclude_contexts=[album]")
    none, nobody = (
        plays(spark, []),
        spark.createDataFrame([], "user_idx int, recording_idx int, likes int, blocked boolean"),
    )
    days = days_of(spark, c, log)
    looped = {(r["user_idx"], r["recording_idx"], r["day"]) for r in days.where("plays >= 8").collect()}
    counted = [
        p
        for p in log
        if p["context_type"] != "album"
        and (p["user_idx"], p["recording_idx"], p["played_at"].date()) not in looped
    ]
    bare = config(*WIDE, "taste.loop_plays=1000000", "taste.exclude_contexts=[]")
    masses = [
        {
            (r[0], r[1]): r[2]
            for r in one.interactions(d, none, nobody, c.weights)
            .where("mass > 0")
            .select("user_idx", "recording_idx", "mass")
            .collect()
        }
        for d in (days, days_of(spark, bare, counted))
    ]
    assert masses[0] == masses[1]
    state = ("user_idx", "recording_idx", "plays", "skips", "first_day", "last_day")
    met, unmasked = (
        one.interactions(d, none, nobody, c.weights).select(*state) for d in (days, days_of(spark, bare, log))
    )
    assert_df_equality(met, unmasked, ignore_row_order=True)


def nights(users, recording, *, as_=None, days=1, first=0):
    """Return rows of plays_daily: `users` users who each play `recording` on `days` days."""
    return [
        {
            "user_idx": first + u,
            "recording_idx": recording,
            "day": START.date() + dt.timedelta(days=d),
            "plays": 20,
            "completions": 20,
            "masked": 20 if as_ else 0,
            "masked_as": as_,
        }
        for u in range(users)
        for d in range(days)
    ]


def recognised_recordings(spark, config, given, tags=(), partitions=2, settings_=()):
    days = rows(spark, "plays_daily", *given).repartition(partitions)
    facts = spark.createDataFrame(list(tags), FACTS)
    return conform(non_taste.non_taste_recordings(days, facts, config(*settings_).taste), t.NOT_TASTE)


def test_audio_that_most_users_loop_is_recognised_with_kind_and_reason(spark, config):
    given = [
        *nights(5, 0, as_="loop", days=3),
        *nights(6, 1, as_="sleep"),
        *nights(4, 1, first=10),
        *nights(3, 2, as_="kids"),
        *nights(3, 2, as_="loop", first=3),
        *nights(2, 2, as_="kids", first=8),
        *nights(5, 3, as_="commute"),
    ]
    expected = rows(
        spark,
        "not_taste",
        {"recording_idx": 0, "kind": "noise", "why": "loop", "share": 1.0},
        {"recording_idx": 1, "kind": "sleep", "why": "context", "share": 0.6},
        {"recording_idx": 2, "kind": "kids", "why": "context", "share": 1.0},
        {"recording_idx": 3, "kind": "functional", "why": "context", "share": 1.0},
    )
    for partitions in (1, 7):
        got = recognised_recordings(spark, config, given, partitions=partitions)
        assert_df_equality(got, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)
    assert repeated_keys(got, t.NOT_TASTE).count() == 0


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([*nights(1, 0, as_="loop", days=30), *nights(3, 0, first=1)], id="one fan's long binge"),
        pytest.param([*nights(40, 0, as_="loop"), *nights(60, 0, first=40)], id="a hit on its first night"),
        pytest.param([*nights(4, 0, as_="loop", days=9)], id="a band of four that plays itself"),
    ],
)
def test_a_binge_does_not_make_a_song_non_taste(spark, config, given):
    assert recognised_recordings(spark, config, given).count() == 0


def test_the_catalogue_counts_before_the_behaviour_of_users(spark, config):
    given = [*nights(9, 0), *nights(5, 1, as_="loop"), *nights(9, 4)]
    tags = [
        (0, ["pop", "Lullaby"]),
        (1, ["sleep", "kids"]),
        (2, ["white noise"]),
        (3, None),
        (4, ["noise rock", "ambient", "noise"]),
    ]
    got = {
        r["recording_idx"]: (r["kind"], r["why"], r["share"])
        for r in recognised_recordings(spark, config, given, tags).collect()
    }
    assert got == {0: ("kids", "tag", 0.0), 1: ("sleep", "tag", 1.0), 2: ("noise", "tag", None)}
    bare = [f"taste.tags.{kind}=[]" for kind in non_taste.KINDS]
    assert recognised_recordings(spark, config, nights(9, 0), tags, settings_=bare).count() == 0


def test_charts_count_users_with_unmasked_plays(spark):
    met = rows(
        spark,
        "interactions",
        {"user_idx": 0, "plays": 3},
        {"user_idx": 1, "plays": 3, "mass": 1.0},
        {"user_idx": 2, "plays": 3, "skips": 3},
        {"user_idx": 3, "plays": 3, "counted": 1},
        {"user_idx": 4, "plays": 3, "rated": 0},
        {"user_idx": 5, "likes": 1},
        {"user_idx": 6, "recording_idx": 9, "mass": 1.0},
    )
    got = non_taste.taste_interactions(met, rows(spark, "not_taste", {"recording_idx": 9}))
    assert sorted(r["user_idx"] for r in got.collect()) == [1, 2, 3, 4, 5]


def test_without_leaves_recordings_of_taste(spark):
    got = non_taste.without_non_taste(
        spark.createDataFrame([(1,), (2,), (3,)], "recording_idx int"),
        rows(spark, "not_taste", {"recording_idx": 2}),
    )
    assert sorted(r[0] for r in got.select(F.col("recording_idx")).collect()) == [1, 3]
