"""Tests of the synthetic world: equal seeds give equal rows, and the world has the promised traits."""

import datetime as dt
from functools import reduce
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F

from trackpools.datasets.synthetic.synthetic_world import LEAN_BACK, world
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.tables import PLAYS, SIGNALS, TRACKS, USERS

FRAMES = ("plays", "tracks", "users", "signals", "affinities")
UNTIL = dt.date(2026, 1, 1)


def world_settings(config, **values):
    return config(*(f"synthetic.{key}={value}" for key, value in values.items())).synthetic


def content(**frames):
    """Return {name: (rows, Σ of row hashes)}, in one action; equal bags of rows give equal values."""
    sums = [
        df.agg(
            F.lit(name).alias("name"),
            F.count(F.lit(1)).alias("rows"),
            F.sum(F.xxhash64(*df.columns).cast("decimal(38,0)")).alias("hash"),
        )
        for name, df in frames.items()
    ]
    return {row.name: (row.rows, row.hash) for row in reduce(lambda a, b: a.union(b), sums).collect()}


def contents(made):
    return content(**{name: getattr(made, name) for name in FRAMES})


@pytest.fixture(scope="module")
def small(spark, tmp_path_factory):
    """Return a world of 300 users, 500 tracks and 40 days, generated once and read back."""
    from trackpools.config.loading import load_config

    config = load_config(
        settings=["synthetic.users=300", "synthetic.tracks=500", "synthetic.days=40"]
    ).synthetic
    folder, made, read = tmp_path_factory.mktemp("world"), world(spark, config), {}
    for name in FRAMES:
        getattr(made, name).write.parquet(str(folder / name))
        read[name] = spark.read.parquet(str(folder / name))
    return SimpleNamespace(config=config, made=made, **read)


@pytest.fixture(scope="module")
def heard(small):
    """Return the plays with the facts of their track and user, and the true affinity between the two."""
    tags = small.tracks.select("track_id", F.explode("tags").alias("tag"))
    met = small.plays.select("user_id", "track_id").distinct()
    liking = (
        met.join(tags, "track_id")
        .join(small.affinities, ["user_id", "tag"])
        .groupBy("user_id", "track_id")
        .agg(F.max("affinity").alias("affinity"))
    )
    joined = (
        small.plays.join(small.tracks, "track_id")
        .join(small.users, "user_id")
        .join(liking, ["user_id", "track_id"])
        .withColumns(
            {
                "bot": F.col("user_id") == "u00000199",
                "lean_back": F.col("context_type").isin(*LEAN_BACK),
                "skip": F.col("reason_end") == "fwdbtn",
                "hour": F.hour(F.from_utc_timestamp("played_at", F.col("time_zone"))),
                "day": F.to_date("played_at"),
            }
        )
        .cache()
    )
    yield joined
    joined.unpersist()


def share(condition):
    return F.avg(F.coalesce(condition, F.lit(False)).cast("double"))


@pytest.mark.soak
def test_the_same_seed_gives_the_same_rows_whatever_the_partitions_and_another_seed_others(spark, config):
    given = world_settings(config, users=220, tracks=150, days=6)
    one, two, seven = (world(spark, given, partitions=n) for n in (1, 2, 7))
    other = world(spark, world_settings(config, users=220, tracks=150, days=6, seed=8))
    assert [w.plays.rdd.getNumPartitions() for w in (one, seven)] == [1, 7]
    want, unwanted = contents(one), contents(other)
    assert want == contents(seven)
    assert all(want[name] != unwanted[name] and want[name][0] > 0 for name in FRAMES)
    assert (
        content(plays=two.plays)
        == content(plays=one.plays.repartition(5, "track_id"))
        == {"plays": want["plays"]}
    )


def test_the_smallest_worlds_are_consistent(spark, config):
    for users, tracks, days in ((1, 20, 1), (3, 47, 2)):
        made = world(
            spark,
            world_settings(config, users=users, tracks=tracks, days=days, plays_per_user_day=50),
            partitions=1,
        )
        known = {row.track_id for row in made.tracks.select("track_id").collect()}
        listeners, played = made.plays.agg(F.collect_set("user_id"), F.collect_set("track_id")).first()
        assert len(known) == tracks
        assert set(played) <= known
        assert len(listeners) <= users


