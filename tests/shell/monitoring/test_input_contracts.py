"""Tests of the contracts of inputs.

Each kind of breach is refused with the name of the owner, and the last release stays in force.
"""

import json

import pytest
import yaml

from flows import AS_OF, SMALL, import_events
from trackpools.cli import invoke
from trackpools.config.loading import conf_dir, load_config
from trackpools.errors import ConfigError
from trackpools.shell.monitoring import input_contracts
from trackpools.shell.releases import releases
from trackpools.shell.store.store import Store

KEPT = {
    "table": "plays",
    "owner": "log team",
    "schema_version": 1,
    "fresh_hours": 24.0,
    "filled": {"ms_played": 1.0},
    "complete": {"days": 7, "least_share": 0.01, "least_plays": 5},
}


def run(capsys, config, folder, told, as_of=AS_OF):
    (folder / "plays.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
    settings = [
        part
        for one in ("mlflow.enabled=false", *SMALL, f"contracts.folder={folder}")
        for part in ("--set", one)
    ]
    capsys.readouterr()
    code = invoke(["run", "--root", config.store.root, "--as-of", as_of, "--json", "--quiet", *settings])
    return code, json.loads(capsys.readouterr().out)


def test_each_breach_is_refused_with_the_owner_and_the_release_stays(spark, released, capsys, tmp_path):
    before = releases.latest(Store(spark, released.store))
    code, answer = run(capsys, released, tmp_path, KEPT)
    assert (code, answer["release_id"]) == (0, before.release_id)
    breaches = [
        (
            KEPT | {"schema_version": 2},
            AS_OF,
            "last import has schema version 1, but the contract requires version 2",
        ),
        (KEPT, "2025-06-01", "more than 24 hours before 2025-06-01 00:00 UTC"),
        (
            KEPT | {"filled": {"received_at": 0.5}},
            AS_OF,
            "received_at is filled in 0.0% of the rows, but the contract requires 50.0%",
        ),
        (
            KEPT
            | {
                "fresh_hours": None,
                "filled": {},
                "complete": {"days": 7, "least_share": 1.0, "least_plays": 1},
            },
            AS_OF,
            "plays, but usually",
        ),
        (
            KEPT | {"table": "signals", "filled": {}, "complete": None},
            AS_OF,
            "it has no rows before ",
        ),
    ]
    for told, as_of, said in breaches:
        code, answer = run(capsys, released, tmp_path, told, as_of)
        assert (code, answer["error"]["code"]) == (3, "quality"), said
        assert "the last release stays in force" in answer["error"]["message"]
        assert any(
            f"{told['table']} (owner: log team): " in problem and said in problem
            for problem in answer["error"]["problems"]
        ), answer["error"]["problems"]
        assert releases.latest(Store(spark, released.store)) == before
    assert len(releases.releases(Store(spark, released.store))) == 1


def test_the_version_given_at_import_is_compared(spark, config, tmp_path):
    c = config("ingest.schema_version=3", f"contracts.folder={tmp_path}")
    (tmp_path / "plays.yml").write_text(
        yaml.safe_dump({"table": "plays", "owner": "log team", "schema_version": 3}), encoding="utf-8"
    )
    import_events(
        c, tmp_path, [{"event_id": "a", "user_id": "u", "track_id": "t", "played_at": "2025-03-01T10:00:00Z"}]
    )
    input_contracts.require_contracts(Store(spark, c.store), c, None)


def test_every_problem_of_every_file_is_reported(tmp_path):
    (tmp_path / "a.yml").write_text(
        "table: plays\nowner: x\nschema_version: 1\nfilled: {no_such: 1.0}\n", encoding="utf-8"
    )
    (tmp_path / "b.yml").write_text("table: plays\nowner: y\nschema_version: 1\n", encoding="utf-8")
    (tmp_path / "c.yml").write_text("table: songs\nowner: ''\nversion: 1\n", encoding="utf-8")
    (tmp_path / "d.yml").write_text(
        "table: users\nowner: z\nschema_version: 1\ncomplete: {days: 7, least_share: 0.5, least_plays: 1}\n",
        encoding="utf-8",
    )
    (tmp_path / "e.yml").write_text("table: *x", encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        input_contracts.contracts(str(tmp_path))
    said = "\n".join(told.value.problems)
    for part in (
        "no column no_such",
        "table plays has two contracts",
        "c.yml: table:",
        "c.yml: owner:",
        "c.yml: version: unknown key; did you mean schema_version?",
        "only the contract of table plays may have `complete`",
        "e.yml: ",
    ):
        assert part in said
    with pytest.raises(ConfigError, match="no file"):
        input_contracts.contracts(str(tmp_path / "nowhere"))


def test_the_contracts_that_ship_can_be_read():
    found = input_contracts.contracts(str(conf_dir() / "contracts"))
    assert [one.table for one in found] == ["plays", "tracks"]
    assert load_config().contracts.folder is None
