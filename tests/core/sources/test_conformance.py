"""Tests of what every candidate source must do; a new source is tested as soon as it is in SOURCES."""

import datetime as dt
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pyspark.sql import functions as F

from builders import rows
from trackpools import tables as t
from trackpools.config.loading import load_config
from trackpools.core.catalogue import external_vectors, features, recording_facts, track_cards
from trackpools.core.contracts.conform import conform
from trackpools.core.log.audience import audience
from trackpools.core.log.confidence import positive_weight
from trackpools.core.pools import batch
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.rules import eligibility
from trackpools.core.sources import SOURCES, active_sources, dictionary, fresh, reason_code
from trackpools.core.sources.chart_keys import EVERYTHING, chart_keys, code_of_market
from trackpools.core.sources.packed_items import PACKED, unpack_items
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.source_lists import all_lists
from worlds import open_arrays

AS_OF = dt.datetime(2025, 6, 30, tzinfo=dt.UTC)
USERS, RECORDINGS, RANK = 12, 40, 4
COLD = 0  # a user without profile, history or factors
EMPTY = 1  # a user with factors and no history
ALL = 2  # a user who heard everything
FACTORLESS = 3  # a user with a history and a declared tag, and no factors
POLICIES = ("mark", "exclude", "only", "not_within")


def policies(*of_ci):
    """Parametrise `policy` over all policies; those that are not in `of_ci` run only with `-m soak`."""
    return pytest.mark.parametrize(
        "policy",
        [policy if policy in of_ci else pytest.param(policy, marks=pytest.mark.soak) for policy in POLICIES],
    )


def heard_by(user):
    """Return the recordings that a user heard."""
    if user in {COLD, EMPTY}:
        return []
    return (
        list(range(RECORDINGS)) if user == ALL else [r for r in range(RECORDINGS) if (r * 7 + user) % 5 == 0]
    )


def blocked_by(user):
    return [] if user in {COLD, EMPTY} else [r for r in range(RECORDINGS) if (r * 3 + user) % 11 == 0]


def recent(recording):
    return recording % 2 == 0


NEW = {36, 37, 38, 39}  # released a week ago; 39 has no factors


@pytest.fixture(scope="module")
def frames(spark):
    """Return the tables of a world of 12 users in SE, DE or an unknown market; two have the clean policy."""
    met = {}
    for u in range(USERS):
        for r in heard_by(u):
            day = (AS_OF - dt.timedelta(days=3 if recent(r) else 300)).date()
            met[u, r] = {
                "user_idx": u,
                "recording_idx": r,
                "plays": 2 + r % 3,
                "mass": 2.0e8,
                "first_day": day,
                "last_day": day,
            }
        for r in blocked_by(u):
            met[u, r] = {"user_idx": u, "recording_idx": r} | met.get((u, r), {}) | {"blocked": True}
    ids = rows(spark, "user_ids", *({"user_id": f"u{u}", "user_idx": u} for u in range(USERS)))
    profiles = rows(
        spark,
        "users",
        *(
            {
                "user_id": f"u{u}",
                "market": ("SE", "DE", None)[u % 3],
                "explicit_policy": "clean" if u in {5, 7} else "allow",
                "declared_tags": ["jazz"] if u == FACTORLESS else None,
            }
            for u in range(1, USERS)
        ),
    )
    week = (AS_OF - dt.timedelta(days=7)).date()
    everywhere = [{"market": market, "from": week, "until": None} for market in ("SE", "DE")]
    tracks = rows(
        spark,
        "tracks",
        *(
            {
                "track_id": f"t{r}",
                "available": r != 9,
                "explicit": r % 3 == 0,
                "tags": [("rock", "jazz", "folk")[r % 3], f"scene {r % 5}"],
                "artist_ids": [f"a{r % 7}"],
                "album_id": f"b{r % 9}",
                "original_year": 1960 + r,
                "rights": everywhere
                if r in NEW
                else [{"market": "SE", "from": None, "until": None}]
                if r == 10
                else None,
            }
            for r in range(RECORDINGS)
        ),
    )
    recordings = rows(
        spark, "recording_ids", *({"recording_id": f"t{r}", "recording_idx": r} for r in range(RECORDINGS))
    )
    interactions = rows(spark, "interactions", *met.values())
    days = rows(
        spark,
        "plays_daily",
        *(
            {"user_idx": u, "recording_idx": r, "day": row["last_day"], "plays": 2, "completions": 2}
            for (u, r), row in met.items()
            if "last_day" in row
        ),
    )
    everybody = audience(ids, profiles, {}, ())
    rng = np.random.default_rng(5)
    # The factors are rounded, so that there are ties.
    factors = {
        name: spark.createDataFrame(
            [(i, np.round(rng.normal(size=RANK)).tolist()) for i in idx], "idx int, factors array<float>"
        )
        for name, idx in (
            ("user_factors", [u for u in range(USERS) if u not in {COLD, FACTORLESS}]),
            ("recording_factors", [r for r in range(RECORDINGS) if r != 39]),
        )
    }
    known = track_cards.build_cards(tracks, recordings, everybody, interactions, as_of=AS_OF, groups={})
    nothing = spark.createDataFrame([], "recording_idx int, kind string")
    described = features.recording_features(interactions, days, nothing, load_config().weights, AS_OF)
    told = recording_facts.recording_facts(
        tracks,
        recordings,
        cards=known,
        features=described,
        factors=factors["recording_factors"],
        functional=nothing,
        inflated=nothing,
    )
    own = spark.createDataFrame(
        [
            *(("user", f"u{u}", np.round(rng.normal(size=RANK)).tolist()) for u in range(4, 8)),
            *(("track", f"t{r}", np.round(rng.normal(size=RANK)).tolist()) for r in range(RECORDINGS)),
        ],
        "of string, id string, vector array<float>",
    )
    known_vectors = external_vectors.recording_vectors(own, tracks, recordings, load_config().sources.vectors)
    weighed = interactions.where("mass > 0").select("user_idx", "recording_idx", F.lit(1.0).alias("weight"))
    factors |= {
        "recording_vectors": known_vectors,
        "user_vectors": external_vectors.user_vectors(own, ids, known_vectors, weighed),
    }
    made = {
        "users": everybody,
        "interactions": interactions,
        "days": days,
        "cards": known,
        "facts": told,
    } | factors
    return {name: df.cache() for name, df in made.items()}


