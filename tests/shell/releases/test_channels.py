"""Tests of channels: readers follow prod, and a backfill changes nothing for them.

A canary serves its share of the buckets until a guardrail does not hold.
"""

import datetime as dt
import json

import pytest

from flows import AS_OF, SMALL, START, refreshed, shown
from trackpools.cli import invoke
from trackpools.core.evaluation.promotion_gates import PairedMetric, guardrails
from trackpools.core.serving.channels import canary_buckets
from trackpools.errors import ConfigError
from trackpools.shell.commands.backfill import moments
from trackpools.shell.promotion import canary_check
from trackpools.shell.releases import releases
from trackpools.shell.store.store import Store


def command(config, *words, settings=SMALL):
    told = [part for setting in ("mlflow.enabled=false", *settings) for part in ("--set", setting)]
    return invoke([*words, "--root", config.store.root, "--json", *told])


def printed_answer(capsys):
    return json.loads(capsys.readouterr().out)


@pytest.mark.soak
@pytest.mark.parametrize("days", [(38,), range(0, 91, 15)], ids=["a day", "three months"])
def test_a_backfill_leaves_the_release_in_force_as_it_is(spark, released, capsys, days):
    store = Store(spark, released.store)
    base, before = releases.latest(store), shown(spark, released)
    asked = [(START + dt.timedelta(days=day + 1)).isoformat() for day in days]
    assert command(released, "run", "--from", asked[0], "--to", asked[-1], "--every", "15") == 0
    made = printed_answer(capsys)["backfill"]
    assert [one["as_of"] for one in made] == asked
    store = Store(spark, released.store)
    known = releases.releases(store)
    assert [(one.seq, one.channel, one.as_of.isoformat()) for one in known] == [
        *((seq, "backfill", at) for seq, at in reversed([*enumerate(asked, 2)])),
        (1, "prod", AS_OF),
    ]
    assert releases.latest(store) == base
    assert shown(spark, released) == before
    assert store.stats_of({one.name: one.version for one in base.tables}) == list(base.tables)
    assert known[0].rows("pools") > 0
    assert releases.vacuum(store, 1, dt.datetime.now(dt.UTC)).keys() == {one.name for one in base.tables}
    assert shown(spark, released) == before, "the release in force is kept whatever came after it"
    assert command(released, "publish") == 2
    assert "are those of a backfill" in printed_answer(capsys)["error"]["message"]
    told = refreshed(released).more
    assert told["concerned"] == {}, "a refresh starts from what is in force, not from what a backfill left"


LOOSE = (*SMALL, "promote.min_coverage=0", "promote.min_overlap=0")


def publish_canary(config, capsys, *settings):
    """Publish a canary for half of the buckets."""
    assert (
        command(
            config,
            "run",
            "--as-of",
            AS_OF,
            "--channel",
            "canary",
            "--share",
            "0.5",
            settings=(*LOOSE, "pools.rrf_k=10", *settings),
        )
        == 0
    )
    capsys.readouterr()


@pytest.mark.soak
def test_a_canary_serves_its_share_until_a_guardrail_does_not_hold(spark, released, capsys):
    before = shown(spark, released)
    publish_canary(released, capsys, "pools.k=30", "canary.min_fill=0.5", "canary.max_loss=1")
    store = Store(spark, released.store)
    bird = releases.canary(store)
    assert (bird.seq, bird.share, releases.latest(store).seq) == (2, 0.5, 1)
    ids = {row["user_id"]: row["user_idx"] for row in store.read("user_ids").collect()}
    buckets = {
        row["user_idx"]: row["bucket"] for row in store.read("pools").select("user_idx", "bucket").collect()
    }
    theirs = {
        row["user_idx"]: [one["recording"] for one in row["candidates"]]
        for row in releases.read_pinned(store, bird, "pools").collect()
    }
    numbers = {row["recording_id"]: row["recording_idx"] for row in store.read("recording_ids").collect()}
    after, changed = shown(spark, released), 0
    for user, pool in after.items():
        if buckets[ids[user]] >= released.pools.buckets - 2:
            assert [numbers[one["recording_id"]] for one in pool["candidates"]] == theirs[ids[user]]
            changed += pool != before[user]
        else:
            assert pool == before[user]
    assert changed > 5
    assert command(released, "canary", settings=(*LOOSE, "canary.max_loss=1")) == 4
    error = printed_answer(capsys)["error"]
    assert "rolled back" in error["message"]
    assert [problem.partition(":")[0] for problem in error["problems"]] == ["fill_ratio"]
    assert shown(spark, released) == before
    assert command(released, "canary", settings=LOOSE) == 2
    assert "there is no canary now" in printed_answer(capsys)["error"]["message"]


