"""Tests of pools as a frame: equal to `build_pool` for each user, and right where that can be proved."""

import datetime as dt
from collections import Counter

import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from blend_oracle import build_pool
from builders import rows
from trackpools import tables as t
from trackpools.core import sources
from trackpools.core.contracts.conform import conform, content_hash
from trackpools.core.contracts.table_checks import pool_violations
from trackpools.core.pools import batch, online
from trackpools.core.pools.build import CandidateBatch
from trackpools.core.pools.online import OnlineUser
from trackpools.core.pools.policy import pool_request
from trackpools.core.pools.tag_distribution import tag_distributions
from trackpools.core.pools.user_history import UserHistory
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.rules import eligibility
from trackpools.core.sources import SOURCES, explore
from trackpools.core.sources.packed_items import pack_items
from trackpools.core.sources.source import Source
from trackpools.errors import ConfigError
from trackpools.shell.training.train import train
from worlds import AS_OF, Blocks, open_arrays

PROPOSED = "user_idx int, source tinyint, items array<struct<recording: int, score: float>>, masked int, lot_size int"
USERS = "user_idx int, market string, clean boolean"
HISTORY = "user_idx int, recording_idx int, plays short, last_day int, heard boolean, blocked boolean, refused boolean, weight float, first_day int"


def assembly_inputs(spark, config, users, history, *settings, facts=()):
    """Return the inputs of the assembly.

    Recording 3 is taken down, 4 has no rights in SE, 5 has only an explicit track, and 6 is in no table of
    the catalogue.
    """
    cards = [
        {
            "recording_idx": r,
            "market": "SE",
            "available": r != 3,
            "track_id": None if r in {3, 4} else f"t{r}",
            "clean_track_id": None if r in {3, 4, 5} else f"t{r}",
        }
        for r in range(12)
        if r != 6
    ]
    people = spark.createDataFrame(users, USERS).join(
        rows(spark, "user_features").select("user_idx", "profile"), "user_idx", "left"
    )
    nothing = F.lit(None).cast("array<string>").alias("declared_tags")
    c = config(*settings)
    return PoolInputs(
        users=people.select("*", nothing),
        history=spark.createDataFrame([(*row, 1.0 + row[1], None) for row in history], HISTORY),
        config=c,
        as_of=AS_OF,
        vectors={},
        arrays=open_arrays(
            spark,
            c,
            track_cards=rows(spark, "track_cards", *cards),
            recording_facts=rows(spark, "recording_facts", *facts),
        ),
    )


def proposals(spark, *of):
    """Pack (user, source, recordings, masked[, lot size]); the lot size is for drawn recordings."""
    return pack_items(
        spark.createDataFrame(
            [
                (u, source, [(r, 1.0) for r in items], masked, *(lot or [0]))
                for u, source, items, masked, *lot in of
            ],
            PROPOSED,
        )
    )


def test_a_tiny_world_counted_by_hand(spark, config):
    inputs = assembly_inputs(
        spark,
        config,
        [(0, "SE", False), (1, "SE", True), (2, "SE", False)],
        [
            (0, 1, 5, 20000, True, False, False),
            (0, 2, 0, None, False, True, False),
            (1, 7, 1, None, True, False, True),
        ],
        "pools.k=3",
        "pools.rrf_k=60",
        "pools.buckets=1",
        "pools.mmr=0.0",
        "pools.calibration=0.0",
        "pools.floor=0",
        "pools.reserve=0.34",
        "sources.als.weight=1.0",
        "sources.popular.weight=0.5",
    )
    offered = proposals(
        spark,
        (0, 0, [0, 1, 2, 3, 4, 6], 0),
        (0, 1, [8, 0, 9, 10], 0),
        (1, 1, [5, 7, 8, 3], 0),
        (7, 1, [1], 0),
    )

    def entry(recording, score, sources, reason, arg, plays=0, last_day=None):
        return {
            "recording": recording,
            "score": float(np.float32(score)),
            "sources": sources,
            "reason": reason,
            "reason_arg": arg,
            "plays": plays,
            "last_day": last_day,
            "propensity": 1.0,
        }

    stamp = {
        "as_of": AS_OF,
        "valid_until": AS_OF + dt.timedelta(days=7),
        "model_version": "m",
        "bucket": 0,
        "profile": None,
    }
    expected = rows(
        spark,
        "pools",
        stamp
        | {
            "user_idx": 0,
            "emitted": 9,
            "drops": {"taken_down": 2, "rights": 1, "blocked": 1, "below_cut": 2},
            "shortfall": None,
            "candidates": [
                entry(0, 1 / 61 + 0.5 / 62, 3, 0, 1),
                entry(1, 1 / 62, 1, 1, 5, 5, 20000),
                entry(8, 0.5 / 61, 2, 2, 1),
            ],
            "reserve": [entry(9, 0.5 / 63, 2, 2, 3), entry(10, 0.5 / 64, 2, 2, 4)],
        },
        stamp
        | {
            "user_idx": 1,
            "emitted": 4,
            "drops": {"taken_down": 1, "explicit": 1, "heard": 1},
            "candidates": [entry(8, 0.5 / 63, 2, 2, 3)],
            "reserve": [],
            "shortfall": {"wanted": 3, "got": 1, "rule": "taken_down"},
        },
        stamp
        | {
            "user_idx": 2,
            "emitted": 0,
            "candidates": [],
            "reserve": [],
            "drops": {},
            "shortfall": {"wanted": 3, "got": 0, "rule": "catalogue"},
        },
    )
    got = conform(batch.pools(inputs, "m", offered), t.POOLS)
    listed = [
        F.map_entries("drops").alias("drops") if name == "drops" else F.col(name) for name in expected.columns
    ]
    expected = expected.withColumn("drops", F.map_from_entries(F.array_sort(F.map_entries("drops"))))
    got = got.withColumn("drops", F.map_from_entries(F.array_sort(F.map_entries("drops"))))
    assert_df_equality(
        got.select(*listed), expected.select(*listed), ignore_row_order=True, ignore_nullable=True
    )


