"""Tests of the als source above `topk.exact_max`, through Spark: the index, its recall, its messages."""

import datetime as dt
import sys
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from builders import rows
from trackpools.core.als.factors import as_table, factor_matrix
from trackpools.core.log.audience import audience
from trackpools.core.pools import online
from trackpools.core.rules import market_masks
from trackpools.core.sources import als
from trackpools.core.sources.packed_items import unpack_items
from trackpools.core.sources.source_inputs import SourceInputs
from trackpools.core.sources.user_block import UserBlock
from trackpools.errors import ConfigError
from trackpools.shell.training.ann_recall import recall, recall_warnings
from trackpools.tables import TRACK_CARDS

USERS, RECORDINGS, RANK, K = 24, 3000, 6, 20
CLEAN, LISTENER, HEARD = 5, 2, 400


def is_refused(recording, market, clean):
    """Return whether a recording is refused: DE lacks a neighbourhood, and clean users every fourth one."""
    return (market == "DE" and recording % 10 < 4) or (clean and recording % 4 == 0)


@pytest.fixture(scope="module")
def frames(spark):
    rng = np.random.default_rng(6)
    kinds = rng.normal(size=(10, RANK))
    y = kinds[np.arange(RECORDINGS) % 10] + 0.4 * rng.normal(size=(RECORDINGS, RANK))
    x = kinds[np.arange(USERS) % 10] + 0.4 * rng.normal(size=(USERS, RANK))
    best = np.argsort(-(y @ x[LISTENER]))[:HEARD]
    ids = rows(spark, "user_ids", *({"user_id": f"u{u}", "user_idx": u} for u in range(USERS)))
    profiles = rows(
        spark,
        "users",
        *(
            {
                "user_id": f"u{u}",
                "market": ("SE", "DE")[u % 2],
                "explicit_policy": "clean" if u % 6 == CLEAN else "allow",
            }
            for u in range(USERS)
        ),
    )
    cards = [
        {
            "recording_idx": r,
            "market": market,
            "available": True,
            "track_id": None if is_refused(r, market, False) else "t",
            "clean_track_id": None if is_refused(r, market, True) else "t",
        }
        for r in range(RECORDINGS)
        for market in ("SE", "DE")
    ]
    schema = "user_idx int, recording_idx int, heard boolean, blocked boolean, refused boolean"
    return {
        "users": audience(ids, profiles, {}, ()),
        "cards": rows(spark, TRACK_CARDS.name, *cards).cache(),
        "history": spark.createDataFrame([(LISTENER, int(r), True, False, False) for r in best], schema),
        "user_factors": spark.createDataFrame(as_table(np.arange(USERS), x)),
        "recording_factors": spark.createDataFrame(as_table(np.arange(RECORDINGS), y)),
    }


@pytest.fixture
def inputs(frames, config):
    def build(*settings):
        c = config(
            f"sources.als.k={K}",
            "sources.als.k_heard=3",
            "topk.exact_max=2000",
            "topk.index_stripe=2048",
            "topk.index_user_block=16",
            *settings,
        )
        return SourceInputs(
            **frames,
            shelf=None,
            lists=None,
            fresh_factors=None,
            as_of=dt.datetime(2025, 6, 1, tzinfo=dt.UTC),
            recordings=RECORDINGS,
            rank=RANK,
            config=c,
        )

    return build


def candidates_by_user(given):
    return {
        row["user_idx"]: [tuple(item) for item in row["items"]]
        for row in unpack_items(als.candidates(given, given.config.sources.als)).collect()
    }


def test_an_index_finds_nearly_the_exact_candidates_and_keeps_the_filters(inputs, frames):
    near, exact = candidates_by_user(inputs()), candidates_by_user(inputs("topk.exact_max=3000"))
    assert {user: len(items) for user, items in near.items()} == {
        user: len(items) for user, items in exact.items()
    }
    common = [len(set(near[user]) & set(exact[user])) / len(exact[user]) for user in exact]
    assert np.mean(common) >= 0.9
    for user, items in near.items():
        assert not any(
            is_refused(recording, ("SE", "DE")[user % 2], user % 6 == CLEAN) for recording, _ in items
        )
        assert items == sorted(items, key=lambda item: (-item[1], item[0]))
    heard = {row["recording_idx"] for row in frames["history"].collect()}
    assert len(heard & {recording for recording, _ in near[LISTENER]}) == 3  # k_heard
    split = replace(
        inputs(), users=frames["users"].repartition(5), user_factors=frames["user_factors"].repartition(3)
    )
    assert candidates_by_user(split) == near


def test_a_pool_on_demand_uses_the_same_index_with_the_same_result(inputs, frames):
    given = inputs()
    x, y = (frames[name].toArrow().sort_by("idx") for name in ("user_factors", "recording_factors"))
    stripes = online.Stripe.all_of(factor_matrix(y["factors"]), np.asarray(y["idx"], np.int32), 2048)
    assert [stripe.index is None for stripe in stripes] == [False, True], "the rest is too few for an index"
    cards, people = frames["cards"].toArrow(), {row["user_idx"]: row for row in frames["users"].collect()}
    markets = {
        name: online.MarketMask(*market_masks.mask_of_cards(cards.filter(pc.equal(cards["market"], name))))
        for name in ("SE", "DE")
    }
    release = online.ReleaseArrays(
        config=given.config,
        as_of=given.as_of,
        recording_table=None,
        markets=markets,
        lists={},
        spaces={als.BIT: stripes},
    )
    listened = np.sort([row["recording_idx"] for row in frames["history"].collect()])
    for user, items in candidates_by_user(given).items():
        recordings = listened if user == LISTENER else listened[:0]
        yes, no = np.ones(len(recordings), bool), np.zeros(len(recordings), bool)
        unused = dict.fromkeys(
            ("market", "declared", "plays", "first_day", "last_day", "weight", "facts", "today")
        )
        clean, ends = np.array([people[user]["clean"]]), np.array([0, len(recordings)])
        one = UserBlock(
            idx=np.array([user], np.int32),
            clean=clean,
            ends=ends,
            recording=recordings,
            heard=yes,
            excluded=no,
            **unused,
        )
        made = online.rank_by_vectors(
            release,
            one,
            [people[user]["market"]],
            (np.zeros(1, np.int64), factor_matrix(x["factors"])[user][None]),
            als.SOURCE,
        )
        assert list(zip(made.recordings.tolist(), made.scores.tolist(), strict=True)) == items


def test_recall_is_measured_for_all_users_and_for_the_hardest_ones(inputs):
    given = inputs()
    told = recall(replace(given, stripes=als.stripes(given).cache()))
    assert set(told) == {"overall", "rarest_market", "explicit_off", "heaviest"}
    assert all(0.85 <= share <= 1 for share in told.values()), told
    assert recall_warnings(told, 0.0, K) == []
    assert (
        "0.900 of the exact 20 (explicit off), below topk.min_recall=0.95"
        in recall_warnings({"overall": 0.99, "explicit_off": 0.9}, 0.95, K)[0]
    )


def test_without_faiss_nothing_starts(inputs, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[ann\]'"):
        als.candidates(inputs(), inputs().config.sources.als)
    assert als.is_approximate(inputs("topk.exact_max=3000")) is False


def test_rows_that_spark_cannot_hold_are_refused_with_the_arithmetic(inputs):
    given = replace(inputs("topk.index_stripe=1000000"), recordings=10**6, rank=2048)
    with pytest.raises(
        ConfigError,
        match=r"topk.index_stripe=1000000.*1,000,000 recordings × 2048 factors × 4 bytes = 7.6 GiB",
    ):
        als.stripes(given)
