"""Tests of `build_pools` against an oracle that takes one user, one recording and one choice at a time."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from blend_oracle import World, build_pool, pool_of
from trackpools.core.arrays.recording_table import FUNCTIONAL, RecordingTable
from trackpools.core.kernels.rank_fusion import match_history
from trackpools.core.pools.build import CandidateBatch, PoolRequest, TagDistributions, build_pools
from trackpools.core.pools.tag_distribution import tag_distributions
from trackpools.core.rules.eligibility import BIT, RULES

WEIGHTS = (1.0, 0.3, 0.7)
PLAIN = {"flags": 0, "heard": False, "plays": 0, "last_day": -1}
FLAGS = [
    0,
    0,
    0,
    0,
    0,
    1,
    2,
    4,
    8,
    BIT["heard"],
    BIT["heard"],
    3,
    12,
    24,
    31,
    BIT["request"],
    BIT["few_listeners"],
    BIT["bot_inflated"] | BIT["functional"],
]


@st.composite
def sketches(draw):
    """Draw a unit vector on 16 axes, × 127; there are few directions, so that many are alike."""
    direction = np.random.default_rng(draw(st.integers(0, 4))).normal(size=16)
    return np.round(direction / np.linalg.norm(direction) * 127).astype(int).tolist()


@st.composite
def shelves(draw, recordings):
    """Draw the facts of some of the recordings; the others have none."""
    few = st.integers(0, 3)
    return {
        r: {
            "song": draw(st.sampled_from(recordings)),
            "artist": draw(few),
            "album": draw(few),
            "decade": draw(few),
            "tempo": draw(few),
            "group": draw(few),
            "band": draw(few),
            "tags": draw(st.lists(st.integers(1, 5), max_size=4, unique=True)),
            "sketch": draw(sketches()),
        }
        for r in recordings
        if draw(st.integers(0, 5))
    }


def shelf_of(facts, size=31):
    made = RecordingTable.blank(size)
    for r, known in facts.items():
        for name, value in known.items():
            getattr(made, name)[r] = value + [0] * (4 - len(value)) if name == "tags" else value
    return made


@st.composite
def taste_shares(draw):
    shares = draw(st.dictionaries(st.integers(0, 6), st.integers(1, 9), max_size=5))
    return {tag: share / sum(shares.values()) for tag, share in shares.items()}


@st.composite
def worlds(draw, most=20):
    """Draw what sources propose to one user, with a recording table of the user's own."""
    recordings = draw(st.lists(st.integers(0, 30), unique=True, max_size=most))
    proposals = {
        source: draw(st.permutations(recordings))[: draw(st.integers(0, most))]
        for source in range(len(WEIGHTS))
    }
    met = {}
    for r in recordings:
        heard = draw(st.booleans())
        met[r] = {
            "flags": draw(st.sampled_from(FLAGS)),
            "heard": heard,
            "plays": draw(st.integers(0, 9)) if heard else 0,
            "last_day": draw(st.integers(-1, 5)) if heard else -1,
        }
    withheld = draw(st.sampled_from([{}, {"rights": 4}, {"taken_down": 9, "explicit": 10}]))
    shelf = draw(shelves(recordings)) if recordings else {}
    return World(
        proposals,
        met,
        shelf,
        draw(taste_shares()),
        draw(st.integers(0, 20)),
        withheld,
        draw(st.sampled_from([1.0, 0.03])),
    )


@st.composite
def requests(draw):
    return PoolRequest(
        draw(st.integers(1, 25)),
        draw(st.sampled_from([1, 60])),
        WEIGHTS,
        blend=draw(st.sampled_from(["rrf", "quota"])),
        mmr=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        calibration=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        floor=draw(st.integers(0, 4)),
        floor_share=draw(st.sampled_from([0.0, 0.2, 0.5, 1.0])),
        reserve=draw(st.sampled_from([0.0, 0.1, 0.5])),
        artist_cap=draw(st.sampled_from([1, 2, 3, 99])),
        album_cap=draw(st.sampled_from([1, 2, 3, 99])),
        versions=draw(st.sampled_from(["original", "best"])),
        explore=draw(st.sampled_from([None, (2, 0), (2, 1), (2, 3), (1, 30)])),
    )