@pytest.fixture(scope="module")
def looked_up(frames):
    """Build the lists and fresh factors of the stage `index`, once for each configuration of the sources."""
    made = {}

    def build(c):
        key = str(c.sources)
        if key not in made:
            weighed = frames["interactions"].select(
                "user_idx",
                "recording_idx",
                "plays",
                "last_day",
                positive_weight(AS_OF, c.weights).alias("weight"),
            )
            given = ListInputs(
                interactions=weighed.where("weight > 0"),
                days=frames["days"],
                facts=frames["facts"],
                cards=frames["cards"],
                recording_factors=frames["recording_factors"],
                recordings=RECORDINGS,
                config=c,
                as_of=AS_OF,
            )
            made[key] = {
                "source_lists": all_lists(given, SOURCES).cache(),
                "fresh_factors": fresh.vectors(given).cache(),
            }
        return made[key]

    return build


@pytest.fixture(scope="module")
def opened(spark, frames, looked_up):
    """Return what opens the arrays of the world, once for each configuration of sources and search."""
    known = {}

    def build(c):
        key = (str(c.sources), str(c.topk))
        if key not in known:
            tables = {name: frames[name] for name in ("recording_factors", "recording_vectors")}
            tables |= {"recording_facts": frames["facts"], "track_cards": frames["cards"]}
            known[key] = open_arrays(spark, c, **tables, **looked_up(c))
        return known[key]

    return build


@pytest.fixture
def inputs(frames, opened, config):
    """Build the inputs of pools from a policy, settings, and the number of partitions of each frame."""

    def build(policy="mark", *settings, partitions=2, history=True):
        c = config(
            f"pools.heard={policy}",
            "pools.user_block=5",
            "sources.als.k=10",
            "sources.als.k_heard=6",
            "sources.popular.k=15",
            "rules.min_listeners=1",
            f"sources.vectors.length={RANK}",
            "sources.vectors.enabled=true",
            *settings,
        )
        interactions = frames["interactions"].where("true" if history else "false")
        past = eligibility.history(interactions, heard=policy, rules=c.rules, weights=c.weights, as_of=AS_OF)
        profile = F.lit(None).cast(t.PROFILE).alias("profile")
        return PoolInputs(
            users=frames["users"].select("*", profile).repartition(partitions),
            history=past.repartition(partitions),
            config=c,
            as_of=AS_OF,
            vectors={name: frames[name].repartition(partitions) for name in ("user_factors", "user_vectors")},
            arrays=opened(c),
        )

    return build


def alone(source, given):
    """Return the inputs with only one source switched on."""
    own = {name: getattr(given.config.sources, name) for name in given.config.sources.names}
    sources = {name: one.model_copy(update={"enabled": name == source.name}) for name, one in own.items()}
    c = given.config.model_copy(update={"sources": given.config.sources.model_copy(update=sources)})
    return replace(given, config=c)


def rows_of(source, given):
    """Return the rows that one source proposes by itself."""
    return batch.candidates(alone(source, given))


