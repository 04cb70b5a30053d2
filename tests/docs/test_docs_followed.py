"""Tests of docs/engines.md and docs/importers.md, followed to the letter.

What they print is an engine that learns and an importer that reads.
"""

import datetime as dt
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from trackpools import datasets
from trackpools.core.als.factors import factor_matrix
from trackpools.core.log.quarantine import judge
from worlds import Blocks

DOCS = Path(__file__).resolve().parents[2] / "lib" / "trackpools" / "docs"


@pytest.fixture
def module_of(tmp_path, monkeypatch):
    """Load the Python block of a page as a module of the given name."""

    def load(page, name):
        (text,) = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
        path = tmp_path / f"{name.rpartition('.')[2]}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        monkeypatch.setitem(sys.modules, name, module := importlib.util.module_from_spec(spec))
        spec.loader.exec_module(module)
        return module

    return load


def test_the_engine_finds_unheard_recordings_of_each_users_own_kind(module_of, spark, config):
    world = Blocks()
    users, recordings, curve = module_of("engines.md", "pure_svd").fit(
        world.training(spark), config("train.rank=3").train, 3
    )
    x, y = (factor_matrix(side.orderBy("idx").toArrow()["factors"]) for side in (users, recordings))
    assert curve == []
    assert (users.dtypes, recordings.dtypes) == ([("idx", "int"), ("factors", "array<float>")],) * 2
    scores = x @ y.T
    for user in range(world.users):
        scores[user, sorted(world.heard(user))] = -np.inf
        assert set(np.argsort(-scores[user])[: world.hidden]) == world.unheard(user)


def test_the_engine_gives_vectors_of_the_rank_also_where_the_data_has_fewer(module_of, spark, config):
    pairs = spark.createDataFrame(
        [(0, 0, 1.0, 0.0), (1, 1, 1.0, 0.0), (1, 0, 2.0, 0.0)],
        "user_idx int, recording_idx int, positive double, negative double",
    )
    users, _, _ = module_of("engines.md", "pure_svd").fit(pairs, config().train, 2)
    assert {len(row["factors"]) for row in users.collect()} == {2}


def test_the_importer_reads_its_log_and_refuses_invalid_settings(
    module_of, spark, config, tmp_path, monkeypatch
):
    module_of("importers.md", "trackpools.datasets.pipes")
    monkeypatch.setitem(datasets.IMPORTERS, "pipes", datasets._lazy("pipes"))
    good = [f"2025-06-01T10:{minute:02}:00Z|anna|The Holy Moons|My Blue Ocean" for minute in range(3)]
    (tmp_path / "june.psv").write_text(
        "\n".join([*good, "not a line", "never|ben|The Holy Moons|My Blue Ocean"]), encoding="utf-8"
    )
    found = datasets.IMPORTERS["pipes"](spark, str(tmp_path), config())
    rows = judge(found.plays, config().ingest, dt.datetime(2025, 7, 1, tzinfo=dt.UTC)).collect()
    assert {row["row_text"]: row["reasons"] for row in rows if row["reasons"]} == {
        "not a line": ["broken_line"],
        "never|ben|The Holy Moons|My Blue Ocean": ["time_unparsable"],
    }
    read = [row for row in rows if not row["reasons"]]
    assert sorted(row["played_at"].minute for row in read) == [0, 1, 2]
    assert len({row["play_key"] for row in read}) == 3
    assert {
        (row["user_id"], row["track_id"], row["track"]["title"], *row["track"]["artist_names"])
        for row in read
    } == {("anna", read[0]["track_id"], "My Blue Ocean", "The Holy Moons")}
