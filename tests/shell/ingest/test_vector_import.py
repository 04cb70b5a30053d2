"""Tests of vectors imported as tables or computed from texts.

They check what enters, what is refused, and how the vectors show in a pool.
"""

import numpy as np
import pytest

from flows import AS_OF, SMALL, events, import_events, run
from trackpools.core.pools import online
from trackpools.errors import ConfigError, InputError, QualityError
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store

QUIET = Options(quiet=True)


@pytest.fixture
def tables(spark, tmp_path):
    """Return a function that writes a Delta table of users or tracks and returns its path."""

    def write(of, told, column="vector", kind="delta"):
        path = str(tmp_path / f"brought {of}")
        frame = spark.createDataFrame(told, f"{of}_id string, {column} array<double>")
        frame.write.format(kind).save(path)
        return path

    return write


def stored_vectors(spark, config):
    return {
        (row["of"], row["id"]): row["vector"] for row in Store(spark, config.store).read("vectors").collect()
    }


def test_a_new_pair_of_tables_replaces_the_old_pair(spark, config, tables, tmp_path):
    c = config("sources.vectors.length=2")
    pipeline.import_vectors(c, QUIET, "vectors", tables("track", [("old", [0.0, 1.0])]))
    c = config(
        "sources.vectors.length=2", "ingest.columns.vector=embedding", "ingest.max_rejected_fraction=0.8"
    )
    bad = [
        (None, [1.0, 1.0]),
        ("nan", [float("nan"), 1.0]),
        ("long", [1.0, 2.0, 3.0]),
        ("null", None),
        ("hole", [None, 1.0]),
        ("", [1.0, 1.0]),
    ]
    users = [("u1", [0.5, 0.5]), ("u1", [0.5, 0.5])]
    tracks = str(tmp_path / "in parquet")
    spark.createDataFrame(
        [("t1", [1.0, 2.0]), ("t2", [3.0, 4.0]), *bad], "track_id string, embedding array<double>"
    ).write.parquet(tracks)
    answer = pipeline.import_vectors(c, QUIET, "vectors", tracks, tables("user", users, "embedding"))
    assert stored_vectors(spark, c) == {
        ("track", "t1"): [1.0, 2.0],
        ("track", "t2"): [3.0, 4.0],
        ("user", "u1"): [0.5, 0.5],
    }
    assert answer.more == {
        "tracks": 2,
        "users": 2,
        "reasons": {
            "id_null": 1,
            "id_empty": 1,
            "vector_null": 1,
            "vector_not_finite": 2,
            "vector_of_another_length": 1,
        },
    }


def test_vectors_of_another_length_are_refused_and_nothing_is_lost(spark, config, tables):
    c = config("sources.vectors.length=2")
    path = tables("track", [("t1", [0.0, 1.0])])
    pipeline.import_vectors(c, QUIET, "vectors", path)
    with pytest.raises(
        QualityError, match=r"each vector has 3 numbers, the value of sources\.vectors\.length"
    ):
        pipeline.import_vectors(config("sources.vectors.length=3"), QUIET, "vectors", path)
    assert stored_vectors(spark, c) == {("track", "t1"): [0.0, 1.0]}


def test_an_invalid_table_of_vectors_is_refused_with_every_problem(spark, config, tmp_path):
    path = str(tmp_path / "odd")
    spark.createDataFrame([("t", "v")], "track string, vector string").write.parquet(path)
    with pytest.raises(InputError, match="its columns are: track, vector") as told:
        pipeline.import_vectors(config(), QUIET, "vectors", path)
    assert told.value.problems == ["column 'track_id' is missing; set ingest.columns.track_id"]
    with pytest.raises(ConfigError, match="needs the PATH"):
        pipeline.import_log(config(), QUIET, "vectors", None)
    with pytest.raises(ConfigError, match="--user-vectors can only be used with"):
        pipeline.import_log(config(), QUIET, "events", path, path)
    with pytest.raises(ConfigError, match="no folder"):
        pipeline.import_log(config(), QUIET, "text-vectors", str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="contains no model"):
        pipeline.import_log(config(), QUIET, "text-vectors", str(tmp_path / "empty"))