EVERYTHING = (
    "pools.k=5",
    "pools.buckets=3",
    "pools.mmr=0.3",
    "pools.calibration=0.3",
    "pools.floor=2",
    "pools.floor_share=0.4",
    "pools.reserve=0.2",
    "rules.artist_cap=3",
    "rules.album_cap=2",
    "rules.min_listeners=2",
    "sources.explore.slots=2",
)


def random_facts(rng):
    """Return random facts of all recordings but 10 and 11."""
    return [
        {
            "recording_idx": r,
            "song": r - r % 2 * int(rng.random() < 0.3),
            "artist": r % 4,
            "album": r % 6,
            "decade": int(rng.choice([1970, 1990, 2020])),
            "tempo_band": int(rng.integers(0, 3)),
            "tag_group": int(rng.integers(1, 4)),
            "tags": rng.choice(["rock", "pop", "folk"], rng.integers(0, 4), replace=False).tolist(),
            "listeners": int(rng.integers(1, 9)),
            "functional": "sleep" if r == 7 else None,
            "inflated": r == 8,
            "sketch": bytes(rng.integers(0, 32, 16).tolist()),
        }
        for r in range(10)
    ]


def random_world(spark, config, *settings):
    rng = np.random.default_rng(9)
    users = [(u, "SE", bool(u % 2)) for u in range(40)]
    history = [
        (
            u,
            r,
            int(rng.integers(0, 9)),
            None if rng.random() < 0.3 else int(rng.integers(1, 99)),
            bool(rng.random() < 0.7),
            bool(rng.random() < 0.2),
            bool(rng.random() < 0.2),
        )
        for u in range(40)
        for r in range(12)
        if rng.random() < 0.5
    ]
    offers = [
        (u, s, rng.permutation(12)[: rng.integers(0, 12)].tolist(), int(rng.integers(0, 4)))
        for u in range(40)
        for s in (0, 1)
        if rng.random() < 0.8
    ]
    offers += [
        (u, explore.BIT, rng.permutation(12)[:5].tolist(), 0, int(rng.integers(5, 300)))
        for u in range(40)
        if rng.random() < 0.8
    ]
    return (
        users,
        history,
        offers,
        assembly_inputs(spark, config, users, history, *EVERYTHING, *settings, facts=random_facts(rng)),
    )


