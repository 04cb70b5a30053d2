"""Tests of the steps from plays to days to interactions, against an oracle in plain Python."""

import datetime as dt
import math
from collections import defaultdict

import pytest
from chispa import assert_df_equality
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from builders import rows
from trackpools.core.log import interactions as one
from trackpools.core.log.confidence import positive_weight

START = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
PLAY = (
    "user_idx int, recording_idx int, kind string, played_at timestamp, received_at timestamp, ms_played long, context_type string, "
    "private boolean, content_type string, plays int"
)
NAMES = [column.split()[0] for column in PLAY.split(", ")]
KEY = ["user_idx", "recording_idx"]
SPARK = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def plays(spark, given):
    """Return a frame of plays with idx; each dict overrides fields of an ordinary play of music."""
    common = {"user_idx": 0, "recording_idx": 0, "kind": "play", "played_at": START, "plays": 1}
    return spark.createDataFrame([tuple((common | play).get(name) for name in NAMES) for play in given], PLAY)


def oracle_days(given, *, cap, day_cap, skip_ms=30_000, lean_back=("radio",), since=None):
    """Return {(user, recording, day): (plays, completions, early skips, ms)} in whole numbers."""
    counts = defaultdict(lambda: [0, 0, 0])
    for play in given:
        day = play["played_at"].date()
        if play["private"] or play["content_type"] not in {None, "music"} or (since and day < since):
            continue
        skip = (
            play["context_type"] in lean_back
            and play["ms_played"] is not None
            and play["ms_played"] < skip_ms
        )
        row = counts[play["user_idx"], play["recording_idx"], day]
        row[skip] += play["plays"]
        row[2] += min(play["ms_played"] or 0, 86_400_000)
    total = defaultdict(int)
    for (user, _, day), (good, skips, _) in counts.items():
        total[user, day] += min(good + skips, cap)
    out = {}
    for (user, recording, day), (good, skips, ms) in counts.items():
        capped = min(good + skips, cap)
        if total[user, day] > day_cap:
            capped = math.ceil(capped * day_cap / total[user, day])
        out[user, recording, day] = (
            capped,
            math.ceil(good * capped / (good + skips)),
            math.ceil(skips * capped / (good + skips)),
            ms,
        )
    return out


@st.composite
def logs(draw):
    """Draw the plays of a few users, bots included: one row may hold hundreds of plays."""
    play = st.fixed_dictionaries(
        {
            "user_idx": st.integers(0, 4),
            "recording_idx": st.integers(0, 4),
            "played_at": st.integers(0, 4 * 86_400 * 2).map(lambda s: START + dt.timedelta(seconds=s / 2)),
            "ms_played": st.none() | st.sampled_from([0, 29_999, 30_000, 200_000, 2**61]),
            "context_type": st.sampled_from([None, "radio", "album"]),
            "private": st.sampled_from([None, False, False, True]),
            "content_type": st.sampled_from([None, "music", "music", "podcast"]),
            "plays": st.sampled_from([1, 1, 1, 2, 7, 58, 79, 400]),
        }
    )
    return draw(st.lists(play, max_size=150))


BOT = [
    {
        "user_idx": 0,
        "recording_idx": 0,
        "played_at": START,
        "ms_played": None,
        "context_type": None,
        "private": None,
        "content_type": None,
        "plays": n,
    }
    for n in (29, 29)
]


@SPARK
@given(
    logs(),
    st.sampled_from([(30, 1000), (5, 12), (30, 50), (1, 1)]),
    st.sampled_from([None, START.date() + dt.timedelta(days=2)]),
)
@example(BOT, (30, 1000), None)
def test_daily_plays_agree_with_the_oracle_for_bots_private_sessions_podcasts_and_skips(
    spark, config, log, caps, since
):
    cap, day_cap = caps
    c = config(
        f"daily.max_plays_recording_day={cap}", f"daily.max_plays_day={day_cap}", "daily.lean_back=[radio]"
    )
    got = one.plays_daily(plays(spark, log).repartition(3), c.daily, c.taste, since).collect()
    days = {
        (r["user_idx"], r["recording_idx"], r["day"]): (
            r["plays"],
            r["completions"],
            r["early_skips"],
            r["ms"],
        )
        for r in got
    }
    assert len(days) == len(got)
    assert days == oracle_days(log, cap=cap, day_cap=day_cap, since=since)