def test_every_frame_fits_its_table(small):
    assert [(f.name, f.dataType) for f in small.made.plays.schema if f.name in PLAYS.schema.names] == [
        (f.name, f.dataType)
        for f in [PLAYS.schema[name] for name in small.made.plays.columns if name in PLAYS.schema.names]
    ]
    assert set(small.made.plays.columns) == set(PLAYS.schema.names) - {"play_key"} | {
        "event_id",
        "row_text",
        "source",
    }
    for frame, table in (
        (small.made.tracks, TRACKS),
        (small.made.users, USERS),
        (small.made.signals, SIGNALS),
    ):
        assert [(f.name, f.dataType) for f in frame.schema] == [(f.name, f.dataType) for f in table.columns]
    for frame, table in (
        (small.plays, PLAYS),
        (small.tracks, TRACKS),
        (small.users, USERS),
        (small.signals, SIGNALS),
    ):
        required = [c.name for c in table.columns if not c.nullable and c.name in frame.columns]
        assert frame.where(F.greatest(*(F.col(c).isNull() for c in required), F.lit(False))).count() == 0, (
            table.name
        )
    for frame, key in (
        (small.tracks, TRACKS.key),
        (small.users, USERS.key),
        (small.signals, SIGNALS.key),
        (small.affinities, ("user_id", "tag")),
    ):
        assert frame.groupBy(*key).count().where("count > 1").count() == 0


def test_plays_are_of_known_users_and_tracks_within_the_log(small, heard):
    rows, first, last, received, too_long, early = (
        small.plays.join(small.tracks.select("track_id", "duration_ms"), "track_id")
        .agg(
            F.count(F.lit(1)),
            F.min("played_at"),
            F.max("played_at"),
            F.max("received_at"),
            F.sum((F.col("ms_played") > F.col("duration_ms")).cast("int")),
            F.sum((F.col("received_at") <= F.col("played_at")).cast("int")),
        )
        .first()
    )
    assert rows == small.plays.count() == heard.count()
    assert first.date() == UNTIL - dt.timedelta(days=40)
    assert last.date() < UNTIL
    assert received.date() < UNTIL
    assert (too_long, early) == (0, 0)


def test_nothing_is_played_before_its_release_or_where_it_is_not_licensed(heard):
    allowed = F.exists(
        "rights",
        lambda r: (
            (r["market"] == F.col("market"))
            & (r["from"].isNull() | (r["from"] <= F.col("day")))
            & (r["until"].isNull() | (F.col("day") < r["until"]))
        ),
    )
    new = F.exists("rights", lambda r: r["from"].isNotNull())
    barred, new_plays, restricted_plays = heard.agg(
        F.sum((F.col("rights").isNotNull() & ~allowed).cast("int")),
        share(new),
        share(F.col("rights").isNotNull() & ~new),
    ).first()
    assert barred == 0
    assert new_plays > 0.005
    assert restricted_plays > 0.01


def test_the_catalogue_has_versions_rights_flags_and_nasty_names(small):
    got = small.tracks.agg(
        F.collect_set("version_kind").alias("kinds"),
        share(F.col("explicit")).alias("explicit"),
        share(~F.col("available")).alias("gone"),
        share(F.exists("rights", lambda r: r["from"].isNotNull())).alias("new"),
        share(F.size("rights") < 6).alias("restricted"),
        share(F.exists("rights", lambda r: r["until"].isNotNull())).alias("ending"),
        F.min("original_year").alias("oldest"),
        F.max("original_year").alias("newest"),
        F.sum(F.col("title").rlike("[<>\"'{]|[^\\x00-\\x7f]").cast("int")).alias("nasty"),
        F.count_distinct(F.col("artist_ids")[0]).alias("artists"),
        share(F.size("artist_ids") == 2).alias("guests"),
        F.min(F.length("title")).alias("shortest"),
        share(F.size("artist_ids") != F.size("artist_names")).alias("unnamed"),
        F.count_distinct("album_id").alias("albums"),
        F.count_distinct("language").alias("languages"),
        F.max("popularity").alias("popularity"),
        F.max("energy").alias("energy"),
    ).first()
    assert set(got.kinds) == {"original", "remaster", "single", "live", "clean"}
    assert 0.07 < got.explicit < 0.17
    assert 0.001 < got.gone < 0.03
    assert 0.03 < got.new < 0.12
    assert 0.06 < got.restricted < 0.14
    assert 0.005 < got.ending < 0.06
    assert 1960 <= got.oldest < 1985
    assert 2020 <= got.newest <= 2025
    assert got.nasty >= 3
    assert got.artists >= 30
    assert got.albums > got.artists
    assert 0.02 < got.guests < 0.3
    assert (got.unnamed, got.languages >= 4) == (0, True)
    assert (0.5 < got.popularity <= 1, got.energy <= 1) == (True, True)


