"""Tests of the source als above `topk.exact_max`: the index, its recall, its messages."""

import datetime as dt
import sys
from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import functions as F

from builders import rows
from trackpools import tables as t
from trackpools.core.als.factors import as_table
from trackpools.core.log.audience import audience
from trackpools.core.pools import batch
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.sources import als
from trackpools.core.sources.packed_items import unpack_items
from trackpools.core.sources.source_inputs import ScoringInputs
from trackpools.errors import ConfigError
from trackpools.shell.arrays.index_recall import recall, recall_warnings
from worlds import open_arrays

AS_OF = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
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
    met = spark.createDataFrame([(LISTENER, int(r), True, False, False) for r in best], schema)
    none = F.lit(None).cast("int")
    return {
        "users": audience(ids, profiles, {}, ()).withColumn("profile", F.lit(None).cast(t.PROFILE)),
        "cards": rows(spark, "track_cards", *cards).cache(),
        "history": met.select(
            "*",
            F.lit(1).cast("short").alias("plays"),
            none.alias("first_day"),
            none.alias("last_day"),
            F.lit(1.0).cast("float").alias("weight"),
        ),
        "user_factors": spark.createDataFrame(as_table(np.arange(USERS), x)),
        "recording_factors": spark.createDataFrame(as_table(np.arange(RECORDINGS), y)),
    }


@pytest.fixture
def inputs(spark, frames, config):
    def build(*settings):
        others = (name for name in config().sources.names if name != "als")
        c = config(
            *(f"sources.{name}.enabled=false" for name in others),
            f"sources.als.k={K}",
            "sources.als.k_heard=3",
            "topk.exact_max=2000",
            "topk.index_stripe=2048",
            *settings,
        )
        tables = {"track_cards": frames["cards"], "recording_factors": frames["recording_factors"]}
        return PoolInputs(
            users=frames["users"],
            history=frames["history"],
            config=c,
            as_of=AS_OF,
            vectors={"user_factors": frames["user_factors"]},
            arrays=open_arrays(spark, c, **tables),
        )

    return build


def candidates_by_user(given):
    return {
        row["user_idx"]: [tuple(item) for item in row["items"]]
        for row in unpack_items(batch.candidates(given)).collect()
    }


def test_an_index_finds_nearly_the_exact_candidates_and_keeps_the_filters(inputs, frames):
    given = inputs()
    stripes = given.arrays(given.config, AS_OF).spaces[als.BIT]
    assert [stripe.index is None for stripe in stripes] == [False, True], "the rest is too few for an index"
    near, exact = candidates_by_user(given), candidates_by_user(inputs("topk.exact_max=3000"))
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
    one_each = given.config.model_copy(
        update={"pools": given.config.pools.model_copy(update={"user_block": 1})}
    )
    assert candidates_by_user(replace(given, config=one_each)) == near


def test_recall_is_measured_for_all_users_and_for_the_hardest_ones(inputs):
    told = recall(inputs())
    assert set(told) == {"overall", "rarest_market", "explicit_off", "heaviest"}
    assert all(0.85 <= share <= 1 for share in told.values()), told
    assert recall_warnings(told, 0.0, K) == []
    assert (
        "0.900 of the exact 20 (explicit off), below topk.min_recall=0.95"
        in recall_warnings({"overall": 0.99, "explicit_off": 0.9}, 0.95, K)[0]
    )


def scoring_inputs(frames, config, **more):
    return ScoringInputs(**(frames | {"recordings": RECORDINGS, "rank": RANK, "config": config} | more))


def test_without_faiss_nothing_starts(inputs, frames, config, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[ann\]'"):
        inputs()
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[ann\]'"):
        als.rank_by_factors(scoring_inputs(frames, config("topk.exact_max=2000")), K, 0)
    assert als.is_approximate(scoring_inputs(frames, config("topk.exact_max=3000"))) is False


def test_rows_that_spark_cannot_hold_are_refused_with_the_arithmetic(frames, config):
    c = config("topk.exact_max=2000", "topk.index_stripe=1000000")
    with pytest.raises(
        ConfigError,
        match=r"topk.index_stripe=1000000.*1,000,000 recordings × 2048 factors × 4 bytes = 7.6 GiB",
    ):
        als.stripes(scoring_inputs(frames, c, recordings=10**6, rank=2048))