@pytest.mark.soak
def test_pools_follow_the_vectors_in_the_batch_and_on_demand(spark, config, tables, tmp_path):
    """Check pools when half of the users have a vector; the others have the mean of what they love."""
    c = config(*SMALL, "sources.vectors.enabled=true", "sources.vectors.length=3", "sources.vectors.k=5")
    import_events(c, tmp_path, events())
    rng = np.random.default_rng(1)
    tracks = [(f"t{t:04}", rng.normal(size=3).tolist()) for t in range(120)]
    users = [(f"u{u:03}", rng.normal(size=3).tolist()) for u in range(0, 40, 2)]
    pipeline.import_vectors(c, QUIET, "vectors", tables("track", tracks), tables("user", users))
    run(c, AS_OF)
    store = Store(spark, c.store)
    pools = {row["user_idx"]: row for row in store.read("pools").collect()}
    users_idx = {row["user_id"]: row["user_idx"] for row in store.read("user_ids").collect()}
    heard = {
        (row["user_idx"], row["recording_idx"])
        for row in store.read("interactions").where("plays > 0").collect()
    }
    names = {row["recording_id"]: row["recording_idx"] for row in store.read("recording_ids").collect()}
    matrix = {names[t]: np.array(v, np.float32) for t, v in tracks if t in names}
    for user, own in users:
        row = pools[users_idx[user]]
        new = [r for r in matrix if (row["user_idx"], r) not in heard]
        best = sorted(
            new, key=lambda r: (-float(np.float32(own).astype(float) @ matrix[r].astype(float)), r)
        )[:5]
        there = {one["recording"] for one in row["candidates"] if one["sources"] >> 10 & 1}
        gone = set(best) - there - {one["recording"] for one in row["reserve"]}
        assert there <= set(best), user
        assert len(gone) <= row["drops"].get("below_cut", 0) + row["drops"].get("duplicate", 0)
    assert sum(any(one["sources"] >> 10 & 1 for one in row["candidates"]) for row in pools.values()) == 40
    opened = LoadedRelease.of(c)
    for user, idx in users_idx.items():
        made, expected = (
            online.pool(opened.release, opened.online_user(user)),
            pools[idx].asDict(recursive=True),
        )
        assert made == {name: expected[name] for name in made}, user


@pytest.fixture
def model(tmp_path):
    """Return the folder of a model2vec model of eight words."""
    model2vec = pytest.importorskip("model2vec", reason="pip install 'trackpools[text]'")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = ["[UNK]", "[PAD]", "rock", "jazz", "piano", "night", "run", "love"]
    tokens = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = Whitespace()
    folder = tmp_path / "model"
    model2vec.StaticModel(np.eye(8, dtype=np.float32), tokens).save_pretrained(str(folder))
    return str(folder)


def test_texts_of_the_catalogue_become_vectors_by_a_model_in_a_folder(spark, config, model):
    from builders import rows
    from trackpools.tables import TRACKS

    c = config("sources.vectors.length=8", "sources.vectors.metric=cosine")
    tracks = rows(
        spark,
        "tracks",
        {"track_id": "t1", "tags": ["jazz"], "title": "night", "artist_names": ["piano"]},
        {"track_id": "t2", "tags": ["rock"]},
        {"track_id": "t3"},
    )
    Store(spark, c.store).overwrite(TRACKS, tracks, {})
    answer = pipeline.import_log(c, QUIET, "text-vectors", model)
    found = stored_vectors(spark, c)
    assert set(found) == {("track", "t1"), ("track", "t2"), ("track", "t3")}
    assert set(np.argsort(found["track", "t1"])[-3:].tolist()) == {3, 4, 5}, "jazz, piano and night"
    assert np.argmax(found["track", "t2"]) == 2
    assert answer.more["tracks"] == 3
    with pytest.raises(ConfigError, match="set it to 8"):
        pipeline.import_log(config(), QUIET, "text-vectors", model)
