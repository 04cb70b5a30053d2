"""What every candidate source must do: a new one inherits these tests by standing in SOURCES."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from builders import rows
from trackpools import tables as t
from trackpools.core import cards, rules
from trackpools.core.audience import audience
from trackpools.core.contract import conform
from trackpools.core.sources import SOURCES, dictionary, enabled, reason_code
from trackpools.core.sources.inputs import SourceInputs
from trackpools.core.sources.items import PACKED, unpacked

AS_OF = dt.datetime(2025, 6, 30, tzinfo=dt.UTC)
USERS, RECORDINGS, RANK = 12, 40, 4
COLD, EMPTY, ALL, FACTORLESS = 0, 1, 2, 3  # no history and no factors; factors alone; heard everything; history alone
POLICIES = ("mark", "exclude", "only", "not_within")


def heard_by(user):
    """Recordings a user heard, and those of them long ago."""
    if user in {COLD, EMPTY}:
        return []
    return list(range(RECORDINGS)) if user == ALL else [r for r in range(RECORDINGS) if (r * 7 + user) % 5 == 0]


def blocked_by(user):
    return [] if user in {COLD, EMPTY} else [r for r in range(RECORDINGS) if (r * 3 + user) % 11 == 0]


def recent(recording):
    return recording % 2 == 0


@pytest.fixture(scope="module")
def frames(spark):
    """Tables of a world of 12 users in three markets, two of them clean; written down once."""
    met = {}
    for u in range(USERS):
        for r in heard_by(u):
            day = (AS_OF - dt.timedelta(days=3 if recent(r) else 300)).date()
            met[u, r] = {"user_idx": u, "recording_idx": r, "plays": 2, "mass": 2.0, "first_day": day, "last_day": day}
        for r in blocked_by(u):
            met[u, r] = {"user_idx": u, "recording_idx": r} | met.get((u, r), {}) | {"blocked": True}
    ids = rows(spark, "user_ids", *({"user_id": f"u{u}", "user_idx": u} for u in range(USERS)))
    profiles = rows(spark, "users", *(
        {"user_id": f"u{u}", "market": ("SE", "DE", None)[u % 3], "explicit_policy": "clean" if u in {5, 7} else "allow"} for u in range(1, USERS)
    ))
    tracks = rows(spark, "tracks", *(
        {"track_id": f"t{r}", "available": r != 9, "explicit": r % 3 == 0, "rights": [{"market": "SE", "from": None, "until": None}] if r == 10 else None}
        for r in range(RECORDINGS)
    ))
    recordings = rows(spark, "recording_ids", *({"recording_id": f"t{r}", "recording_idx": r} for r in range(RECORDINGS)))
    interactions = rows(spark, "interactions", *met.values())
    everybody = audience(ids, profiles, {})
    rng = np.random.default_rng(5)
    # rounded, so that there are ties
    factors = {
        name: spark.createDataFrame([(i, np.round(rng.normal(size=RANK)).tolist()) for i in idx], "idx int, factors array<float>")
        for name, idx in (("user_factors", [u for u in range(USERS) if u not in {COLD, FACTORLESS}]), ("recording_factors", range(RECORDINGS)))
    }
    known = cards.cards(tracks, recordings, everybody, interactions, as_of=AS_OF, groups={})
    return {name: df.cache() for name, df in ({"users": everybody, "interactions": interactions, "cards": known} | factors).items()}


@pytest.fixture
def inputs(frames, config):
    """Build inputs: a policy, settings, and how many partitions each frame has."""

    def build(policy="mark", *settings, partitions=2, history=True):
        c = config(f"pools.heard={policy}", "sources.als.k=10", "sources.als.k_heard=6", "sources.popular.k=15", "topk.user_block=5", "topk.stripe=64", *settings)
        at = {name: df.repartition(partitions) for name, df in frames.items()}
        met = at.pop("interactions")
        past = rules.history(met if history else met.where("false"), heard=policy, rules=c.rules, weights=c.weights, as_of=AS_OF)
        return SourceInputs(history=past, shelf=None, recordings=RECORDINGS, config=c, **at)

    return build


def proposed(source, given):
    """{user: (recordings, scores, masked)} in the order of the source."""
    out = {}
    for row in source.candidates(given).collect():
        assert row["user_idx"] not in out, "one row a user"
        assert row["source"] == source.bit
        out[row["user_idx"]] = (*(np.frombuffer(row[name], kind).tolist() for name, kind in PACKED.items()), row["masked"])
    return out


def limit(source, config):
    own = getattr(config.sources, source.name)
    return own.k + (getattr(own, "k_heard", 0))


@pytest.fixture(params=SOURCES, ids=lambda source: source.name)
def source(request):
    return request.param


def test_the_columns_are_as_documented(source, inputs):
    got = source.candidates(inputs()).schema
    assert [(f.name, f.dataType.simpleString()) for f in got] == [
        ("user_idx", "int"), ("source", "tinyint"), ("recordings", "binary"), ("scores", "binary"), ("masked", "int"),
    ]


def test_people_read_them_as_the_table_of_candidates_has_them(source, inputs):
    given = inputs()
    read = conform(unpacked(source.candidates(given)), t.CANDIDATES)
    assert {row["user_idx"]: ([r for r, _ in row["items"]], [s for _, s in row["items"]], row["masked"]) for row in read.collect()} == proposed(source, given)


@pytest.mark.parametrize("policy", POLICIES)
def test_items_are_ranked_bounded_distinct_and_only_what_the_source_declares(source, policy, inputs):
    given = inputs(policy)
    for user, (recordings, scores, masked) in proposed(source, given).items():
        assert len(recordings) <= limit(source, given.config)
        assert len(set(recordings)) == len(recordings)
        assert set(recordings) <= set(range(RECORDINGS))
        assert np.isfinite(scores).all()
        assert scores == sorted(scores, reverse=True)
        if source.name == "als":  # popular breaks ties by listeners everywhere first
            assert list(zip([-s for s in scores], recordings, strict=True)) == sorted(zip([-s for s in scores], recordings, strict=True))
        assert masked >= 0
        if source.emits == "new":
            assert not set(recordings) & set(heard_by(user))
        if source.emits == "heard":
            assert set(recordings) <= set(heard_by(user))


def test_the_same_rows_come_from_any_partitions(source, inputs):
    first = proposed(source, inputs(partitions=1))
    assert first
    assert first == proposed(source, inputs(partitions=2)) == proposed(source, inputs(partitions=7))


def test_nobody_to_propose_to_is_no_error(source, inputs):
    given = inputs()
    assert proposed(source, replace(given, users=given.users.where("false"))) == {}


def test_an_empty_history_is_no_error_and_users_of_no_interest_stay_out(source, inputs):
    given = inputs(history=False)
    some = replace(given, users=given.users.where("user_idx IN (1, 4)"))
    found = proposed(source, some)
    assert set(found) == {EMPTY, 4}
    assert all(recordings and masked == 0 for recordings, _, masked in found.values())


def test_a_new_listener_gets_something_from_someone(inputs):
    assert any(COLD in proposed(source, inputs()) for source in SOURCES)
    assert any(FACTORLESS in proposed(source, inputs()) for source in SOURCES)


def test_bits_names_and_sentences_are_one_to_one():
    assert sorted({s.bit for s in SOURCES}) == sorted(s.bit for s in SOURCES)
    assert len({s.name for s in SOURCES}) == len(SOURCES)
    assert all(0 <= s.bit < 31 and reason_code(s.bit, heard=True) < 128 for s in SOURCES), "sources is an int, reason a tinyint"
    told = dictionary()
    assert len(told) == 3 * len(SOURCES)
    assert [told[f"reason.{reason_code(s.bit, heard=True)}"] for s in SOURCES] == [s.heard_reason for s in SOURCES]


def test_only_what_is_switched_on_is_asked(config):
    assert [s.name for s in enabled(config("sources.als.enabled=false"))] == ["popular"]


ALS, POPULAR = SOURCES[0], SOURCES[1]


def barred(user):
    """9 is taken down, 10 is for SE alone, every third is explicit."""
    return {9} | ({10} if user == 0 or user % 3 else set()) | ({r for r in range(RECORDINGS) if r % 3 == 0} if user in {5, 7} else set())


def allowed(user, policy):
    """(new, heard) recordings that als may propose, where the market has them."""
    heard, blocked = set(heard_by(user)), set(blocked_by(user))
    new = set() if policy == "only" else set(range(RECORDINGS)) - heard - blocked
    old = {"mark": heard, "only": heard, "exclude": set(), "not_within": {r for r in heard if not recent(r)}}[policy]
    return new, old - blocked


@pytest.mark.parametrize("exact_max", [40, 39])
@pytest.mark.parametrize("policy", POLICIES)
def test_als_is_the_obvious_ranking_of_what_the_policy_allows_and_never_the_blocked(policy, exact_max, inputs, frames):
    x = {row["idx"]: np.array(row["factors"]) for row in frames["user_factors"].collect()}
    y = {row["idx"]: np.array(row["factors"]) for row in frames["recording_factors"].collect()}
    found = proposed(ALS, inputs(policy, f"topk.exact_max={exact_max}"))
    assert set(found) == set(x)
    for user, (recordings, scores, masked) in found.items():
        def best(pool, k, user=user):
            return sorted((-float(x[user] @ y[r]), r) for r in pool - barred(user))[:k]

        new, old = allowed(user, policy)
        expected = sorted(best(new, 10) + best(old, 10 if policy == "only" else 6))
        assert list(zip([-s for s in scores], recordings, strict=True)) == expected
        assert masked == len((set(heard_by(user)) | set(blocked_by(user))) - allowed(user, policy if policy != "only" else "mark")[1])


def test_popular_follows_listeners_of_the_market_then_of_the_world_then_idx(inputs, frames):
    cards_of = {(row["market"], row["recording_idx"]): row for row in frames["cards"].collect()}
    people = {row["user_idx"]: row for row in frames["users"].collect()}
    found = proposed(POPULAR, inputs())
    assert set(found) == set(people)
    for user, (recordings, scores, masked) in found.items():
        market, clean = people[user]["market"], people[user]["clean"]
        playable = [r for r in range(RECORDINGS) if cards_of[market, r]["clean_track_id" if clean else "track_id"] is not None]
        expected = sorted((-cards_of[market, r]["listeners"], -cards_of["*", r]["listeners"], r) for r in playable)[:15]
        assert recordings == [r for *_, r in expected]
        assert scores == [-n for n, *_ in expected]
        assert masked == 0
        assert 9 not in recordings
        assert market == "SE" or 10 not in recordings
        assert not clean or not any(r % 3 == 0 for r in recordings)