def proposals_by_user(source, given):
    """Return {user: (recordings, scores, masked)} in the order of the source."""
    out = {}
    for row in rows_of(source, given).collect():
        assert row["user_idx"] not in out, "a user has two rows"
        assert row["source"] == source.bit
        assert source.lots or row["lot_size"] == 0, "only a source that draws by lot may set lot_size"
        out[row["user_idx"]] = (
            *(np.frombuffer(row[name], kind).tolist() for name, kind in PACKED.items()),
            row["masked"],
        )
    return out


def limit(source, config):
    own = getattr(config.sources, source.name)
    return own.k + (getattr(own, "k_heard", 0))


@pytest.fixture(params=SOURCES, ids=lambda source: source.name)
def source(request):
    return request.param


def test_the_columns_are_as_documented(source, inputs):
    got = rows_of(source, inputs()).schema
    assert [(f.name, f.dataType.simpleString()) for f in got] == [
        ("user_idx", "int"),
        ("source", "tinyint"),
        ("recordings", "binary"),
        ("scores", "binary"),
        ("masked", "int"),
        ("lot_size", "int"),
    ]


@pytest.mark.soak
def test_unpacked_items_have_the_shape_of_the_table_of_candidates(source, inputs):
    given = inputs()
    read = conform(unpack_items(rows_of(source, given)), t.CANDIDATES)
    assert {
        row["user_idx"]: ([r for r, _ in row["items"]], [s for _, s in row["items"]], row["masked"])
        for row in read.collect()
    } == proposals_by_user(source, given)


@policies("mark")
def test_items_are_ranked_bounded_distinct_and_only_what_the_source_declares(source, policy, inputs):
    given = inputs(policy)
    for user, (recordings, scores, masked) in proposals_by_user(source, given).items():
        assert len(recordings) <= limit(source, given.config)
        assert len(set(recordings)) == len(recordings)
        assert set(recordings) <= set(range(RECORDINGS))
        assert np.isfinite(scores).all()
        assert scores == sorted(scores, reverse=True)
        if source.name not in {
            "familiar",
            "rediscover",
        }:  # their scores are stored as float32 and ranked as float64
            assert list(zip([-s for s in scores], recordings, strict=True)) == sorted(
                zip([-s for s in scores], recordings, strict=True)
            )
        assert masked >= 0
        if source.emits == "new":
            assert not set(recordings) & set(heard_by(user))
        if source.emits == "heard":
            assert set(recordings) <= set(heard_by(user))


@pytest.mark.soak
def test_the_same_rows_come_from_any_partitions(source, inputs):
    first = proposals_by_user(source, inputs(partitions=1))
    assert first
    assert (
        first
        == proposals_by_user(source, inputs(partitions=2))
        == proposals_by_user(source, inputs(partitions=7))
    )


def test_no_users_are_not_an_error(source, inputs):
    given = inputs()
    assert proposals_by_user(source, replace(given, users=given.users.where("false"))) == {}


def test_an_empty_history_is_not_an_error_and_users_without_proposals_are_left_out(source, inputs):
    given = inputs(history=False)
    some = replace(given, users=given.users.where("user_idx IN (1, 3, 4)"))
    found = proposals_by_user(source, some)
    expected = {
        "als": {EMPTY, 4},
        "fresh": {EMPTY, 4},
        "popular": {EMPTY, FACTORLESS, 4},
        "explore": {EMPTY, FACTORLESS, 4},
        "tags": {FACTORLESS},
        "vectors": {FACTORLESS, 4},
    }
    assert set(found) == expected.get(source.name, set())
    assert all(recordings and masked == 0 for recordings, _, masked in found.values())


def test_a_new_user_gets_candidates_from_some_source(inputs):
    assert any(COLD in proposals_by_user(source, inputs()) for source in SOURCES)
    assert any(FACTORLESS in proposals_by_user(source, inputs()) for source in SOURCES)


def test_bits_names_and_sentences_are_one_to_one():
    assert sorted({s.bit for s in SOURCES}) == sorted(s.bit for s in SOURCES)
    assert len({s.name for s in SOURCES}) == len(SOURCES)
    assert all(0 <= s.bit < 31 and reason_code(s.bit, heard=True) < 128 for s in SOURCES), (
        "the bitmap `sources` is an int, and the code `reason` is a tinyint"
    )
    told = dictionary()
    assert len(told) == 3 * len(SOURCES)
    assert [told[f"reason.{reason_code(s.bit, heard=True)}"] for s in SOURCES] == [
        s.heard_reason for s in SOURCES
    ]


def test_only_enabled_sources_are_called(config):
    assert [
        s.name for s in active_sources(config("sources.als.enabled=false", "sources.explore.enabled=false"))
    ] == [s.name for s in SOURCES if s.name not in {"als", "explore", "vectors"}], (
        "the source `vectors` is off by default, because its vectors must be imported first"
    )
    assert {s.emits for s in active_sources(config("pools.heard=only"))} == {"both", "heard"}


