"""On demand: the same pool as the batch's, without a JVM; events that no table has yet; constraints of a request."""

import datetime as dt
import sys

import numpy as np
import pytest

from trackpools.core import on_demand
from trackpools.core.assemble import bucket_of
from trackpools.core.past import Event
from trackpools.errors import ConfigError, InputError
from trackpools.shell import work
from trackpools.shell.command import Options
from trackpools.shell.serving import Opened, bucket
from trackpools.shell.store import Store


def batch(spark, config):
    """{user_id: row of pools} of the release in force."""
    store = Store(spark, config.store)
    ids = {
        row["user_idx"]: row["user_id"] for row in store.read("user_ids", store.version("user_ids")).collect()
    }
    return {
        ids[row["user_idx"]]: row.asDict(recursive=True)
        for row in store.read("pools", store.version("pools")).collect()
    }


def assert_equal_to_the_batch(spark, config):
    opened = Opened.of(config)
    expected = batch(spark, config)
    for user, row in expected.items():
        made = on_demand.pool(opened.release, opened.person(user))
        assert made == {name: row[name] for name in made}, user
    return len(expected)


def test_every_pool_is_the_batch_s(spark, released):
    assert assert_equal_to_the_batch(spark, released) == 40


@pytest.mark.soak
@pytest.mark.parametrize("exact_max", [250_000, 1000])
def test_a_thousand_pools_with_everything_on_are_the_batch_s(spark, config, exact_max):
    c = config(
        f"topk.exact_max={exact_max}",
        "synthetic.users=1000",
        "synthetic.tracks=4000",
        "synthetic.days=60",
        "train.rank=32",
    )
    work.demo(c, Options(quiet=True))
    assert assert_equal_to_the_batch(spark, c) == 1000


def test_a_play_of_a_minute_ago_counts(released):
    opened = Opened.of(released)
    user = "u001"
    before = on_demand.pool(opened.release, opened.person(user))
    new = next(one for one in before["candidates"] if one["plays"] == 0)
    after = on_demand.pool(
        opened.release, opened.person(user, (Event(new["recording"], opened.as_of.date()),))
    )
    (same,) = [one for one in after["candidates"] if one["recording"] == new["recording"]]
    assert (same["plays"], same["last_day"]) == (1, (opened.as_of.date() - dt.date(1970, 1, 1)).days)


def test_what_a_request_does_not_want_is_dropped_by_name(released):
    opened = Opened.of(released)
    person = opened.person("u002")
    plain, none = (
        on_demand.pool(opened.release, person),
        on_demand.pool(opened.release, person, lambda facts: np.ones(len(facts), bool)),
    )
    assert none["candidates"] == []
    assert (
        none["drops"]["request"] + sum(n for rule, n in none["drops"].items() if rule != "request")
        == plain["emitted"]
    )
    assert none["shortfall"] == {"wanted": 40, "got": 0, "rule": "request"}


def test_nobody_knows_this_user_or_release(released):
    opened = Opened.of(released)
    with pytest.raises(InputError, match="knows no such user"):
        opened.person("nobody")
    with pytest.raises(InputError, match="no release 99"):
        Opened.of(released, 99)


def test_without_deltalake_one_line_says_what_to_type(released, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[serve\]'"):
        Opened.of(released)


def test_a_bucket_is_the_one_of_spark(spark):
    some = [0, 1, 2, 41, 255, 256, 65_537, 2**31 - 1, *range(1000, 1200)]
    for buckets in (1, 7, 256):
        rows = (
            spark.createDataFrame([(one,) for one in some], "user_idx int")
            .select("user_idx", bucket_of(buckets).alias("b"))
            .collect()
        )
        assert {row["user_idx"]: row["b"] for row in rows} == {one: bucket(one, buckets) for one in some}
