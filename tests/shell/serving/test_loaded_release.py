"""Tests of pools on demand, without a JVM: they equal the batch's pools.

They also take in events that no table has yet, and constraints of a request.
"""

import datetime as dt
import sys

import numpy as np
import pytest

from trackpools.core.pools import online
from trackpools.core.pools.batch import bucket_of
from trackpools.core.pools.user_history import RecentPlay
from trackpools.errors import ConfigError, InputError
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.serving.loaded_release import LoadedRelease, bucket
from trackpools.shell.store.store import Store


def pools_by_user(spark, config):
    """Return {user_id: row of pools} of the release in force."""
    store = Store(spark, config.store)
    ids = {
        row["user_idx"]: row["user_id"] for row in store.read("user_ids", store.version("user_ids")).collect()
    }
    return {
        ids[row["user_idx"]]: row.asDict(recursive=True)
        for row in store.read("pools", store.version("pools")).collect()
    }


def assert_equal_to_the_batch(spark, config):
    opened = LoadedRelease.of(config)
    expected = pools_by_user(spark, config)
    for user, row in expected.items():
        made = online.pool(opened.release, opened.online_user(user))
        assert made == {name: row[name] for name in made}, user
    return len(expected)


def test_every_pool_equals_that_of_the_batch(spark, released):
    assert assert_equal_to_the_batch(spark, released) == 40


@pytest.mark.soak
@pytest.mark.parametrize("exact_max", [250_000, 1000])
def test_a_thousand_pools_with_everything_on_equal_those_of_the_batch(spark, config, exact_max):
    c = config(
        f"topk.exact_max={exact_max}",
        "synthetic.users=1000",
        "synthetic.tracks=4000",
        "synthetic.days=60",
        "train.rank=32",
    )
    pipeline.demo(c, Options(quiet=True))
    assert assert_equal_to_the_batch(spark, c) == 1000


def test_a_play_of_a_minute_ago_counts(released):
    opened = LoadedRelease.of(released)
    user = "u001"
    before = online.pool(opened.release, opened.online_user(user))
    new = next(one for one in before["candidates"] if one["plays"] == 0)
    after = online.pool(
        opened.release, opened.online_user(user, (RecentPlay(new["recording"], opened.as_of.date()),))
    )
    (same,) = [one for one in after["candidates"] if one["recording"] == new["recording"]]
    assert (same["plays"], same["last_day"]) == (1, (opened.as_of.date() - dt.date(1970, 1, 1)).days)


def test_recordings_that_a_request_excludes_are_dropped_by_name(released):
    opened = LoadedRelease.of(released)
    person = opened.online_user("u002")
    plain, none = (
        online.pool(opened.release, person),
        online.pool(opened.release, person, lambda facts: np.ones(len(facts), bool)),
    )
    assert none["candidates"] == []
    assert (
        none["drops"]["request"] + sum(n for rule, n in none["drops"].items() if rule != "request")
        == plain["emitted"]
    )
    assert none["shortfall"] == {"wanted": 40, "got": 0, "rule": "request"}


def test_an_unknown_user_or_release_is_refused(released):
    opened = LoadedRelease.of(released)
    with pytest.raises(InputError, match="has no such user"):
        opened.online_user("nobody")
    with pytest.raises(InputError, match="no release 99"):
        LoadedRelease.of(released, 99)


def test_without_deltalake_one_line_says_what_to_type(released, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[serve\]'"):
        LoadedRelease.of(released)


def test_a_bucket_is_the_one_of_spark(spark):
    some = [0, 1, 2, 41, 255, 256, 65_537, 2**31 - 1, *range(1000, 1200)]
    for buckets in (1, 7, 256):
        rows = (
            spark.createDataFrame([(one,) for one in some], "user_idx int")
            .select("user_idx", bucket_of(buckets).alias("b"))
            .collect()
        )
        assert {row["user_idx"]: row["b"] for row in rows} == {one: bucket(one, buckets) for one in some}