def test_rounding_up_stays_within_the_caps(spark, config):
    """Check that 30/58 of 58 plays is 30, not 31: in floating point it is slightly above 30."""
    log = [{"recording_idx": r, "plays": r} for r in range(31, 400)]
    days = one.plays_daily(
        plays(spark, log), config("daily.max_plays_day=100000").daily, config().taste, None
    )
    assert days.where("plays <> 30 OR completions <> 30").count() == 0


def test_one_absurd_duration_does_not_stop_the_flow(spark, config):
    log = [{"ms_played": 2**62 - 1}] * 5
    assert (
        one.plays_daily(plays(spark, log), config().daily, config().taste, None).first()["ms"]
        == 5 * 86_400_000
    )


def test_a_row_without_plays_gives_no_day(spark, config):
    assert (
        one.plays_daily(
            plays(spark, [{"plays": 0}, {"user_idx": 1, "plays": 0}, {"user_idx": 1, "recording_idx": 1}]),
            config().daily,
            config().taste,
            None,
        ).count()
        == 1
    )


def test_the_day_is_the_utc_day(spark, config):
    midnight = dt.datetime(2025, 3, 2, tzinfo=dt.UTC)
    log = [
        {"played_at": midnight - dt.timedelta(microseconds=1)},
        {"played_at": midnight},
        {"played_at": dt.datetime(2025, 3, 1, 23, tzinfo=dt.timezone(dt.timedelta(hours=-3)))},
    ]
    got = one.plays_daily(plays(spark, log), config().daily, config().taste, None).select("day", "plays")
    assert_df_equality(
        got,
        spark.createDataFrame([(dt.date(2025, 3, 1), 1), (dt.date(2025, 3, 2), 2)], "day date, plays int"),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_only_plays_that_happened_and_were_received_in_time_are_known(spark):
    as_of, known = START, START + dt.timedelta(days=1)
    minute = dt.timedelta(minutes=1)
    given = {
        "in time": (as_of - minute, None),
        "future": (as_of + minute, None),
        "now": (as_of, None),
        "late": (as_of - minute, known + minute),
        "received now": (as_of - minute, known),
        "synced": (as_of - minute, known - minute),
        "untimed": (None, None),
        "untimed, received": (None, as_of),
        "untimed, late": (None, known + minute),
    }
    frame = spark.createDataFrame(
        [(name, *times) for name, times in given.items()],
        "name string, played_at timestamp, received_at timestamp",
    )
    assert {row["name"] for row in frame.where(one.is_known_by(as_of, known)).collect()} == {
        "in time",
        "synced",
        "untimed",
        "untimed, received",
    }
    early = frame.where(one.is_known_by(known, as_of - minute))
    assert {row["name"] for row in early.collect()} == {"untimed"}, (
        "a play without a receipt was received when it was played"
    )


def fold_interactions(spark, days, weights, untimed=(), acts=()):
    """Return the interactions of `(user, recording, day, plays, completions, early_skips)` tuples."""
    frame = rows(
        spark,
        "plays_daily",
        *(
            dict(
                zip(
                    ("user_idx", "recording_idx", "day", "plays", "completions", "early_skips"),
                    d,
                    strict=True,
                )
            )
            for d in days
        ),
    )
    acted = spark.createDataFrame(list(acts), "user_idx int, recording_idx int, likes int, blocked boolean")
    return one.interactions(frame, plays(spark, untimed), acted, weights)


def many_days():
    return [
        (u, r, START.date() + dt.timedelta(days=d), 3 + d % 2, 2 + (u * r + d) % 3, d % 2)
        for u in range(4)
        for r in range(5)
        for d in range(0, 90, 1 + (u + r) % 4)
    ]


def test_forward_decay_is_the_direct_formula_at_any_as_of(spark, config):
    weights = config(
        "weights.half_life_days=45.0", "weights.landmark=2020-01-01", "weights.saturation=1.0"
    ).weights
    frame = fold_interactions(spark, many_days(), weights)
    for as_of in (dt.datetime(2025, 6, 1, tzinfo=dt.UTC), dt.datetime(2026, 6, 1, tzinfo=dt.UTC)):
        direct = defaultdict(float)
        for u, r, day, _, completions, _ in many_days():
            direct[u, r] += completions * 2 ** (-(as_of.date() - day).days / 45.0)
        got = {
            (row[0], row[1]): row[2] for row in frame.select(*KEY, positive_weight(as_of, weights)).collect()
        }
        assert got == pytest.approx({key: math.log1p(mass) for key, mass in direct.items()}, rel=1e-12)


def test_masses_are_equal_to_the_bit_for_any_partitions_and_order(spark, config):
    weights = config("weights.half_life_days=37.0").weights
    days = rows(
        spark,
        "plays_daily",
        *(
            dict(
                zip(
                    ("user_idx", "recording_idx", "day", "plays", "completions", "early_skips"),
                    d,
                    strict=True,
                )
            )
            for d in many_days()
        ),
    )
    none, nobody = (
        plays(spark, []),
        spark.createDataFrame([], "user_idx int, recording_idx int, likes int, blocked boolean"),
    )
    frames = [
        one.interactions(days.orderBy(F.rand(n)).repartition(n), none, nobody, weights) for n in (1, 2, 7)
    ]
    columns = (*KEY, F.hex(F.col("mass").cast("string").cast("binary")).alias("mass"), "skip_mass")
    for other in frames[1:]:
        assert_df_equality(frames[0].select(*columns), other.select(*columns), ignore_row_order=True)


def test_a_user_without_new_days_has_no_changed_row(spark, config):
    """Check that what is stored does not depend on as_of, because decay is computed forward."""
    weights = config().weights
    later = [*many_days(), (9, 9, dt.date(2026, 1, 1), 1, 1, 0)]
    assert_df_equality(
        fold_interactions(spark, many_days(), weights),
        fold_interactions(spark, later, weights).where("user_idx <> 9"),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_days_totals_ratings_and_acts_of_one_pair_are_one_row(spark, config):
    weights = config("weights.landmark=2025-03-01").weights
    day = START.date()
    untimed = [
        {"user_idx": 1, "kind": "count", "played_at": None, "plays": 5},
        {"user_idx": 1, "kind": "count", "played_at": None, "plays": 4},
        {"user_idx": 2, "kind": "rating", "plays": 0},
        {"user_idx": 2, "recording_idx": 1, "kind": "rating", "plays": 1, "played_at": None},
        {"user_idx": 3, "kind": "rating", "plays": 0},
        {"user_idx": 3, "kind": "rating", "plays": 1, "played_at": START + dt.timedelta(days=3)},
        {"user_idx": 4, "kind": "count", "played_at": None, "plays": 2},
        {"user_idx": 4, "kind": "rating", "plays": 1, "played_at": START - dt.timedelta(days=3)},
    ]
    acts = [(4, 0, 1, False), (5, 0, 0, True)]
    got = fold_interactions(spark, [(4, 0, day, 3, 2, 1)], weights, untimed, acts)
    expected = rows(
        spark,
        "interactions",
        {"user_idx": 1, "counted": 9},
        {"user_idx": 2, "rated": 0, "first_day": day, "last_day": day},
        {"user_idx": 2, "recording_idx": 1, "rated": 1},
        {"user_idx": 3, "rated": 1, "first_day": day, "last_day": day + dt.timedelta(days=3)},
        {
            "user_idx": 4,
            "mass": 2.0,
            "skip_mass": 1.0,
            "plays": 3,
            "skips": 1,
            "counted": 2,
            "rated": 1,
            "likes": 1,
            "first_day": day - dt.timedelta(days=3),
            "last_day": day,
        },
        {"user_idx": 5, "blocked": True},
    )
    typed = got.select(
        *(F.col(field.name).cast(field.dataType).alias(field.name) for field in expected.schema)
    )
    assert_df_equality(typed, expected, ignore_row_order=True, ignore_nullable=True)


def acts(spark, *given):
    return spark.createDataFrame(
        [(u, 0, kind, START + dt.timedelta(hours=hour)) for u, kind, hour in given],
        "user_idx int, recording_idx int, kind string, at timestamp",
    )


def test_the_last_act_counts_and_an_undo_cancels_it(spark):
    given = acts(
        spark,
        (0, "like", 1),
        (1, "like", 1),
        (1, "undo", 2),
        (2, "block", 1),
        (2, "undo", 2),
        (3, "undo", 1),
        (3, "dislike", 2),
        (4, "like", 1),
        (4, "block", 2),
        (5, "block", 1),
        (5, "save", 2),
        (6, "dislike", 1),
        (6, "undo", 1),
        (7, "save", 1),
    )
    expected = [
        (0, 1, False),
        (1, 0, False),
        (2, 0, False),
        (3, -1, False),
        (4, 0, True),
        (5, 1, False),
        (6, 0, False),
        (7, 1, False),
    ]
    got = one.explicit_acts(given).drop("recording_idx")
    assert_df_equality(
        got,
        spark.createDataFrame(expected, "user_idx int, likes int, blocked boolean"),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_an_act_on_an_artist_is_one_on_each_of_the_artists_tracks(spark):
    tracks = rows(
        spark,
        "tracks",
        {"track_id": "t1", "artist_ids": ["a:1", "b"]},
        {"track_id": "t2", "artist_ids": ["b"]},
        {"track_id": "t3"},
    )
    signals = rows(
        spark,
        "signals",
        {"user_id": "u", "track_id": "artist:b", "kind": "block"},
        {"user_id": "u", "track_id": "t3", "kind": "like"},
        {"user_id": "v", "track_id": "artist:a:1", "kind": "like"},
        {"user_id": "v", "track_id": "artist:nobody", "kind": "block"},
    )
    got = one.spread_artist_signals(signals, tracks).select("user_id", "track_id", "kind")
    expected = [("u", "t1", "block"), ("u", "t2", "block"), ("u", "t3", "like"), ("v", "t1", "like")]
    assert_df_equality(
        got,
        spark.createDataFrame(expected, "user_id string, track_id string, kind string"),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_plays_of_versions_are_plays_of_their_recording_and_unknown_tracks_their_own(spark):
    tracks = rows(
        spark, "tracks", {"track_id": "t1", "recording_id": "r"}, {"track_id": "t2", "recording_id": "r"}
    )
    users = rows(spark, "user_ids", {"user_id": "u", "user_idx": 5})
    recordings = rows(
        spark,
        "recording_ids",
        {"recording_id": "r", "recording_idx": 1},
        {"recording_id": "t9", "recording_idx": 2},
    )
    given = spark.createDataFrame(
        [("u", "t1", 1), ("u", "t2", 2), ("u", "t9", 3)], "user_id string, track_id string, n int"
    )
    expected = spark.createDataFrame(
        [(1, 1, 5), (2, 1, 5), (3, 2, 5)], "n int, recording_idx int, user_idx int"
    )
    assert_df_equality(
        one.with_idx(given, tracks, users, recordings), expected, ignore_row_order=True, ignore_nullable=True
    )