def test_a_source_works_in_exactly_one_way_and_has_its_section(config):
    c = config()
    for s in SOURCES:
        assert [
            s.candidates is not None,
            s.vectors is not None,
            s.offers is not None,
            s.lists is not None and s.seeds is not None,
        ].count(True) == 1
        assert getattr(c.sources, s.name).k > 0


BY_NAME = {s.name: s for s in SOURCES}
ALS, POPULAR, EXPLORE = BY_NAME["als"], BY_NAME["popular"], BY_NAME["explore"]


def barred_recordings(user):
    """Return the recordings that als may not propose to this user, whatever the user heard.

    9 is not available, 10 is for SE alone, and the new ones are for SE and DE. Every third is explicit, which
    bars it for users 5 and 7. 39 has no factors.
    """
    return (
        {9, 39}
        | ({10} if user == 0 or user % 3 else set())
        | (NEW if user == 0 or user % 3 == 2 else set())
        | ({r for r in range(RECORDINGS) if r % 3 == 0} if user in {5, 7} else set())
    )


def allowed_recordings(user, policy):
    """Return the (new, heard) recordings that history and policy let als propose, before the rules of markets."""
    heard, blocked = set(heard_by(user)), set(blocked_by(user))
    new = set() if policy == "only" else set(range(RECORDINGS)) - heard - blocked
    old = {"mark": heard, "only": heard, "exclude": set(), "not_within": {r for r in heard if not recent(r)}}[
        policy
    ]
    return new, old - blocked


@pytest.mark.parametrize("exact_max", [40, 39])
@policies("mark", "exclude")
def test_als_ranks_what_the_policy_allows_and_never_blocked_recordings(policy, exact_max, inputs, frames):
    x = {row["idx"]: np.array(row["factors"]) for row in frames["user_factors"].collect()}
    y = {row["idx"]: np.array(row["factors"]) for row in frames["recording_factors"].collect()}
    found = proposals_by_user(ALS, inputs(policy, f"topk.exact_max={exact_max}"))
    assert set(found) == set(x)
    for user, (recordings, scores, masked) in found.items():

        def best(pool, k, user=user):
            return sorted((-float(x[user] @ y[r]), r) for r in pool - barred_recordings(user))[:k]

        new, old = allowed_recordings(user, policy)
        expected = sorted(best(new, 10) + best(old, 10 if policy == "only" else 6))
        assert list(zip([-s for s in scores], recordings, strict=True)) == expected
        assert masked == len(
            (set(heard_by(user)) | set(blocked_by(user)))
            - allowed_recordings(user, policy if policy != "only" else "mark")[1]
        )


def test_explore_reports_from_how_many_recordings_it_drew(inputs, frames):
    given = inputs("mark", "sources.explore.k=3")
    own = given.arrays(given.config, AS_OF).lists[EXPLORE.bit]
    bounds = pairwise(own.ends.tolist())
    lists = {
        key: set(own.recordings[a:b].tolist()) for key, (a, b) in zip(own.keys.tolist(), bounds, strict=True)
    }
    people = {row["user_idx"]: row for row in frames["users"].collect()}
    drawn = {row["user_idx"]: row for row in rows_of(EXPLORE, given).collect()}
    for user, row in people.items():
        market, clean = np.array([code_of_market(row["market"])]), np.array([row["clean"]])
        (key,) = chart_keys(market, clean, np.array([EVERYTHING])).tolist()
        eligible = lists[key] - set(heard_by(user)) - set(blocked_by(user))
        if not eligible:
            assert user not in drawn
            continue
        got = np.frombuffer(drawn[user]["recordings"], np.int32).tolist()
        assert set(got) <= eligible
        assert (len(got), drawn[user]["lot_size"]) == (min(3, len(eligible)), len(eligible))


def test_popular_follows_listeners_of_the_market_then_of_the_world_then_idx(inputs, frames):
    cards_of = {(row["market"], row["recording_idx"]): row for row in frames["cards"].collect()}
    people = {row["user_idx"]: row for row in frames["users"].collect()}
    found = proposals_by_user(POPULAR, inputs("mark", "sources.popular.tags=0", "sources.popular.decades=0"))
    assert set(found) == set(people)
    for user, (recordings, _, masked) in found.items():
        market, clean = people[user]["market"], people[user]["clean"]
        playable = [
            r
            for r in range(RECORDINGS)
            if cards_of[market, r]["clean_track_id" if clean else "track_id"] is not None
            and r not in blocked_by(user)
        ]
        expected = sorted(
            (-cards_of[market, r]["listeners"], -cards_of["*", r]["listeners"], r) for r in playable
        )[:15]
        assert recordings == [r for *_, r in expected]
        assert masked <= len(blocked_by(user))
        assert 9 not in recordings
        assert market == "SE" or 10 not in recordings
        assert not clean or not any(r % 3 == 0 for r in recordings)