@pytest.mark.soak
def test_a_bad_canary_ends_at_the_next_read(spark, released, capsys, monkeypatch):
    before = shown(spark, released)
    publish_canary(released, capsys)
    assert command(released, "canary", settings=LOOSE) == 0
    assert command(released, "canary", "--stop", settings=LOOSE) == 0
    assert shown(spark, released) == before
    capsys.readouterr()

    others = (
        "als",
        "popular",
        "als_neighbours",
        "cooccurrence",
        "artist_graph",
        "rediscover",
        "tags",
        "fresh",
        "explore",
    )
    # The canary offers only what all users know, so no user finds anything new.
    bad = (
        *LOOSE,
        "canary.min_fill=0",
        "canary.max_short=1",
        *(f"sources.{name}.enabled=false" for name in others),
    )
    assert (
        command(released, "run", "--as-of", AS_OF, "--channel", "canary", "--share", "1", settings=bad) == 4
    )
    error = printed_answer(capsys)["error"]
    assert "rolled back" in error["message"]
    assert any(problem.startswith("loss: new_recall@500") for problem in error["problems"])
    assert shown(spark, released) == before
    with monkeypatch.context() as patched:  # pretend that it was good when it was published
        patched.setattr(canary_check, "require_guardrails", lambda *_: None)
        assert (
            command(
                released, "publish", "--as-of", AS_OF, "--channel", "canary", "--share", "1", settings=bad
            )
            == 0
        )
    assert shown(spark, released) != before
    answer = refreshed(released)
    assert any("the canary was rolled back" in warning for warning in answer.warnings)
    store = Store(spark, released.store)
    assert releases.canary(store) is None
    assert shown(spark, released) == before


def test_each_guardrail_ends_a_canary_alone(config):
    c = config()
    good = {
        "fill_ratio": 1.0,
        "coverage_ratio": 1.0,
        "overlap": 0.9,
        "more_short": 0.0,
        "rights_violations": 0.0,
    }
    heard = PairedMetric("all", 1000, 0.2, 0.2, -0.01, 0.01)
    assert all(gate.passed for gate in guardrails(c.canary, c.promote, good, heard))
    assert all(gate.passed for gate in guardrails(c.canary, c.promote, good, None))
    for name, value in (
        ("fill_ratio", 0.98),
        ("coverage_ratio", 0.79),
        ("overlap", 0.09),
        ("more_short", 0.011),
        ("rights_violations", 1.0),
    ):
        assert [
            gate.name
            for gate in guardrails(c.canary, c.promote, good | {name: value}, heard)
            if not gate.passed
        ] == [name]
    lost = PairedMetric("all", 1000, 0.2, 0.15, -0.06, -0.02)
    assert [gate.name for gate in guardrails(c.canary, c.promote, good, lost) if not gate.passed] == ["loss"]


def test_days_of_a_backfill():
    assert [at.day for at in moments("2025-01-01", "2025-01-08T00:00:00Z", 3)] == [1, 4, 7]
    for wrong, why in (
        (("2025-01-02", "2025-01-01", 1), "must not be before"),
        (("2020-01-01", "2025-01-01", 1), "too many"),
    ):
        with pytest.raises(ConfigError, match=why):
            moments(*wrong)


@pytest.mark.parametrize(
    ("share", "buckets", "follow"),
    [(0.05, 4, 1), (0.05, 256, 13), (1.0, 4, 4), (0.5, 4, 2), (0.0001, 1000, 1), (0.07, 100, 7)],
)
def test_a_canary_has_its_share_of_the_buckets_and_at_least_one(share, buckets, follow):
    assert canary_buckets(share, buckets) == follow


@pytest.mark.parametrize(
    "words",
    [
        ("--from", "2025-01-01"),
        *(
            ("--from", "2025-01-01", "--to", "2025-01-02", *one)
            for one in (
                ("--as-of", "2025-01-01"),
                ("--known-as-of", "2025-01-01"),
                ("--channel", "canary"),
                ("--share", "0.1"),
                ("--dry-run",),
            )
        ),
    ],
)
def test_a_backfill_needs_both_ends_and_nothing_else(config, capsys, words):
    assert command(config(), "run", *words) == 2
    assert "--from and --to" in printed_answer(capsys)["error"]["message"]