def test_versions_share_a_recording_and_some_explicit_recording_has_a_clean_track(small):
    recordings = (
        small.tracks.groupBy("recording_id")
        .agg(
            F.collect_set("version_kind").alias("kinds"),
            F.count_distinct("artist_ids").alias("artists"),
            F.count_distinct("duration_ms").alias("durations"),
            F.max("explicit").alias("rude"),
            F.min("explicit").alias("clean"),
            F.count(F.lit(1)).alias("tracks"),
        )
        .cache()
    )
    assert recordings.where("tracks > 1").count() > 50
    assert recordings.where("artists > 1 OR durations > 1").count() == 0
    assert recordings.where("rude AND NOT clean").count() >= 3
    assert recordings.where(F.array_contains("kinds", "live") & (F.size("kinds") > 1)).count() == 0
    assert recordings.where(F.array_contains("kinds", "clean") & F.col("rude").isNull()).count() == 0


def test_users_have_markets_policies_tastes_and_some_never_play(small):
    got = small.users.agg(
        F.count_distinct("market").alias("markets"),
        share(F.col("explicit_policy") == "clean").alias("clean"),
        F.collect_set("tier").alias("tiers"),
        share(F.size("declared_tags") > 0).alias("tell"),
        F.count_distinct("time_zone").alias("zones"),
    ).first()
    assert (got.markets, got.zones, set(got.tiers)) == (6, 6, {"free", "premium"})
    assert 0.03 < got.clean < 0.14
    assert 0.6 < got.tell < 0.8
    assert 0.005 < small.users.join(small.plays, "user_id", "left_anti").count() / 300 < 0.1
    declared = small.users.select("user_id", F.explode("declared_tags").alias("tag")).join(
        small.affinities, ["user_id", "tag"]
    )
    assert declared.agg(F.min("affinity")).first()[0] >= 0.5


def test_taste_shows_in_what_is_played_and_in_what_is_skipped(small, heard):
    bands = {
        row.band: row
        for row in heard.where("NOT bot AND lean_back")
        .groupBy(F.ceil(F.col("affinity") * 3).alias("band"))
        .agg(share(F.col("skip")).alias("skips"), F.count(F.lit(1)).alias("plays"))
        .collect()
    }
    assert bands[1].skips > 1.4 * bands[2].skips > 1.4 * 1.4 * bands[3].skips
    lean_back, lean_forward, liking, short = (
        heard.where("NOT bot")
        .agg(
            F.avg(F.when(F.col("lean_back"), F.col("skip").cast("double"))),
            F.avg(F.when(~F.col("lean_back"), F.col("skip").cast("double"))),
            F.avg("affinity"),
            F.max(F.when(F.col("skip"), F.col("ms_played"))),
        )
        .first()
    )
    assert lean_back > 3 * lean_forward
    assert liking > 3 * small.affinities.agg(F.avg("affinity")).first()[0]
    assert short < 30_000


def test_habits_look_human(heard):
    evening, private, explicit_for_clean = (
        heard.where("NOT bot")
        .agg(
            share(F.col("hour") >= 18),
            share(F.col("private")),
            share((F.col("explicit_policy") == "clean") & F.coalesce(F.col("explicit"), F.lit(True))),
        )
        .first()
    )
    assert 0.55 < evening < 0.9
    assert 0.005 < private < 0.05
    assert explicit_for_clean == 0
    tracks = heard.where("NOT bot").groupBy("user_id", "track_id").count()
    users = tracks.groupBy("user_id").agg(
        F.sum("count").alias("plays"), F.count(F.lit(1)).alias("tracks"), F.max("count").alias("most")
    )
    mean, spread, repeats, favourite = users.agg(
        F.sum("plays") / F.lit(300 * 40),
        F.stddev(F.log("plays")),
        1 - F.sum("tracks") / F.sum("plays"),
        F.avg(F.col("most") / F.col("plays")),
    ).first()
    assert 3 < mean < 5
    assert 0.7 < spread < 1.4
    assert repeats > 0.3
    assert favourite > 0.06