def test_the_frame_holds_what_build_pool_returns_for_one_user(spark, config):
    users, history, offers, inputs = random_world(spark, config)
    facts = {(u, r): rest for u, r, *rest in history}
    request, standards = (
        pool_request(inputs.config),
        eligibility.Standards.of(inputs.config.rules, AS_OF),
    )
    shelf = inputs.arrays(inputs.config, AS_OF).recording_table
    made = {
        row["user_idx"]: row.asDict(recursive=True)
        for row in batch.pools(inputs, "m", proposals(spark, *offers)).collect()
    }
    assert set(made) == {u for u, *_ in users}
    for u, _, clean in users:
        flat = []
        lot_chance = 1.0
        for _, source, items, _, *lot in (offer for offer in offers if offer[0] == u):
            lot_chance = len(items) / lot[0] if lot else lot_chance
            for rank, r in enumerate(items, 1):
                plays, day, heard, blocked, refused = facts.get((u, r), (0, None, False, False, False))
                flags = (
                    (r in {3, 6})
                    | (r in {3, 4, 6}) << 1
                    | (clean and r in {3, 4, 5, 6}) << 2
                    | blocked << 3
                    | refused << 4
                )
                flags |= int(
                    eligibility.fact_flags(
                        shelf, np.array([r]), np.array([eligibility.HEARD * heard], np.uint8), standards
                    )[0]
                )
                flat.append((0, r, source, rank, flags, plays, -1 if day is None else day, heard))
        columns = (
            [np.array(c, np.int64) for c in zip(*flat, strict=True)] if flat else [np.empty(0, np.int64)] * 8
        )
        masked = max((offer[3] for offer in offers if offer[0] == u), default=0)
        # Recording 3 is taken down, 4 has no rights, and 5 has no clean track.
        barred = [1, 1, int(clean), *[0] * 10] if any(offer[0] == u for offer in offers) else [0] * 13
        past = np.array([r for user, r, *_ in history if user == u], np.int64)
        alone = build_pool(
            CandidateBatch(
                *columns[:7],
                heard=columns[7].astype(bool),
                masked=np.array([masked]),
                withheld=np.array([barred]),
                recording_table=shelf,
                tastes=tag_distributions(
                    np.array([0, len(past)]), past, (1.0 + past).astype(np.float32), shelf
                ),
                lot_chance=np.array([lot_chance]),
            ),
            request,
        )
        assert {name: made[u][name] for name in alone} == alone
    assert any(one["propensity"] < 0.1 for row in made.values() for one in row["candidates"])


def test_pools_have_one_hash_for_any_partitions_and_blocks_and_break_no_promise(spark, config):
    hashes = set()
    for n, size, few in (
        (1, 256, None),
        (2, 256, None),
        (7, 256, None),
        (2, 1, None),
        (3, 7, None),
        (2, 7, 40),
    ):
        _, _, offers, inputs = random_world(spark, config, f"pools.user_block={size}")
        parts = {name: getattr(inputs, name).repartition(n) for name in ("users", "history")}
        frame = conform(
            batch.pools(
                PoolInputs(**(vars(inputs) | parts | {"subset_size": few})),
                "m",
                proposals(spark, *offers).repartition(n),
            ),
            t.POOLS,
        ).cache()
        hashes.add(content_hash(frame, t.POOLS).first()["hash"])
        assert set(pool_violations(frame, 5).first()[1:]) == {0}
        frame.unpersist()
    assert len(hashes) == 1


def test_every_rule_of_the_shelf_binds_and_is_counted(spark, config):
    """Check one user to whom recordings 0 to 11 are proposed.

    Recording 0 has bought plays, 1 is sleep, 2 has too few listeners, 5 is a version of 7, 8 to 11 are of one
    artist, and 10 and 11 of one album.
    """
    facts = [
        {
            "recording_idx": r,
            "song": 7 if r == 5 else r,
            "artist": min(8, r),
            "album": min(10, r),
            "listeners": 1 if r == 2 else 9,
            "inflated": r == 0,
            "functional": "sleep" if r == 1 else None,
        }
        for r in range(12)
    ]
    plain = (
        "pools.k=4",
        "rules.album_cap=1",
        "rules.min_listeners=2",
        "pools.floor=0",
        "pools.mmr=0.0",
        "pools.calibration=0.0",
    )
    inputs = assembly_inputs(spark, config, [(0, "SE", False)], [], "rules.artist_cap=3", *plain, facts=facts)
    offered = proposals(spark, (0, 0, [*range(10, 3, -1), *range(4), 11], 0))
    (row,) = batch.pools(inputs, "m", offered).collect()
    assert [one["recording"] for one in row["candidates"]] == [10, 9, 8, 7]
    assert row["drops"] == {
        "bot_inflated": 1,
        "functional": 1,
        "few_listeners": 1,
        "taken_down": 2,
        "rights": 1,
        "duplicate": 1,
        "artist_cap": 1,
    }
    (row,) = batch.pools(inputs, "m", proposals(spark, (0, 0, [11, 10, 7], 0))).collect()
    assert row["drops"] == {"album_cap": 1}
    inputs = assembly_inputs(spark, config, [(0, "SE", False)], [], "rules.artist_cap=1", *plain, facts=facts)
    (row,) = batch.pools(inputs, "m", proposals(spark, (0, 0, [9, 8, 7, 11, 10], 0))).collect()
    assert row["drops"] == {"artist_cap": 3}
    assert row["shortfall"].asDict() == {"wanted": 4, "got": 2, "rule": "artist_cap"}


