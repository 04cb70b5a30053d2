"""Tests of the traits of pools and the slices of users, against slow and obvious Python."""

import datetime as dt
import math
from collections import Counter

import numpy as np
import pytest

from trackpools.core.evaluation.beyond_accuracy import TRAITS, traits
from trackpools.core.evaluation.slices import slices

AS_OF = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
FACTS = (
    "recording_idx int, artist int, decade short, tag_group byte, listeners int, released date, sketch binary"
)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(4)
    facts = {}
    for r in range(200):
        vector = rng.normal(size=16)
        sketch = np.round(127 * vector / np.linalg.norm(vector)).astype(np.int8) if r % 9 else None
        released = AS_OF.date() - dt.timedelta(days=int(rng.integers(-5, 60))) if r % 5 else None
        facts[r] = (
            r // 4,
            1970 + 10 * (r % 3) if r % 7 else None,
            r % 4 if r % 6 else None,
            int(rng.integers(0, 300)),
            released,
            sketch,
        )
    pools = {
        u: rng.choice(220, size, replace=False).tolist() for u, size in enumerate([90, 150, 1, 12, 0])
    }  # recordings from 200 on have no facts
    heard = {u: rng.choice(200, 30, replace=False).tolist() for u in range(4) if u != 1}
    return facts, pools, heard


def expected(world, user):
    facts, pools, heard = world
    none = (None, None, None, None, None, None)
    pool = [(r, *facts.get(r, none)) for r in pools[user]]
    listeners = [row[4] or 0 for row in pool]
    unit = [np.asarray(row[6], float) / 127 for row in pool if row[6] is not None]
    cosines = [float(a @ b) for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j]
    artists = Counter(row[1] if row[1] is not None else -1 - row[0] for row in pool)
    ages = [None if row[5] is None else (AS_OF.date() - row[5]).days for row in pool]
    cells = Counter((row[2], row[3]) for row in pool if row[2] is not None and row[3] is not None)
    told = {
        "novelty": np.mean([-math.log2(max(n, 1) / 500) for n in listeners]),
        "diversity": 1 - np.mean(cosines) if cosines else None,
        "fresh_28d": np.mean([a is not None and 0 <= a <= 28 for a in ages]),
        "fresh_7d": np.mean([a is not None and 0 <= a <= 7 for a in ages]),
        "tail": np.mean([n < 100 for n in listeners]),
        "artist_concentration": sum((n / len(pool)) ** 2 for n in artists.values()),
        "fillable": sum(n >= 20 for n in cells.values()),
        "popularity_lift": None,
        "miscalibration": None,
    }
    if user in heard:
        told["popularity_lift"] = np.mean(listeners) / np.mean([facts[r][3] for r in heard[user]]) - 1
        p, q = (
            Counter(kind for kind in kinds if kind is not None)
            for kinds in ([facts[r][2] for r in heard[user]], [row[3] for row in pool])
        )
        if p and q:
            share = {kind: (n / sum(p.values()), q[kind] / sum(q.values())) for kind, n in p.items()}
            told["miscalibration"] = sum(a * math.log(a / (0.99 * b + 0.01 * a)) for a, b in share.values())
    return told


def test_traits_agree_with_plain_counts(spark, world):
    facts, pools, heard = world
    rows = [
        (r, *known[:-1], None if known[-1] is None else bytearray(known[-1].tobytes()))
        for r, known in facts.items()
    ]
    found = traits(
        spark.createDataFrame(
            [(u, [(r,) for r in pool]) for u, pool in pools.items()],
            "user_idx int, candidates array<struct<recording int>>",
        ),
        spark.createDataFrame(
            [(u, r) for u, met in heard.items() for r in met], "user_idx int, recording_idx int"
        ),
        spark.createDataFrame(rows, FACTS),
        500,
        AS_OF,
    )
    got = {row["user_idx"]: row.asDict() for row in found.collect()}
    assert sorted(got) == [0, 1, 2, 3]  # the empty pool of user 4 has no row
    for user, row in got.items():
        for name, value in expected(world, user).items():
            assert row[name] == (None if value is None else pytest.approx(value, abs=1e-9)), (user, name)
    assert got[2]["diversity"] is None
    assert set(got[0]) == {"user_idx", *TRAITS}


def test_slices(spark):
    everybody = spark.createDataFrame(
        [(u, "SE" if u % 2 else f"M{u:02}", ["rock"] if u == 28 else None) for u in range(30)],
        "user_idx int, market string, declared_tags array<string>",
    )
    features = spark.createDataFrame(
        [(u, u % 10 + 1) for u in range(27)], "user_idx int, activity_decile byte"
    )
    factors = spark.createDataFrame([(u,) for u in range(20)], "idx int")
    heard = spark.createDataFrame([(u, u) for u in range(27)], "user_idx int, recording_idx int")
    popularity = spark.createDataFrame(
        [(r, r / 30) for r in range(27)], "recording_idx int, popularity float"
    )
    rows = {row["user_idx"]: row for row in slices(everybody, features, factors, heard, popularity).collect()}
    assert len(rows) == 30
    assert [rows[u]["rung"] for u in (0, 19, 20, 26, 27, 28)] == [
        "factors",
        "factors",
        "history",
        "history",
        "nothing",
        "declared",
    ]
    assert [rows[u]["mainstreamness"] for u in (0, 8, 13, 17, 26, 29)] == [
        "low",
        "low",
        "middle",
        "middle",
        "high",
        None,
    ]
    assert (rows[3]["activity_decile"], rows[29]["activity_decile"]) == ("4", None)
    assert rows[1]["market"] == "SE"
    assert rows[0]["market"] == "M00"
    assert rows[28]["market"] == "others"  # the thirteenth market and all later ones
