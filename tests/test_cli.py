"""Tests of the command line as a script sees it: help at once, one JSON object, and exit codes."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from flows import AS_OF, WHOLE, events, import_events
from trackpools.cli import invoke, whole
from trackpools.cli.flow import FLOW
from trackpools.config.loading import load_config
from trackpools.errors import ContractError
from trackpools.shell.commands import pipeline
from trackpools.shell.releases import releases, show_pools
from trackpools.shell.store.store import Store
from trackpools.stages import STAGES


def call(*words):
    result = CliRunner().invoke(whole(), [str(word) for word in words])
    return result.exit_code, result.stdout


def test_help_is_fast_and_names_every_command():
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trackpools", "--help"], capture_output=True, text=True, check=True
    )
    assert (
        time.monotonic() - began < 20
    )  # generous, for a loaded machine; test_conventions refuses heavy imports
    for command in (
        "import",
        "ids",
        "interactions",
        "features",
        "train",
        "pools",
        "publish",
        "run",
        "demo",
        "explain",
        "show",
        "tables",
        "releases",
        "doctor",
        "package",
        "refresh",
        "canary",
        "watch",
        "export",
        "fill",
        "eval-fill",
        "prompt",
    ):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "--root", "x", "--set", "train.rank=0"], 2),
        (["run"], 2),
        (["import", "nonsense", "x", "--root", "y"], 2),
        (["import", "events", "--root", "y"], 2),
        (["run", "--root", "a/../b"], 2),
        (["run", "--root", "x", "--as-of", "yesterday", "--set", "mlflow.enabled=false"], 2),
        (["no-such-command"], 2),
        (["releases", "--root", "nowhere"], 2),
        (["show", "pools", "--root", "nowhere"], 2),
        (["explain", "u", "--root", "nowhere"], 2),
    ],
)
def test_invalid_commands_exit_2_and_write_nothing(tmp_path, monkeypatch, words, code, spark):
    monkeypatch.chdir(tmp_path)
    exit_code, out = call(*words, *(["--json"] if words[0] != "no-such-command" else []))
    assert exit_code == code
    if out:
        answer = json.loads(out)
        assert not answer["ok"]
        assert answer["error"]["code"] in {"config", "input"}
        assert set(answer) >= {
            "ok",
            "command",
            "release_id",
            "tables",
            "mlflow_run_id",
            "seconds",
            "warnings",
            "error",
        }
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "tables"], "'tables' is not one of 'pools'"),
        (["export", "csv"], "'csv' is not one of 'kv'"),
        (["prompt", "delete"], "'delete' is not one of 'show', 'register'"),
    ],
)
def test_an_unknown_choice_exits_2_and_names_the_choices(capsys, words, said):
    assert invoke([*words, "--root", "nowhere"]) == 2
    assert said in capsys.readouterr().err


def test_the_next_step_that_a_stage_names_is_a_command():
    nexts = [
        pipeline._next(stage) for stage in STAGES if stage.name not in {"daily", "taste", "facts", "index"}
    ]
    assert nexts == ["interactions", "features", "train", "pools", "publish"]
    assert set(get_command(whole()).commands) >= set(nexts)


def test_a_dry_run_prints_plan_and_configuration_and_touches_nothing(tmp_path):
    code, out = call("run", "--root", tmp_path / "r", "--set", "train.rank=17", "--dry-run", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["config"]["train.rank"] == 17
    assert tuple(answer["plan"]) == FLOW == tuple(stage.name for stage in STAGES), (
        "cli.py names the stages, to start without Spark"
    )
    assert answer["plan"] == [
        "ids",
        "daily",
        "taste",
        "interactions",
        "features",
        "train",
        "facts",
        "index",
        "pools",
    ]
    assert not (tmp_path / "r").exists()


def test_the_map_names_every_table(capsys):
    code, out = call("tables", "--json")
    assert code == 0
    assert json.loads(out)["map"]["pools"]["key"] == ["user_idx"]
    assert "pools: one user" in call("tables")[1]


def test_run_show_explain_and_releases_tell_the_same_story(spark, released):
    c = released
    options = [
        "--root",
        c.store.root,
        *(part for one in ("mlflow.enabled=false", *WHOLE, "report.enabled=true") for part in ("--set", one)),
    ]
    code, out = call("run", *options, "--as-of", AS_OF, "--json")
    answer = json.loads(out)
    assert (code, answer["ok"], answer["command"]) == (0, True, "run")
    assert {"name", "version", "rows", "hash"} == set(answer["tables"][0])
    release = releases.latest(Store(spark, c.store))
    assert answer["release_id"] == release.release_id
    assert (
        json.loads(call("releases", *options, "--json")[1])["releases"][0]["release_id"] == release.release_id
    )
    code, out = call("show", "pools", "--user", "u001", "--user", "u000", "--json", *options)
    pools = [json.loads(line) for line in out.splitlines()]
    assert [pool["user_id"] for pool in pools] == ["u001", "u000"]
    one = pools[0]["candidates"][0]
    assert set(one) >= {
        "track_id",
        "recording_id",
        "title",
        "artists",
        "rank",
        "score",
        "sources",
        "reason",
        "plays",
        "last_day",
    }
    assert [c["rank"] for c in pools[0]["candidates"]] == list(range(1, 41))
    code, out = call("explain", "u001", *options, "--json")
    explained = json.loads(out)
    assert explained["pool"] == pools[0]
    assert {name: sum(counts.values()) for name, counts in explained["facets"].items()} == dict.fromkeys(
        ("decade", "tempo", "kind", "familiarity", "popularity"), 40
    )
    assert len(explained["because"]) == 40
    assert "removed by the rules" in call("explain", "u001", *options)[1]
    code, out = call("show", "pools", "--user", "nobody", *options, "--json")
    assert code == 2
    assert json.loads(out)["error"]["problems"] == ["nobody"]


def test_a_relative_root_is_in_the_current_folder(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    c = load_config(settings=["mlflow.enabled=false"], root="here/pools")
    import_events(c, tmp_path, events()[:20])
    assert (tmp_path / "here/pools/tables/plays/_delta_log").is_dir()
    assert load_config(root="s3a://bucket/x").store.root == "s3a://bucket/x"


def test_decoded_pools_equal_the_table(spark, released):
    store = Store(spark, released.store)
    release = releases.latest(store)
    shown = {pool["user_id"]: pool for pool in show_pools.show_pools(store, release, released, (), 5)}
    for row in store.read("pools").join(store.read("user_ids"), "user_idx").where("user_idx < 5").collect():
        recordings = {r["recording_idx"]: r["recording_id"] for r in store.read("recording_ids").collect()}
        assert [recordings[one["recording"]] for one in row["candidates"]] == [
            one["recording_id"] for one in shown[row["user_id"]]["candidates"]
        ]


def test_a_table_that_lost_rows_is_refused_to_readers_of_a_release_that_pins_no_files(spark, released):
    store = Store(spark, released.store)
    release = releases.latest(store)
    tables = tuple(
        replace(table, rows=table.rows + 1) if table.name == "pools" else table for table in release.tables
    )
    damaged = replace(release, files=None, tables=tables)
    with pytest.raises(ContractError, match="trackpools rollback SEQ"):
        show_pools.show_pools(store, damaged, released, (), 1)
