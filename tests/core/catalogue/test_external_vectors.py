"""Tests of external vectors.

A recording has the vector of its first track that has one, and a user without a vector has the mean of what
the user loves.
"""

import numpy as np
import pytest
from chispa import assert_df_equality

from builders import rows
from trackpools.config.loading import load_config
from trackpools.core.catalogue import external_vectors

BROUGHT = "of string, id string, vector array<float>"
FACTORS = "idx int, factors array<float>"


@pytest.fixture
def catalogue(spark):
    tracks = rows(
        spark,
        "tracks",
        {"track_id": "t1", "recording_id": "r"},
        {"track_id": "t0", "recording_id": "r"},
        {"track_id": "t2"},
        {"track_id": "t3"},
    )
    return tracks, rows(
        spark,
        "recording_ids",
        *({"recording_id": name, "recording_idx": i} for i, name in enumerate(("r", "t2", "t3"))),
    )


def settings(metric):
    return load_config(
        settings=[f"sources.vectors.metric={metric}", "sources.vectors.length=2"]
    ).sources.vectors


@pytest.mark.parametrize(("metric", "first"), [("inner", [3.0, 4.0]), ("cosine", [0.6, 0.8])])
def test_a_recording_has_the_vector_of_its_first_track_that_has_one(spark, catalogue, metric, first):
    brought = spark.createDataFrame(
        [
            ("track", "t1", [1.0, 0.0]),
            ("track", "t0", [3.0, 4.0]),
            ("track", "t2", [0.0, 0.0]),
            ("track", "unknown", [1.0, 1.0]),
            ("user", "t3", [9.0, 9.0]),
        ],
        BROUGHT,
    )
    found = external_vectors.recording_vectors(brought, *catalogue, settings(metric))
    assert_df_equality(
        found,
        spark.createDataFrame([(0, first), (1, [0.0, 0.0])], FACTORS),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_a_user_without_a_vector_has_the_mean_of_the_fifty_most_loved(spark):
    rng = np.random.default_rng(3)
    y, loved = (
        rng.normal(size=(120, 3)).astype(np.float32),
        {7: rng.random(120).round(1) + 0.1, 9000: rng.random(20).round(1) + 0.1},
    )
    recordings = spark.createDataFrame([(i, y[i].tolist()) for i in range(110)], FACTORS)
    met = spark.createDataFrame(
        [(u, r, float(w)) for u, ws in loved.items() for r, w in enumerate(ws)]
        + [(1, 3, 1.0), (2, 115, 1.0)],
        "user_idx int, recording_idx int, weight double",
    )
    brought = spark.createDataFrame(
        [("user", "u1", [1.0, 2.0, 3.0]), ("user", "nobody", [1.0, 2.0, 3.0])], BROUGHT
    )
    ids = rows(spark, "user_ids", *({"user_id": f"u{u}", "user_idx": u} for u in (1, 2, 7, 9000)))

    def of(parts):
        found = external_vectors.user_vectors(
            brought.repartition(parts), ids, recordings.repartition(parts), met.repartition(parts)
        ).collect()
        assert len({row["idx"] for row in found}) == len(found)
        return {row["idx"]: row["factors"] for row in found}

    found = of(1)
    assert found[1] == [1.0, 2.0, 3.0]
    assert set(found) == {1, 7, 9000}, "2 loves nothing that has a vector"
    for user, weight in loved.items():
        best = sorted((-w, r) for r, w in enumerate(weight) if r < 110)[:50]
        expected = sum(-w * y[r].astype(float) for w, r in best) / sum(-w for w, _ in best)
        np.testing.assert_allclose(found[user], expected, rtol=1e-6)
    assert found == of(2) == of(7)