def test_few_tracks_have_most_plays(heard):
    counts = sorted(
        (row["count"] for row in heard.where("NOT bot").groupBy("track_id").count().collect()), reverse=True
    )
    assert 0.35 < sum(counts[:50]) / sum(counts) < 0.8
    assert counts[0] / counts[99] > 4
    assert len(counts) > 400


def test_bots_play_thousands_of_times_few_tracks(heard):
    plays, tracks, day = (
        heard.where("bot")
        .groupBy("day")
        .agg(F.count(F.lit(1)).alias("plays"), F.collect_set("track_id").alias("tracks"))
        .agg(F.sum("plays"), F.size(F.array_distinct(F.flatten(F.collect_list("tracks")))), F.max("plays"))
        .first()
    )
    assert plays > 3000
    # The bot chooses among three tracks, each of which may not be released yet at first.
    assert tracks <= 6
    assert day > 1000


def test_some_events_arrive_late_and_some_twice(small):
    events = small.plays.groupBy("event_id").agg(
        F.count(F.lit(1)).alias("copies"),
        F.count_distinct(F.xxhash64(*small.plays.columns)).alias("contents"),
        F.max(F.col("received_at").cast("double") - F.col("played_at").cast("double")).alias("delay"),
    )
    twice, differ, late, latest = events.agg(
        share(F.col("copies") == 2), F.max("contents"), share(F.col("delay") > 86_400), F.max("delay")
    ).first()
    assert 0.003 < twice < 0.008
    assert differ == 1
    assert 0.003 < late < 0.015
    assert latest < 22 * 86_400


def test_signals_follow_taste_and_include_an_artist_block_and_an_undo(small):
    kinds = {
        row.kind: row.n for row in small.signals.groupBy("kind").agg(F.count(F.lit(1)).alias("n")).collect()
    }
    assert set(kinds) == {"like", "save", "dislike", "block", "undo"}
    blocked = small.signals.where(F.col("track_id").startswith("artist:")).select(
        F.substring_index("track_id", ":", -1).alias("artist_id")
    )
    artists = small.tracks.select(F.explode("artist_ids").alias("artist_id")).distinct()
    assert blocked.count() > 0
    assert blocked.join(artists, "artist_id", "left_anti").count() == 0
    tags = small.tracks.select("track_id", F.explode("tags").alias("tag"))
    told = (
        small.signals.join(tags, "track_id")
        .join(small.affinities, ["user_id", "tag"])
        .groupBy("user_id", "track_id", "kind")
        .agg(F.max("affinity").alias("affinity"))
    )
    least_liked, most_disliked = told.agg(
        F.min(F.when(F.col("kind") == "like", F.col("affinity"))),
        F.max(F.when(F.col("kind") == "dislike", F.col("affinity"))),
    ).first()
    assert least_liked > 0.4
    assert most_disliked < 0.5
    undone, acts = (
        small.signals.where("kind = 'undo'").alias("u"),
        small.signals.where("kind <> 'undo'").alias("a"),
    )
    before = undone.join(
        acts, F.expr("u.user_id = a.user_id AND u.track_id = a.track_id AND a.at < u.at"), "left_semi"
    )
    assert before.count() == kinds["undo"]
    assert small.signals.where(F.col("at") >= F.lit(UNTIL)).count() == 0


def test_a_world_that_ends_after_today_is_imported_whole(config):
    settings = ("synthetic.users=20", "synthetic.tracks=50", "synthetic.days=5", "synthetic.until=2090-01-01")
    counts = pipeline.import_log(config(*settings), Options(quiet=True), "synthetic", None).more
    assert counts["accepted"] > 0
    assert counts["rejected"] == 0
