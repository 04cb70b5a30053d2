"""Pools as a frame: the same as `build_pool` one user at a time, and the right answer where it can be proved."""

import datetime as dt

import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from builders import rows
from trackpools import tables as t
from trackpools.core import assemble
from trackpools.core.checks import pool_violations
from trackpools.core.contract import conform, content_hash
from trackpools.core.pools import Candidates, PoolRequest, build_pool
from trackpools.core.sources.inputs import SourceInputs
from trackpools.core.sources.items import packed
from trackpools.shell.engines import train
from worlds import AS_OF, Blocks

PROPOSED = "user_idx int, source tinyint, items array<struct<recording: int, score: float>>, masked int"
USERS = "user_idx int, market string, clean boolean"
HISTORY = "user_idx int, recording_idx int, plays short, last_day int, heard boolean, blocked boolean, refused boolean"


def given(spark, config, users, history, *settings):
    """Inputs of the assembly; recording 3 is taken down, 4 has no rights in SE, 5 has only an explicit track, 6 is in no catalogue table."""
    cards = [
        {"recording_idx": r, "market": "SE", "available": r != 3, "track_id": None if r in {3, 4} else f"t{r}", "clean_track_id": None if r in {3, 4, 5} else f"t{r}"}
        for r in range(12) if r != 6
    ]
    people = spark.createDataFrame(users, USERS).join(rows(spark, "user_features").select("user_idx", "profile"), "user_idx", "left")
    return SourceInputs(
        users=people, history=spark.createDataFrame(history, HISTORY), cards=rows(spark, "track_cards", *cards),
        user_factors=None, recording_factors=None, recordings=0, config=config(*settings),
    )


def proposals(spark, *of):
    return packed(spark.createDataFrame([(u, source, [(r, 1.0) for r in items], masked) for u, source, items, masked in of], PROPOSED))


def test_a_tiny_world_counted_by_hand(spark, config):
    inputs = given(
        spark, config, [(0, "SE", False), (1, "SE", True), (2, "SE", False)],
        [(0, 1, 5, 20000, True, False, False), (0, 2, 0, None, False, True, False), (1, 7, 1, None, True, False, True)],
        "pools.k=3", "pools.rrf_k=60", "pools.buckets=1", "sources.als.weight=1.0", "sources.popular.weight=0.5",
    )
    offered = proposals(
        spark, (0, 0, [0, 1, 2, 3, 4, 6], 0), (0, 1, [8, 0, 9, 10], 0), (1, 1, [5, 7, 8, 3], 0), (7, 1, [1], 0),
    )

    def entry(recording, score, sources, reason, arg, plays=0, last_day=None):
        return {"recording": recording, "score": float(np.float32(score)), "sources": sources, "reason": reason, "reason_arg": arg, "plays": plays,
                "last_day": last_day, "propensity": 1.0}

    stamp = {"as_of": AS_OF, "valid_until": AS_OF + dt.timedelta(days=7), "model_version": "m", "bucket": 0, "profile": None}
    expected = rows(
        spark, "pools",
        stamp | {
            "user_idx": 0, "emitted": 9, "drops": {"taken_down": 2, "rights": 1, "blocked": 1, "below_cut": 2}, "shortfall": None,
            "candidates": [entry(0, 1 / 61 + 0.5 / 62, 3, 0, 1), entry(1, 1 / 62, 1, 1, 5, 5, 20000), entry(8, 0.5 / 61, 2, 2, 1)],
        },
        stamp | {
            "user_idx": 1, "emitted": 4, "drops": {"taken_down": 1, "explicit": 1, "heard": 1}, "candidates": [entry(8, 0.5 / 63, 2, 2, 3)],
            "shortfall": {"wanted": 3, "got": 1, "rule": "taken_down"},
        },
        stamp | {"user_idx": 2, "emitted": 0, "candidates": [], "drops": {}, "shortfall": {"wanted": 3, "got": 0, "rule": "catalogue"}},
    )
    got = conform(assemble.pools(inputs, offered, AS_OF, "m"), t.POOLS)
    listed = [F.map_entries("drops").alias("drops") if name == "drops" else F.col(name) for name in expected.columns]
    expected = expected.withColumn("drops", F.map_from_entries(F.array_sort(F.map_entries("drops"))))
    got = got.withColumn("drops", F.map_from_entries(F.array_sort(F.map_entries("drops"))))
    assert_df_equality(got.select(*listed), expected.select(*listed), ignore_row_order=True, ignore_nullable=True)


