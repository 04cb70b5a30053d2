"""`build_pool` against an oracle that takes one user and one recording at a time, and the same through Spark."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.core.fusing import meet
from trackpools.core.pools import Candidates, PoolRequest, build_pool, build_pools
from trackpools.core.rules import RULES

WEIGHTS = (1.0, 0.3, 0.7)


@st.composite
def one_user(draw):
    """What sources propose to one user: {source: [recording best first]}, facts by recording, how many were masked, and withheld by rule."""
    recordings = draw(st.lists(st.integers(0, 30), unique=True, max_size=20))
    proposals = {source: draw(st.permutations(recordings))[: draw(st.integers(0, 20))] for source in range(len(WEIGHTS))}
    facts = {}
    for r in recordings:
        heard = draw(st.booleans())
        flags = draw(st.sampled_from([0, 0, 0, 1, 2, 4, 8, 16, 16, 16, 3, 12, 24, 31]))
        facts[r] = {"flags": flags, "heard": heard, "plays": draw(st.integers(0, 9)) if heard else 0, "last_day": draw(st.integers(-1, 5)) if heard else -1}
    return proposals, facts, draw(st.integers(0, 20)), draw(st.sampled_from([{}, {"rights": 4}, {"taken_down": 9, "explicit": 10}]))


def withheld(user):
    """By rule, in order; a user of three says nothing of it."""
    return [dict(*user[3:]).get(rule, 0) for rule in RULES]


def batch(users, shuffle=0):
    """Candidates of several users, the entries of each in any order."""
    entries = []
    for u, (proposals, facts, *_) in enumerate(users):
        mine = [
            (u, r, source, rank, facts[r]["flags"], facts[r]["plays"], facts[r]["last_day"], facts[r]["heard"])
            for source, items in proposals.items() for rank, r in enumerate(items, 1)
        ]
        np.random.default_rng(shuffle).shuffle(mine)
        entries += mine
    columns = [np.array(c, np.int64) for c in zip(*entries, strict=True)] if entries else [np.empty(0, np.int64)] * 8
    return Candidates(*columns[:7], heard=columns[7].astype(bool), masked=np.array([user[2] for user in users], np.int64), withheld=np.array([withheld(user) for user in users], np.int64).reshape(-1, len(RULES)))


def shortfall(size, drops, user, k):
    """The rule that took most, where it alone or with the others explains what is missing."""
    masked, taken = user[2], {rule: max(drops.get(rule, 0), barred) for rule, barred in zip(RULES[:-1], withheld(user), strict=False)}
    taken["heard"] = max(taken["heard"], masked)  # what a source masked may be what another proposed and the rule dropped
    short = k - size
    if short <= 0:
        return None
    most = max(taken, key=taken.get)
    return {"wanted": k, "got": size, "rule": most if sum(taken.values()) >= short else "catalogue"}


def oracle(user, request):
    """The pool row, by the words of the design."""
    proposals, facts, *_ = user
    shares = defaultdict(list)
    for source in sorted(proposals):
        for rank, r in enumerate(proposals[source], 1):
            shares[r].append((source, rank, request.weights[source] / (request.rrf_k + rank)))
    drops, kept = defaultdict(int), []
    for r, parts in shares.items():
        bound = [rule for bit, rule in enumerate(RULES) if facts[r]["flags"] >> bit & 1]
        if bound:
            drops[bound[0]] += 1
            continue
        total = 0.0
        for _, _, share in parts:
            total += share
        source, rank, _ = max(parts, key=lambda part: part[2])  # max keeps the first of equals
        heard = facts[r]["heard"] and facts[r]["plays"] > 0  # of what is known by a rating alone, plays are no reason
        kept.append({
            "recording": r, "score": float(np.float32(total)), "sources": sum(1 << part[0] for part in parts), "reason": 2 * source + heard,
            "reason_arg": facts[r]["plays"] if heard and source == 0 else rank, "plays": facts[r]["plays"],
            "last_day": None if facts[r]["last_day"] < 0 else facts[r]["last_day"], "propensity": 1.0,
        })
    kept.sort(key=lambda row: (-row["score"], row["recording"]))
    if len(kept) > request.k:
        drops["below_cut"] = len(kept) - request.k
    kept = kept[: request.k]
    return {"candidates": kept, "drops": dict(drops), "emitted": len(shares), "shortfall": shortfall(len(kept), drops, user, request.k)}


@settings(max_examples=300, deadline=None)
@given(one_user(), st.integers(1, 25), st.sampled_from([1, 60]))
def test_a_pool_is_the_obvious_answer(user, k, rrf_k):
    request = PoolRequest(k, rrf_k, WEIGHTS)
    pool = build_pool(batch([user]), request)
    assert pool == oracle(user, request)
    assert sum(pool["drops"].values()) + len(pool["candidates"]) == pool["emitted"]
    assert (pool["shortfall"] is None) == (len(pool["candidates"]) == k)


@settings(max_examples=100, deadline=None)
@given(st.lists(one_user(), max_size=6), st.integers(1, 12), st.integers(0, 5))
def test_a_user_gets_the_same_row_alone_and_in_any_company_and_order(users, k, seed):
    request = PoolRequest(k, 60, WEIGHTS)
    pools = build_pools(batch(users, seed), request)
    assert len(pools.shortfall) == len(users) == len(pools.offsets) - 1
    for u, user in enumerate(users):
        alone, own = build_pool(batch([user], seed + 1), request), slice(pools.offsets[u], pools.offsets[u + 1])
        assert [row["recording"] for row in alone["candidates"]] == pools.recording[own].tolist()
        assert np.array([row["score"] for row in alone["candidates"]], np.float32).tobytes() == pools.score[own].tobytes()
        assert [row["reason_arg"] for row in alone["candidates"]] == pools.reason_arg[own].tolist()
        assert [row["sources"] for row in alone["candidates"]] == pools.sources[own].tolist()
        assert alone["drops"] == {rule: n for rule, n in zip(RULES, pools.drops[u].tolist(), strict=True) if n}
        assert alone["emitted"] == pools.emitted[u]
        assert (alone["shortfall"] or {"rule": ""})["rule"] == pools.shortfall[u]


def test_a_user_whom_nobody_proposes_anything_gets_an_empty_pool_that_says_so():
    assert build_pool(batch([({}, {}, 0)]), PoolRequest(3, 60, WEIGHTS)) == {
        "candidates": [], "drops": {}, "emitted": 0, "shortfall": {"wanted": 3, "got": 0, "rule": "catalogue"},
    }


def test_a_user_who_loses_all_to_a_rule_is_told_which():
    facts = {r: {"flags": 8, "heard": False, "plays": 0, "last_day": -1} for r in range(3)}
    pool = build_pool(batch([({0: [2, 0, 1]}, facts, 0)]), PoolRequest(3, 60, WEIGHTS))
    assert pool == {"candidates": [], "drops": {"blocked": 3}, "emitted": 3, "shortfall": {"wanted": 3, "got": 0, "rule": "blocked"}}


def test_what_one_source_masks_and_another_proposes_is_one_loss_and_not_two():
    """40 recordings, 20 of them heard and excluded: without the rule there would be 40, which is short of 60 all the same."""
    facts = {r: {"flags": 16 * (r < 20), "heard": r < 20, "plays": int(r < 20), "last_day": -1} for r in range(40)}
    user = ({0: list(range(20, 40)), 1: list(range(40))}, facts, 20)
    assert build_pool(batch([user]), PoolRequest(60, 60, WEIGHTS))["shortfall"] == {"wanted": 60, "got": 20, "rule": "catalogue"}
    assert build_pool(batch([user]), PoolRequest(40, 60, WEIGHTS))["shortfall"] == {"wanted": 40, "got": 20, "rule": "heard"}


def test_who_is_left_short_by_what_a_market_withholds_is_told_so():
    facts = {r: {"flags": 0, "heard": False, "plays": 0, "last_day": -1} for r in range(3)}
    pool = build_pool(batch([({0: [2, 0, 1]}, facts, 0, {"rights": 7, "explicit": 2})]), PoolRequest(10, 60, WEIGHTS))
    assert pool["shortfall"] == {"wanted": 10, "got": 3, "rule": "rights"}
    assert pool["drops"] == {}


def test_build_pool_is_for_one_user():
    with pytest.raises(ValueError, match="takes one user, got 2"):
        build_pool(batch([({}, {}, 0)] * 2), PoolRequest(3, 60, WEIGHTS))


def test_ties_go_to_the_lower_idx_whatever_the_source_of_either():
    facts = {r: {"flags": 0, "heard": False, "plays": 0, "last_day": -1} for r in (3, 7)}
    request = replace(PoolRequest(2, 60, WEIGHTS), weights=(1.0, 1.0, 1.0))
    for proposals in ({0: [7], 1: [3]}, {0: [3], 1: [7]}):
        assert [row["recording"] for row in build_pool(batch([(proposals, facts, 0)]), request)["candidates"]] == [3, 7]


def test_in_which_order_sources_come_does_not_matter():
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(6), 30)
    recording, source = np.tile(np.arange(10), 18), np.tile(np.repeat(np.arange(3), 10), 6)
    flat = {"user": user, "recording": recording, "source": source, "rank": np.tile(np.concatenate([rng.permutation(10) + 1 for _ in range(3)]), 6)}
    flat |= {"flags": np.where((recording + user) % 4, 0, 8), "plays": recording, "last_day": recording, "heard": recording % 3 == 0}
    per_user = {"masked": np.zeros(6, np.int64), "withheld": np.zeros((6, len(RULES)), np.int64)}
    mixed = np.lexsort((rng.random(len(user)), user))
    first, second = (build_pools(Candidates(**{name: of[rows] for name, of in flat.items()}, **per_user), PoolRequest(5, 60, (1.0, 0.3, 0.7)))
                     for rows in (np.arange(len(user)), mixed))
    assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in vars(first))


def test_histories_are_met_by_their_own_users_alone_however_recordings_collide():
    rng = np.random.default_rng(5)
    ends, past_ends = (np.concatenate([[0], np.cumsum(rng.integers(0, 40, 30))]) for _ in range(2))
    recording, past = (np.concatenate([rng.permutation(60)[: end - start] << 25 for start, end in pairwise(of)]) for of in (ends, past_ends))
    found = np.empty(len(recording), np.int64)
    meet(ends, recording, past_ends, past, found)
    for u in range(30):
        mine = past[past_ends[u] : past_ends[u + 1]].tolist()
        expected = [past_ends[u] + mine.index(r) if r in mine else -1 for r in recording[ends[u] : ends[u + 1]].tolist()]
        assert found[ends[u] : ends[u + 1]].tolist() == expected
