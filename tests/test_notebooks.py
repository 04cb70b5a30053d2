"""Tests of the notebooks: they only call the library, and all run in order on one root."""

import ast
import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from pyspark.sql import DataFrame

import flows
from notebook_runner import cells, run_notebook
from trackpools import api
from trackpools.config.loading import load_config

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))
TINY = {"users": 40, "tracks": 150, "days": 15, "k": 20}
SETTINGS = (
    *flows.SMALL,
    "pools.k=20",
    "synthetic.users=40",
    "synthetic.tracks=150",
    "synthetic.days=15",
    "train.engine=implicit",
    "train.blocks=8",
    "holdout.days=4",
    "holdout.short_days=2",
    "promote.min_users=5",
    "promote.slice_margin=1.0",
    "promote.metric=new_recall@all",
)


def test_there_are_notebooks():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_in_source_format_short_and_without_definitions(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Databricks notebook source"
    assert len(lines) <= 80
    assert not [
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
    ]
    for cell in cells(path):
        magic = [
            line.startswith("# MAGIC ") for line in cell.splitlines() if line.strip() and line != lines[0]
        ]
        assert all(magic) or not any(magic), "Databricks takes a cell with a magic for that magic's alone"


def own_log(folder):
    """Write a Parquet log with column names of its own; return its path.

    It holds 30 users of two kinds, and two rows that are not plays.
    """
    start = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    rows = [
        (
            f"mine{user}",
            f"song{(n * 7 + user) % 30 * 2 + user % 2}",
            start + dt.timedelta(hours=n),
            f"Song {n}",
        )
        for user in range(30)
        for n in range(40)
    ]
    frame = pd.DataFrame(
        [*rows, ("mine0", None, start, "no track"), (None, "song1", start, "nobody")],
        columns=["uid", "song", "ts", "name"],
    )
    frame.to_parquet(
        folder / "own.parquet", coerce_timestamps="us", allow_truncated_timestamps=True
    )  # Spark cannot read nanoseconds
    return str(folder / "own.parquet")


@pytest.fixture(scope="module")
def learnt(spark, tmp_path_factory):
    """Run all notebooks; return {first two characters of the name: what was displayed}, and the root."""
    folder = tmp_path_factory.mktemp("notebooks")
    values: dict = {}
    for setting in SETTINGS:
        *sections, key = setting.partition("=")[0].split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = yaml.safe_load(setting.partition("=")[2])
    (folder / "tiny.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    given = {
        "01": {"engine": "implicit", "as_of": "2025-12-28", **TINY},
        "02": {},
        "03": {"publish": "yes", "change": "pools.mmr=0.9"},
        "04": {"challenger": "train.alpha=40"},
        "05": {
            "path": own_log(folder),
            "user_id": "uid",
            "track_id": "song",
            "played_at": "ts",
            "more": "title=name",
        },
    }
    before = dict(spark.conf.getAll)
    before.pop("spark.databricks.delta.lastCommitVersionInSession", None)  # Delta counts commits in it
    shown = {}
    for path in NOTEBOOKS:
        name = path.stem[:2]
        shown[name] = run_notebook(
            path, spark, root=str(folder / "root"), config=str(folder / "tiny.yml"), **given[name]
        )
    after = dict(spark.conf.getAll)  # Delta and MLlib add keys of their own
    assert {key: after[key] for key in before} == before
    return shown, load_config(str(folder / "tiny.yml"), root=str(folder / "root"))


def of_kind(kind, shown):
    return [one for one in shown if isinstance(one, kind)]


@pytest.mark.parametrize(("name", "plots"), [("01", 3), ("02", 4), ("03", 3), ("04", 2), ("05", 2)])
def test_every_plot_of_a_notebook_shows_something(learnt, tmp_path, name, plots):
    figures = of_kind(Figure, learnt[0][name])
    assert len(figures) == plots
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")
        assert any(axes.lines or axes.patches or axes.collections for axes in figure.axes)


def test_the_walk_ends_at_a_release_and_a_full_pool(learnt):
    _, pool = of_kind(DataFrame, learnt[0]["01"])
    ranked = pool.collect()
    assert [row["rank"] for row in ranked] == list(range(1, TINY["k"] + 1))
    assert all(row["title"] and row["sources"] and row["reason"] for row in ranked)


def test_a_pool_is_shown_in_its_order_with_where_it_comes_from(learnt):
    (table,) = of_kind(pd.DataFrame, learnt[0]["02"])
    assert table["rank"].tolist() == list(range(1, TINY["k"] + 1))
    assert table["title"].all()
    assert set(table.columns) >= {"sources", "reason", "because"}


def test_two_runs_differ_by_their_changed_settings(learnt):
    shown, config = learnt
    (table,) = of_kind(pd.DataFrame, shown["03"])
    assert table.to_dict("records") == [{"key": "pools.mmr", "before": "0.05", "after": "0.9"}]
    first, second = sorted(api.releases(config), key=lambda one: one.seq)[:2]
    assert first.as_of == second.as_of
    assert 0 < api.overlap(config, first, second) < 1
    shares = api.source_shares(config, first)
    assert shares["als"] > 0.1
    assert {name for name, share in shares.items() if share} == {"als", "popular", "familiar"}


def test_the_gates_are_shown_and_decide(learnt):
    shown, config = learnt
    (gates,) = of_kind(pd.DataFrame, shown["04"])
    assert gates["name"].tolist() == [
        "effect",
        "worst_slice",
        "coverage_ratio",
        "overlap",
        "rights_violations",
    ]
    assert all(gates["said"])
    assert len(api.releases(config)) == 3 + bool(
        gates["passed"].all()
    )  # 01, 03 and 05 publish, and so does 04 where the gates let it through
    challenger = next(
        run
        for run in api.runs(config)
        if run.params.get("train.alpha") == "40.0" and "train.final_loss" in run.metrics
    )
    assert challenger.name == "pools"


def test_a_log_of_the_users_own_ends_at_a_pool(learnt):
    shown, config = learnt
    (refused,) = of_kind(pd.DataFrame, shown["05"])
    assert refused["rows"].sum() == 2
    _, pool = of_kind(DataFrame, shown["05"])
    ranked = pool.collect()
    assert {row["user_id"][:4] for row in ranked} <= {"mine", ranked[0]["user_id"][:4]}
    assert [row["rank"] for row in ranked] == list(range(1, TINY["k"] + 1))
    ids = {row["user_id"] for row in api.read(config, "user_ids").collect()}
    assert {f"mine{user}" for user in range(30)} <= ids


def test_settings_may_be_text_as_a_widget_gives_it(tmp_path):
    config = api.open_config(
        "train.rank=32; ingest.columns={user_id: uid};", root=str(tmp_path), catalog="main", schema="music"
    )
    assert (config.train.rank, config.ingest.columns, config.store.catalog) == (32, {"user_id": "uid"}, None)
    config = api.open_config(
        {"train.rank": 16, "pools.k": None}, root="", catalog="prod", schema="music", overlay=""
    )
    assert (
        config.store.catalog,
        config.store.schema_,
        config.mlflow.model_name,
        config.mlflow.registry_uri,
    ) == ("prod", "music", "prod.music.trackpools", "databricks-uc")
    assert (config.train.rank, config.pools.k) == (16, 500)
