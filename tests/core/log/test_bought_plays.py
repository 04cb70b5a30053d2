"""Tests that bought plays are flagged, and that hits, fandoms and albums of niche artists are not."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from conftest import shared_data
from trackpools.core.log.bought_plays import inflated_recordings

USERS, RECORDINGS, TARGET = 600, 200, 200
SCHEMA = "user_idx int, recording_idx int, plays int, counted long"


def honest_plays(rng):
    """Return (user, recording, plays) of honest users, sorted by user.

    Every user plays some 30 recordings a few times each, and popular recordings more often. The numbers of
    the recordings are not in the order of popularity.
    """
    chance = 1 / (1 + rng.permutation(RECORDINGS)) ** 0.7
    out = []
    for user in range(USERS):
        mine = rng.choice(RECORDINGS, rng.integers(5, 60), replace=False, p=chance / chance.sum())
        out += [(user, int(r), int(np.ceil(rng.lognormal(0.5, 1.0)))) for r in mine]
    return out


def crowd_plays(rng, listeners, plays, recordings=(TARGET,), sigma=0.7):
    """Return the plays of honest users who also play these recordings, each about `plays` times."""
    chosen = rng.choice(USERS, listeners, replace=False)
    return [(int(u), r, int(np.ceil(plays * rng.lognormal(0, sigma)))) for u in chosen for r in recordings]


def push_plays(rng, accounts, plays, cover=0, deep=1):
    """Return the plays of new accounts: each plays the target `plays` times and `cover` others.

    The others are drawn at random, and each is played `deep` times.
    """
    fakes = range(USERS, USERS + accounts)
    return [(u, TARGET, plays) for u in fakes] + [
        (u, int(r), deep) for u in fakes for r in rng.choice(50, cover, replace=False)
    ]


def flagged_recordings(spark, config, pairs, *settings, partitions=2, counts=False):
    found = spark.createDataFrame(
        [(u, r, 0 if counts else n, n if counts else 0) for u, r, n in pairs], SCHEMA
    ).repartition(partitions)
    return sorted(row[0] for row in inflated_recordings(found, config(*settings).taste).collect())


@pytest.mark.parametrize(("cover", "deep"), [(0, 1), (10, 1), (40, 1), (40, 3), (2, 20)])
def test_a_push_is_seen_with_and_without_cover(spark, config, cover, deep):
    rng = np.random.default_rng(1)
    pairs = honest_plays(rng) + crowd_plays(rng, 3, 2) + push_plays(rng, 30, 20, cover, deep)
    assert flagged_recordings(spark, config, pairs) == [TARGET]
    assert flagged_recordings(spark, config, pairs, counts=True) == [TARGET]


@pytest.mark.parametrize(
    "settings",
    [
        ("taste.inflated_listeners=100",),
        ("taste.inflated_plays=21",),
        ("taste.inflated_share=1", "taste.inflated_lead=21"),
    ],
)
def test_each_key_sets_a_threshold(spark, config, settings):
    rng = np.random.default_rng(1)
    assert flagged_recordings(spark, config, honest_plays(rng) + push_plays(rng, 30, 20, 2), *settings) == []


CROWDS = {
    "nothing but honest listeners": [],
    "a hit": [(400, 6, (TARGET,))],
    "a new song and its fans": [(40, 20, (TARGET,))],
    "a small devoted fandom of one artist": [(15, 25, tuple(range(TARGET, TARGET + 12)))],
    "an album of a niche artist": [(12, 6, tuple(range(TARGET, TARGET + 10)))],
    "a hit with a devoted core": [(300, 2, (TARGET,)), (60, 40, (TARGET,))],
}


@pytest.mark.parametrize("name", CROWDS)
def test_an_honest_crowd_is_not_flagged(spark, config, name):
    rng = np.random.default_rng(2)
    pairs = {(u, r): n for u, r, n in honest_plays(rng)} | {
        (u, r): n
        for listeners, plays, recordings in CROWDS[name]
        for u, r, n in crowd_plays(rng, listeners, plays, recordings)
    }
    assert flagged_recordings(spark, config, [(u, r, n) for (u, r), n in pairs.items()]) == []


def test_few_accounts_cannot_flag_a_song_that_others_hear(spark, config):
    rng = np.random.default_rng(3)
    pairs = honest_plays(rng) + crowd_plays(rng, 60, 2) + push_plays(rng, 40, 20)
    assert flagged_recordings(spark, config, pairs) == []


def test_light_pushes_and_deep_cover_are_not_detected(spark, config):
    """Check the limits that `core/log/bought_plays.py` documents: light pushes and equally deep cover."""
    rng = np.random.default_rng(4)
    known = honest_plays(rng)
    assert flagged_recordings(spark, config, known + push_plays(rng, 30, 2)) == []
    assert flagged_recordings(spark, config, known + push_plays(rng, 30, 20, 6, 20)) == []


def test_verdicts_do_not_depend_on_partitions_and_an_empty_log_has_none(spark, config):
    rng = np.random.default_rng(5)
    pairs = honest_plays(rng) + push_plays(rng, 30, 20, 10)
    assert (
        flagged_recordings(spark, config, pairs, partitions=1)
        == flagged_recordings(spark, config, pairs[::-1], partitions=7)
        == [TARGET]
    )
    assert flagged_recordings(spark, config, []) == []


@pytest.mark.parametrize(
    ("folder", "file", "separator", "header"),
    [
        ("lastfm-2k", "user_artists.dat", "\t", True),
        ("audioscrobbler_small", "user_artist_data_small.txt", " ", False),
    ],
)
def test_nothing_is_flagged_in_real_logs_without_an_attack(spark, config, folder, file, separator, header):
    path = str(shared_data(folder) / file)
    found = spark.read.csv(
        path, sep=separator, header=header, schema="user_idx int, recording_idx int, counted long"
    ).withColumn("plays", F.lit(0))
    assert inflated_recordings(found, config().taste).count() == 0