def batch_of(users, shuffle=0, shelf=None):
    """Return the candidates of several users, with the entries of each in any order.

    The recording table is `shelf`, or that of the first user.
    """
    entries = []
    for u, world in enumerate(users):
        mine = [
            (u, r, source, rank, *(world.met[r][name] for name in ("flags", "plays", "last_day", "heard")))
            for source, items in world.proposals.items()
            for rank, r in enumerate(items, 1)
        ]
        np.random.default_rng(shuffle).shuffle(mine)
        entries += mine
    columns = (
        [np.array(c, np.int64) for c in zip(*entries, strict=True)]
        if entries
        else [np.empty(0, np.int64)] * 8
    )
    shares = [(tag, share) for world in users for tag, share in world.taste.items()]
    return CandidateBatch(
        *columns[:7],
        heard=columns[7].astype(bool),
        masked=np.array([world.masked for world in users], np.int64),
        withheld=np.array(
            [[world.withheld.get(rule, 0) for rule in RULES] for world in users], np.int64
        ).reshape(-1, len(RULES)),
        recording_table=shelf or shelf_of(users[0].shelf if users else {}),
        tastes=TagDistributions(
            np.cumsum([0, *(len(world.taste) for world in users)]),
            np.array([t for t, _ in shares], np.int64),
            np.array([s for _, s in shares], float),
        ),
        lot_chance=np.array([world.lot_chance for world in users], float),
    )


@settings(max_examples=400, deadline=None)
@given(worlds(), requests())
def test_a_pool_agrees_with_the_oracle(world, request):
    pool = build_pool(batch_of([world]), request)
    assert pool == pool_of(world, request)
    assert sum(pool["drops"].values()) + len(pool["candidates"]) == pool["emitted"]
    assert (pool["shortfall"] is None) == (len(pool["candidates"]) == request.k)


@settings(max_examples=200, deadline=None)
@given(worlds(30), requests())
def test_every_pool_keeps_its_promises(world, request):
    pool = build_pool(batch_of([world]), request)
    chosen = [[row["recording"] for row in pool[name]] for name in ("candidates", "reserve")]
    both = chosen[0] + chosen[1]
    assert len(set(both)) == len(both)
    for name, cap in (("artist", request.artist_cap), ("album", request.album_cap), ("song", 1)):
        counts = np.unique([world.fact(r, name) for r in both], return_counts=True)[1]
        assert counts.max(initial=0) <= cap
    assert all(world.met[r]["flags"] == 0 for r in both)
    assert all(
        row["reason_arg"] == row["plays"]
        for name in ("candidates", "reserve")
        for row in pool[name]
        if row["reason"] % 2
    ), "played N times"
    assert len(chosen[1]) <= np.ceil(request.k * request.reserve)
    assert pool["drops"].get("below_cut", 0) >= len(chosen[1])
    assert not chosen[1] or len(chosen[0]) == request.k
    assert not (pool["shortfall"] and "below_cut" in pool["drops"])
    only = 0 if request.explore is None else 1 << request.explore[0]
    for row in pool["candidates"] + pool["reserve"]:
        assert 0 < row["propensity"] <= 1
        assert row["propensity"] == 1 or row["sources"] == only


@settings(max_examples=100, deadline=None)
@given(st.lists(worlds(), max_size=6), requests(), st.integers(0, 5))
def test_a_user_gets_the_same_row_alone_and_in_any_batch_and_order(users, request, seed):
    shelf = shelf_of(users[0].shelf if users else {})
    pools = build_pools(batch_of(users, seed), request)
    assert len(pools.shortfall) == len(users) == len(pools.picks.offsets) - 1
    for u, world in enumerate(users):
        alone = build_pool(batch_of([world], seed + 1, shelf), request)
        for picks, rows in ((pools.picks, alone["candidates"]), (pools.reserve, alone["reserve"])):
            own = slice(picks.offsets[u], picks.offsets[u + 1])
            for name in ("recording", "score", "sources", "reason", "reason_arg", "plays", "propensity"):
                assert [row[name] for row in rows] == getattr(picks, name)[own].tolist()
        assert alone["drops"] == {
            rule: n for rule, n in zip(RULES, pools.drops[u].tolist(), strict=True) if n
        }
        assert alone["emitted"] == pools.emitted[u]
        assert (alone["shortfall"] or {"rule": ""})["rule"] == pools.shortfall[u]