def test_a_source_may_propose_in_a_frame_of_its_own(spark, config, monkeypatch):
    others = (name for name in config().sources.names if name != "familiar")
    off = (f"sources.{name}.enabled=false" for name in others)
    inputs = assembly_inputs(spark, config, [(0, "SE", False), (1, "SE", False), (2, "SE", False)], [], *off)
    frame = proposals(spark, (0, 5, [9, 8], 0), (1, 5, [3, 7], 0), (7, 5, [1], 0))
    own = Source("familiar", 5, "heard", "{n}", "{n}", candidates=lambda _inputs, _settings: frame)
    others = tuple(source for source in SOURCES if source.name != "familiar")
    monkeypatch.setattr(sources, "SOURCES", (*others, own))
    made = {row["user_idx"]: row for row in batch.pools(inputs, "m").collect()}
    found = {u: [one["recording"] for one in row["candidates"]] for u, row in made.items()}
    assert found == {0: [9, 8], 1: [7], 2: []}
    assert made[1]["drops"] == {"taken_down": 1}, "the rules hold for such a source too"
    assert_df_equality(batch.candidates(inputs), frame, ignore_nullable=True, ignore_column_order=True)
    nothing = UserHistory.of(rows(spark, "interactions").toArrow(), inputs.config, AS_OF)
    with pytest.raises(ConfigError, match="familiar proposes in a frame of Spark"):
        online.pool(inputs.arrays(inputs.config, AS_OF), OnlineUser(0, "SE", False, (), nothing, {}))


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["implicit", "mllib"])
def test_users_of_a_block_get_the_rest_of_their_block_first(spark, config, engine):
    """Check that the new recordings of a pool start with all of the user's own block.

    The users who heard these recordings heard nothing outside the block.
    """
    world = Blocks()
    c = config(
        f"train.engine={engine}",
        "train.rank=3",
        f"train.reg={0.1 if engine == 'implicit' else 0.01}",
        "pools.k=12",
        "pools.heard=exclude",
        "pools.buckets=2",
        "sources.popular.weight=0.01",
    )
    fit = train(world.training(spark), c.train)
    inputs = world.inputs(spark, c, (fit.users.cache(), fit.recordings.cache()))
    pools = {row["user_idx"]: row for row in batch.pools(inputs, "m").collect()}
    assert len(pools) == world.users
    for user, pool in pools.items():
        got = [one["recording"] for one in pool["candidates"]]
        assert set(got[: world.hidden]) == world.unheard(user)
        assert not set(got) & world.heard(user)
        assert (len(got), pool["shortfall"]) == (12, None)
        assert all(one["sources"] & 3 == 3 for one in pool["candidates"])


def test_the_audit_holds_all_proposals_to_sampled_users_and_none_to_others(spark, config):
    _, _, offers, inputs = random_world(spark, config, "pools.audit_share=0.5")
    made = {row["user_idx"]: row for row in batch.pools(inputs, "m", proposals(spark, *offers)).collect()}
    sampled = {u for u, row in made.items() if row["audit"] is not None}
    assert 8 < len(sampled) < 32
    for u in sampled:
        audit = [row.asDict() for row in made[u]["audit"]]
        place = {one["recording"]: n for n, one in enumerate(made[u]["candidates"], 1)}
        assert [(one["recording"], one["source"], one["rank"]) for one in audit] == sorted(
            (r, s, n) for user, s, items, *_ in offers if user == u for n, r in enumerate(items, 1)
        )
        assert all(one["place"] == place.get(one["recording"]) for one in audit)
        ruled = {one["recording"]: one["rule"] for one in audit if one["rule"] is not None}
        assert not ruled.keys() & place.keys()
        counted = Counter(ruled.values())
        assert {
            rule: n
            for rule, n in made[u]["drops"].items()
            if eligibility.RULES.index(rule) < eligibility.RULES.index("duplicate")
        } == counted
    other = {
        row["user_idx"]: row
        for row in batch.pools(
            random_world(spark, config, "pools.audit_share=1.0")[3], "m", proposals(spark, *offers)
        ).collect()
    }
    assert all(row["audit"] is not None for row in other.values())
    assert all(other[u]["audit"] == made[u]["audit"] for u in sampled)
