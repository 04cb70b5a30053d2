"""Every notebook is calls of the library, and runs."""

import ast
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from pyspark.sql import DataFrame

from notebook_runner import cells, run_notebook
from trackpools import api

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))
TINY = {"users": 40, "tracks": 150, "days": 15, "k": 20}


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_in_source_format_short_and_without_definitions(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Databricks notebook source"
    assert len(lines) <= 80
    assert not [node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)]
    for cell in cells(path):
        magic = [line.startswith("# MAGIC ") for line in cell.splitlines() if line.strip() and line != lines[0]]
        assert all(magic) or not any(magic), "Databricks takes a cell with a magic for that magic's alone"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_publishes_and_draws(path, spark, tmp_path):
    before = dict(spark.conf.getAll)
    before.pop("spark.databricks.delta.lastCommitVersionInSession", None)  # Delta counts its commits there
    root = str(tmp_path / "root")
    shown = run_notebook(path, spark, root=root, engine="implicit", **TINY)
    after = dict(spark.conf.getAll)  # Delta and MLlib leave keys of their own
    assert {key: after[key] for key in before} == before
    (release,) = api.releases(api.open_config(root=root))
    figures = [one for one in shown if isinstance(one, Figure)]
    assert len(figures) >= 3
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")
        assert any(axes.lines or axes.patches for axes in figure.axes)
    table, pool = (one for one in shown if isinstance(one, DataFrame))
    assert [row["release_id"] for row in table.collect()] == [release.release_id]
    ranked = pool.collect()
    assert [row["rank"] for row in ranked] == list(range(1, TINY["k"] + 1))
    assert all(row["title"] and row["sources"] and row["reason"] for row in ranked)