EVERYTHING = PoolRequest(
    50,
    60,
    WEIGHTS,
    mmr=0.2,
    calibration=0.2,
    floor=5,
    floor_share=0.3,
    reserve=0.1,
    artist_cap=9,
    album_cap=5,
    explore=(2, 5),
)


def test_users_with_no_one_ten_and_100_000_candidates_share_a_batch():
    rng, size = np.random.default_rng(8), 120_000
    shelf = replace(
        RecordingTable.blank(size),
        artist=rng.integers(0, 2_000, size).astype(np.int32),
        album=rng.integers(0, 9_000, size).astype(np.int32),
        sketch=rng.integers(-31, 32, (size, 16)).astype(np.int8),
        decade=rng.integers(0, 9, size).astype(np.uint8),
    )
    many = [0, 1, 10, 100_000, 0, 300]
    recordings = [rng.permutation(size)[:n] for n in many]

    def candidates(lists):
        user, flat = (
            np.repeat(np.arange(len(lists)), [len(one) for one in lists]),
            np.concatenate(lists).astype(np.int64),
        )
        rank, none = (
            np.concatenate([np.arange(1, len(one) + 1) for one in lists]),
            np.zeros(len(flat), np.int64),
        )
        past = np.searchsorted(user, np.arange(len(lists) + 1))
        return CandidateBatch(
            user,
            flat,
            flat % 3,
            rank,
            none,
            none,
            none - 1,
            flat % 2 > 0,
            np.zeros(len(lists), np.int64),
            np.zeros((len(lists), len(RULES)), np.int64),
            shelf,
            tag_distributions(past, flat, np.ones(len(flat), np.float32), shelf),
            np.ones(len(lists)),
        )

    pools = build_pools(candidates(recordings), EVERYTHING)
    assert np.diff(pools.picks.offsets).tolist() == [0, 1, 10, 50, 0, 50]
    assert np.diff(pools.reserve.offsets).tolist() == [0, 0, 0, 5, 0, 5]
    assert (pools.drops.sum(axis=1) + np.diff(pools.picks.offsets)).tolist() == many
    assert pools.shortfall == ["catalogue"] * 3 + ["", "catalogue", ""]
    for u, mine in enumerate(recordings):
        alone = build_pools(candidates([mine]), EVERYTHING)
        for name in ("picks", "reserve"):
            whole, own = getattr(pools, name), getattr(alone, name)
            assert own.recording.tolist() == whole.recording[whole.offsets[u] : whole.offsets[u + 1]].tolist()
            assert (
                own.propensity.tobytes()
                == whole.propensity[whole.offsets[u] : whole.offsets[u + 1]].tobytes()
            )


def recordings_of(pool, name="candidates"):
    return [row["recording"] for row in pool[name]]


def test_explored_recordings_stand_last_with_their_propensity_and_fill_short_pools():
    """Check propensities when 5 of 200 were drawn, of which 4 have no other source.

    Each of two places has the propensity 5 / 200 · 2 / 4, and each of three has 5 / 200 · 3 / 4.
    """
    world = World(
        {0: [0, 1, 2, 3, 4, 5], 2: [10, 0, 11, 12, 13]},
        dict.fromkeys([*range(6), *range(10, 14)], PLAIN),
        lot_chance=5 / 200,
    )
    pool = build_pool(batch_of([world]), PoolRequest(5, 60, WEIGHTS, reserve=0.2, explore=(2, 2)))
    assert (recordings_of(pool), recordings_of(pool, "reserve")) == ([0, 1, 2, 10, 11], [3])
    assert [row["propensity"] for row in pool["candidates"]] == [1, 1, 1, *[float(np.float32(0.0125))] * 2]
    assert pool["drops"] == {"below_cut": 5}
    pool = build_pool(batch_of([world]), PoolRequest(9, 60, WEIGHTS, explore=(2, 2)))
    assert recordings_of(pool) == [0, 1, 2, 3, 4, 5, 10, 11, 12]
    assert [row["propensity"] for row in pool["candidates"]] == [1] * 6 + [float(np.float32(0.01875))] * 3
    assert recordings_of(build_pool(batch_of([world]), PoolRequest(5, 60, WEIGHTS)))[:2] == [0, 1]


