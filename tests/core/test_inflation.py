"""Bought plays stand out; hits, fandoms and albums of niche artists do not."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from conftest import shared_data
from trackpools.core.inflation import inflated

USERS, RECORDINGS, TARGET = 600, 200, 200
SCHEMA = "user_idx int, recording_idx int, plays int, counted long"


def honest(rng):
    """Every user plays some 30 recordings, popular ones the more likely, a few times each; sorted by recording that is not the order of popularity."""
    chance = 1 / (1 + rng.permutation(RECORDINGS)) ** 0.7
    out = []
    for user in range(USERS):
        mine = rng.choice(RECORDINGS, rng.integers(5, 60), replace=False, p=chance / chance.sum())
        out += [(user, int(r), int(np.ceil(rng.lognormal(0.5, 1.0)))) for r in mine]
    return out


def crowd(rng, listeners, plays, recordings=(TARGET,), sigma=0.7):
    """Honest users who also play these recordings about so often."""
    chosen = rng.choice(USERS, listeners, replace=False)
    return [(int(u), r, int(np.ceil(plays * rng.lognormal(0, sigma)))) for u in chosen for r in recordings]


def push(rng, accounts, plays, cover=0, deep=1):
    """New accounts that play the target so often, and so many of the other recordings `deep` times each."""
    fakes = range(USERS, USERS + accounts)
    return [(u, TARGET, plays) for u in fakes] + [
        (u, int(r), deep) for u in fakes for r in rng.choice(50, cover, replace=False)
    ]


def flagged(spark, config, pairs, *settings, partitions=2, counts=False):
    found = spark.createDataFrame(
        [(u, r, 0 if counts else n, n if counts else 0) for u, r, n in pairs], SCHEMA
    ).repartition(partitions)
    return sorted(row[0] for row in inflated(found, config(*settings).taste).collect())


@pytest.mark.parametrize(("cover", "deep"), [(0, 1), (10, 1), (40, 1), (40, 3), (2, 20)])
def test_a_push_is_seen_with_and_without_cover(spark, config, cover, deep):
    rng = np.random.default_rng(1)
    pairs = honest(rng) + crowd(rng, 3, 2) + push(rng, 30, 20, cover, deep)
    assert flagged(spark, config, pairs) == [TARGET]
    assert flagged(spark, config, pairs, counts=True) == [TARGET]


@pytest.mark.parametrize(
    "settings",
    [
        ("taste.inflated_listeners=100",),
        ("taste.inflated_plays=21",),
        ("taste.inflated_share=1", "taste.inflated_lead=21"),
    ],
)
def test_each_key_says_from_where_on(spark, config, settings):
    rng = np.random.default_rng(1)
    assert flagged(spark, config, honest(rng) + push(rng, 30, 20, 2), *settings) == []


CROWDS = {
    "nothing but honest listeners": [],
    "a hit": [(400, 6, (TARGET,))],
    "a new song and its fans": [(40, 20, (TARGET,))],
    "a small devoted fandom of one artist": [(15, 25, tuple(range(TARGET, TARGET + 12)))],
    "an album of a niche artist": [(12, 6, tuple(range(TARGET, TARGET + 10)))],
    "a hit with a devoted core": [(300, 2, (TARGET,)), (60, 40, (TARGET,))],
}


@pytest.mark.parametrize("name", CROWDS)
def test_an_honest_crowd_survives(spark, config, name):
    rng = np.random.default_rng(2)
    pairs = {(u, r): n for u, r, n in honest(rng)} | {
        (u, r): n
        for listeners, plays, recordings in CROWDS[name]
        for u, r, n in crowd(rng, listeners, plays, recordings)
    }
    assert flagged(spark, config, [(u, r, n) for (u, r), n in pairs.items()]) == []


def test_few_accounts_cannot_condemn_a_song_that_others_hear(spark, config):
    rng = np.random.default_rng(3)
    pairs = honest(rng) + crowd(rng, 60, 2) + push(rng, 40, 20)
    assert flagged(spark, config, pairs) == []


def test_what_it_does_not_stand(spark, config):
    """Documented in `core/inflation.py`: light pushes, and cover as deep as the push."""
    rng = np.random.default_rng(4)
    known = honest(rng)
    assert flagged(spark, config, known + push(rng, 30, 2)) == []
    assert flagged(spark, config, known + push(rng, 30, 20, 6, 20)) == []


def test_verdicts_are_equal_whatever_the_partitions_and_nobody_is_judged_where_nobody_listens(spark, config):
    rng = np.random.default_rng(5)
    pairs = honest(rng) + push(rng, 30, 20, 10)
    assert (
        flagged(spark, config, pairs, partitions=1)
        == flagged(spark, config, pairs[::-1], partitions=7)
        == [TARGET]
    )
    assert flagged(spark, config, []) == []


@pytest.mark.parametrize(
    ("folder", "file", "separator", "header"),
    [
        ("lastfm-2k", "user_artists.dat", "\t", True),
        ("audioscrobbler_small", "user_artist_data_small.txt", " ", False),
    ],
)
def test_nothing_is_flagged_in_real_logs_that_nobody_attacked(spark, config, folder, file, separator, header):
    path = str(shared_data(folder) / file)
    found = spark.read.csv(
        path, sep=separator, header=header, schema="user_idx int, recording_idx int, counted long"
    ).withColumn("plays", F.lit(0))
    assert inflated(found, config().taste).count() == 0