def random_world(spark, config):
    rng = np.random.default_rng(9)
    users = [(u, "SE", bool(u % 2)) for u in range(40)]
    history = [
        (u, r, int(rng.integers(0, 9)), None if rng.random() < 0.3 else int(rng.integers(1, 99)), bool(rng.random() < 0.7), bool(rng.random() < 0.2), bool(rng.random() < 0.2))
        for u in range(40) for r in range(12) if rng.random() < 0.5
    ]
    offers = [(u, s, rng.permutation(12)[: rng.integers(0, 12)].tolist(), int(rng.integers(0, 4))) for u in range(40) for s in (0, 1) if rng.random() < 0.8]
    return users, history, offers, given(spark, config, users, history, "pools.k=5", "pools.buckets=3")


def test_arrow_brings_back_what_build_pool_makes_of_one_user(spark, config):
    users, history, offers, inputs = random_world(spark, config)
    facts = {(u, r): rest for u, r, *rest in history}
    request = PoolRequest(5, inputs.config.pools.rrf_k, (inputs.config.sources.als.weight, inputs.config.sources.popular.weight))
    made = {row["user_idx"]: row.asDict(recursive=True) for row in assemble.pools(inputs, proposals(spark, *offers), AS_OF, "m").collect()}
    assert set(made) == {u for u, *_ in users}
    for u, _, clean in users:
        flat = []
        for _, source, items, _ in (offer for offer in offers if offer[0] == u):
            for rank, r in enumerate(items, 1):
                plays, day, heard, blocked, refused = facts.get((u, r), (0, None, False, False, False))
                flags = (r in {3, 6}) | (r in {3, 4, 6}) << 1 | (clean and r in {3, 4, 5, 6}) << 2 | blocked << 3 | refused << 4
                flat.append((0, r, source, rank, flags, plays, -1 if day is None else day, heard))
        columns = [np.array(c, np.int64) for c in zip(*flat, strict=True)] if flat else [np.empty(0, np.int64)] * 8
        masked = max((offer[3] for offer in offers if offer[0] == u), default=0)
        # 3 is taken down, 4 has no rights, 5 has no clean track
        barred = [1, 1, int(clean), 0, 0, 0] if any(offer[0] == u for offer in offers) else [0] * 6
        alone = build_pool(Candidates(*columns[:7], heard=columns[7].astype(bool), masked=np.array([masked]), withheld=np.array([barred])), request)
        assert {name: made[u][name] for name in alone} == alone


def test_pools_have_one_hash_for_any_partitions_and_break_no_promise(spark, config):
    _, _, offers, inputs = random_world(spark, config)
    hashes = set()
    for n in (1, 2, 7):
        parts = {name: getattr(inputs, name).repartition(n) for name in ("users", "history", "cards")}
        frame = conform(assemble.pools(SourceInputs(**(vars(inputs) | parts)), proposals(spark, *offers).repartition(n), AS_OF, "m"), t.POOLS).cache()
        hashes.add(content_hash(frame, t.POOLS).first()["hash"])
        assert set(pool_violations(frame, 5).first()[1:]) == {0}
        frame.unpersist()
    assert len(hashes) == 1


@pytest.mark.parametrize("engine", ["implicit", "mllib"])
def test_users_of_a_block_get_the_rest_of_their_block_first(spark, config, engine):
    """The new recordings of a pool start with all of the own block: nobody who heard these heard anything else."""
    world = Blocks()
    c = config(
        f"train.engine={engine}", "train.rank=3", f"train.reg={0.1 if engine == 'implicit' else 0.01}", "pools.k=12", "pools.heard=exclude", "pools.buckets=2",
        "sources.popular.weight=0.01",
    )
    fit = train(world.training(spark), c.train)
    inputs = world.inputs(spark, c, (fit.users.cache(), fit.recordings.cache()))
    pools = {row["user_idx"]: row for row in assemble.pools(inputs, assemble.candidates(inputs), AS_OF, "m").collect()}
    assert len(pools) == world.users
    for user, pool in pools.items():
        got = [one["recording"] for one in pool["candidates"]]
        assert set(got[: world.hidden]) == world.unheard(user)
        assert not set(got) & world.heard(user)
        assert (len(got), pool["shortfall"]) == (12, None)
        assert all(one["sources"] == 3 for one in pool["candidates"])