def test_the_original_stays_with_the_score_of_its_best_version():
    world = World(
        {0: [5, 4, 3]}, dict.fromkeys((3, 4, 5), PLAIN), {5: {"song": 3}, 4: {"song": 4}, 3: {"song": 3}}
    )
    pool = build_pool(batch_of([world]), PoolRequest(3, 60, WEIGHTS))
    assert (recordings_of(pool), pool["drops"]) == ([3, 4], {"duplicate": 1})
    assert pool["candidates"][0]["score"] == float(np.float32(1 / 61))
    assert recordings_of(build_pool(batch_of([world]), PoolRequest(3, 60, WEIGHTS, versions="best"))) == [
        5,
        4,
    ]


def test_a_quota_gives_each_source_its_share_of_every_stretch():
    world = World({0: list(range(10)), 1: list(range(10, 20))}, dict.fromkeys(range(20), PLAIN))
    got = recordings_of(build_pool(batch_of([world]), PoolRequest(8, 60, (3.0, 1.0, 1.0), blend="quota")))
    assert [sum(r < 10 for r in got[:n]) for n in (4, 8)] == [3, 6]
    world = World({0: [0], 1: list(range(10, 20))}, dict.fromkeys([0, *range(10, 20)], PLAIN))
    assert recordings_of(
        build_pool(batch_of([world]), PoolRequest(4, 60, (3.0, 1.0, 1.0), blend="quota"))
    ) == [
        0,
        10,
        11,
        12,
    ]


def test_floors_complete_the_decade_that_relevance_leaves_out():
    shelf = {r: {"decade": 8 if r >= 18 else 12} for r in range(20)}
    world = World({0: list(range(20))}, dict.fromkeys(range(20), PLAIN), shelf)
    assert recordings_of(
        build_pool(batch_of([world]), PoolRequest(10, 60, WEIGHTS, floor=2, floor_share=0.2))
    ) == [
        *range(8),
        18,
        19,
    ]
    assert recordings_of(
        build_pool(batch_of([world]), PoolRequest(10, 60, WEIGHTS, floor=3, floor_share=0.3))
    ) == list(range(10)), "only two there are"


def test_mmr_passes_over_recordings_similar_to_chosen_ones():
    first, second = [127] + [0] * 15, [0, 127] + [0] * 14
    shelf = {0: {"sketch": first}, 1: {"sketch": first}, 2: {"sketch": second}}
    world = World({0: [0, 1, 2]}, dict.fromkeys(range(3), PLAIN), shelf)
    assert recordings_of(build_pool(batch_of([world]), PoolRequest(3, 60, WEIGHTS, mmr=0.3))) == [0, 2, 1]


def test_calibration_follows_the_tags_of_the_listener():
    """Check that three of every four tracks have tag 1, as three quarters of the plays do."""
    shelf = {r: {"tags": [1 if r < 12 else 2]} for r in range(24)}
    world = World({0: list(range(24))}, dict.fromkeys(range(24), PLAIN), shelf, {1: 0.75, 2: 0.25})
    got = recordings_of(build_pool(batch_of([world]), PoolRequest(12, 60, WEIGHTS, calibration=1.0)))
    assert sum(r < 12 for r in got) == 9


def test_tastes_spread_weights_over_tags_in_any_order_and_leave_functional_audio_out():
    shelf = shelf_of({0: {"tags": [7, 9]}, 1: {"tags": [9]}, 2: {"tags": [5], "marks": FUNCTIONAL}, 3: {}}, 4)
    past, weight = np.array([0, 1, 2, 3, 3, 1]), np.array([2, 1, 8, 1, 0, 5], np.float32)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        found = tag_distributions(
            np.array([0, 0, 4, 4, 6]),
            np.r_[past[:4][order], past[4:]],
            np.r_[weight[:4][order], weight[4:]],
            shelf,
        )
        assert found.ends.tolist() == [0, 0, 3, 3, 4]
        assert dict(zip(found.tag[:3].tolist(), found.share[:3].tolist(), strict=True)) == {
            7: 0.25,
            9: 0.5,
            0: 0.25,
        }
        assert (found.tag[3], found.share[3]) == (9, 1.0)


def test_a_user_without_proposals_gets_an_empty_pool_with_a_reason():
    assert build_pool(batch_of([World({}, {})]), PoolRequest(3, 60, WEIGHTS)) == {
        "candidates": [],
        "reserve": [],
        "drops": {},
        "emitted": 0,
        "shortfall": {"wanted": 3, "got": 0, "rule": "catalogue"},
    }


def test_a_user_who_loses_everything_to_one_rule_gets_its_name():
    pool = build_pool(
        batch_of([World({0: [2, 0, 1]}, {r: PLAIN | {"flags": 8} for r in range(3)})]),
        PoolRequest(3, 60, WEIGHTS),
    )
    assert pool == {
        "candidates": [],
        "reserve": [],
        "drops": {"blocked": 3},
        "emitted": 3,
        "shortfall": {"wanted": 3, "got": 0, "rule": "blocked"},
    }


def test_a_recording_masked_by_one_source_and_proposed_by_another_is_lost_once():
    """Check 40 recordings, of which 20 are heard and excluded.

    Without the rule there would be 40, which would still be short of 60.
    """
    facts = {
        r: {"flags": 16 * (r < 20), "heard": r < 20, "plays": int(r < 20), "last_day": -1} for r in range(40)
    }
    user = World({0: list(range(20, 40)), 1: list(range(40))}, facts, masked=20)
    assert build_pool(batch_of([user]), PoolRequest(60, 60, WEIGHTS))["shortfall"] == {
        "wanted": 60,
        "got": 20,
        "rule": "catalogue",
    }
    assert build_pool(batch_of([user]), PoolRequest(40, 60, WEIGHTS))["shortfall"] == {
        "wanted": 40,
        "got": 20,
        "rule": "heard",
    }


def test_a_pool_left_short_by_its_market_says_so():
    world = World({0: [2, 0, 1]}, dict.fromkeys(range(3), PLAIN), withheld={"rights": 7, "explicit": 2})
    pool = build_pool(batch_of([world]), PoolRequest(10, 60, WEIGHTS))
    assert pool["shortfall"] == {"wanted": 10, "got": 3, "rule": "rights"}
    assert pool["drops"] == {}


def test_ties_go_to_the_lower_idx_whatever_the_source_of_either():
    request = replace(PoolRequest(2, 60, WEIGHTS), weights=(1.0, 1.0, 1.0))
    for proposals in ({0: [7], 1: [3]}, {0: [3], 1: [7]}):
        assert [
            row["recording"]
            for row in build_pool(batch_of([World(proposals, dict.fromkeys((3, 7), PLAIN))]), request)[
                "candidates"
            ]
        ] == [3, 7]


def test_the_order_of_sources_does_not_matter():
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(6), 30)
    recording, source = np.tile(np.arange(10), 18), np.tile(np.repeat(np.arange(3), 10), 6)
    flat = {
        "user": user,
        "recording": recording,
        "source": source,
        "rank": np.tile(np.concatenate([rng.permutation(10) + 1 for _ in range(3)]), 6),
    }
    flat |= {
        "flags": np.where((recording + user) % 4, 0, 8),
        "plays": recording,
        "last_day": recording,
        "heard": recording % 3 == 0,
    }
    per_user = {
        "masked": np.zeros(6, np.int64),
        "withheld": np.zeros((6, len(RULES)), np.int64),
        "recording_table": RecordingTable.blank(0),
        "tastes": TagDistributions.empty(6),
        "lot_chance": np.ones(6),
    }
    mixed = np.lexsort((rng.random(len(user)), user))
    first, second = (
        build_pools(
            CandidateBatch(**{name: of[rows] for name, of in flat.items()}, **per_user),
            PoolRequest(5, 60, (1.0, 0.3, 0.7)),
        )
        for rows in (np.arange(len(user)), mixed)
    )
    assert all(
        np.array_equal(getattr(first.picks, name), getattr(second.picks, name)) for name in vars(first.picks)
    )
    assert np.array_equal(first.drops, second.drops)


def test_histories_are_joined_to_their_own_users_however_recordings_collide():
    rng = np.random.default_rng(5)
    ends, past_ends = (np.concatenate([[0], np.cumsum(rng.integers(0, 40, 30))]) for _ in range(2))
    recording, past = (
        np.concatenate([rng.permutation(60)[: end - start] << 25 for start, end in pairwise(of)])
        for of in (ends, past_ends)
    )
    found = np.empty(len(recording), np.int64)
    match_history(ends, recording, past_ends, past, found)
    for u in range(30):
        mine = past[past_ends[u] : past_ends[u + 1]].tolist()
        expected = [
            past_ends[u] + mine.index(r) if r in mine else -1
            for r in recording[ends[u] : ends[u + 1]].tolist()
        ]
        assert found[ends[u] : ends[u + 1]].tolist() == expected
