"""Tests that takedowns fail closed.

A damaged table of switches never makes a reader serve what was switched off.
"""

import json
import logging
import shutil
from uuid import uuid4

import pytest

from flows import SMALL
from trackpools.cli import invoke
from trackpools.config.loading import load_config
from trackpools.core.serving.takedowns import Takedowns
from trackpools.errors import ContractError, StoppedError
from trackpools.fill.contract.messages import FillRequest
from trackpools.shell.command import Options
from trackpools.shell.fills.filler import Filler
from trackpools.shell.releases import take_down
from trackpools.shell.releases.take_down import read_takedowns, switch
from trackpools.shell.serving import switch_watch
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.serving.switch_watch import TakedownWatch
from trackpools.shell.store.store import Store

TRACK = ("track", "t0001")
ALL = ("all", "*")


def config_of(root):
    return load_config(settings=["mlflow.enabled=false"], root=str(root))


def run_switch(root, action, *which):
    return switch(config_of(root), Options(quiet=True), action, which, None)


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    """Return a root on which a track and then everything was switched off; copy it before you damage it.

    `switches` is at version 2.
    """
    root = tmp_path_factory.mktemp("made") / "root"
    root.mkdir()
    run_switch(root, "off", *TRACK)
    run_switch(root, "off", "all")
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    """Return this test's copy, which no reader of this process has read yet, as in a fresh process."""
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    return shutil.copytree(made, tmp_path / "copy")


def switches_folder(root):
    return root / "tables" / "switches"


def commit_file(root, version):
    return switches_folder(root) / "_delta_log" / f"{version:020}.json"


def last_commit(root):
    return commit_file(root, 2)


def emptied(root):
    last_commit(root).write_bytes(b"")


def emptied_before_the_last(root):
    commit_file(root, 1).write_bytes(b"")


def without_its_end(root):
    last_commit(root).write_bytes(last_commit(root).read_bytes().splitlines(keepends=True)[0])


def torn(root):
    last_commit(root).write_bytes(last_commit(root).read_bytes()[:-50])


def fell(root):
    for path in (switches_folder(root) / "_delta_log").glob(f"*{2:020}*"):
        path.unlink()


def vanished(root):
    shutil.rmtree(switches_folder(root))


def unlisted(root):
    shutil.rmtree(switches_folder(root) / "_delta_log")


def without_its_files(root):
    for path in switches_folder(root).glob("*.parquet"):
        path.unlink()


def files_torn(root):
    for path in switches_folder(root).glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:300])


def records_torn(root):
    (path,) = (root / "tables" / "switch_records" / "_delta_log").glob(f"{2:020}.json")
    path.write_bytes(path.read_bytes()[:-50])


SILENT = {
    emptied: "is empty",
    emptied_before_the_last: "differ from what table switch_records recorded",
    without_its_end: "differ from what table switch_records recorded",
    fell: "is at version 1, but table switch_records names version 2",
    vanished: "table switches does not exist",
    unlisted: "table switches does not exist",
}
LOUD = {
    torn: "cannot be read .DeltaError",
    without_its_files: "cannot be read .FileNotFoundError",
    files_torn: "cannot be read .ArrowInvalid",
    records_torn: "table switch_records cannot be read .DeltaError",
}
DAMAGES = pytest.mark.parametrize(
    ("damage", "said"), (SILENT | LOUD).items(), ids=lambda one: getattr(one, "__name__", "")
)


@DAMAGES
def test_a_process_that_has_read_the_switches_keeps_them(root, caplog, damage, said):
    watch = TakedownWatch(str(root))
    assert watch.off() == Takedowns(frozenset({TRACK, ALL}))
    assert not caplog.records
    damage(root)
    with caplog.at_level(logging.WARNING):
        assert watch.off() == Takedowns(frozenset({TRACK, ALL}))
    assert "goes on with the switches that it read" in caplog.text
    assert TakedownWatch(str(root)).off() == watch.off(), (
        "a release that is opened later, in the same process"
    )


@DAMAGES
def test_a_fresh_process_refuses(root, damage, said):
    damage(root)
    with pytest.raises(ContractError, match=said) as caught:
        TakedownWatch(str(root)).off()
    assert caught.value.exit_code == 3
    assert "nothing is served" in str(caught.value)
    assert "switch_records" in str(caught.value), "what to do"


@pytest.mark.parametrize(
    "damage", [*(one for one in SILENT if one is not without_its_end), torn], ids=lambda one: one.__name__
)
def test_readers_by_spark_refuse_too(spark, root, damage):
    damage(root)
    with pytest.raises(ContractError, match="nothing is served"):
        read_takedowns(Store(spark, config_of(root).store))


def test_readers_by_spark_keep_the_switches_they_have_read(spark, root):
    store = Store(spark, config_of(root).store)
    assert ALL in read_takedowns(store).pairs
    vanished(root)
    assert (
        read_takedowns(store).pairs
        == read_takedowns(Store(spark, config_of(root).store)).pairs
        == {TRACK, ALL}
    )


def test_a_table_that_is_dropped_from_a_catalog_is_reported(spark):
    schema = f"tp_{uuid4().hex[:12]}"
    spark.sql(f"CREATE SCHEMA spark_catalog.{schema}")
    try:
        config = load_config(
            settings=["mlflow.enabled=false", "store.catalog=spark_catalog", f"store.schema={schema}"]
        )
        switch(config, Options(quiet=True), "off", ("all",), None)
        spark.sql(f"DROP TABLE spark_catalog.{schema}.switches")
        with pytest.raises(ContractError, match="table switches does not exist"):
            switch(config, Options(quiet=True), "list", (), None)
        with pytest.raises(ContractError, match="nothing is served"):
            read_takedowns(Store(spark, config.store))
    finally:
        spark.sql(f"DROP SCHEMA spark_catalog.{schema} CASCADE")


def test_a_takedown_whose_commit_was_lost_unseen_reverts_nothing_and_can_be_repeated(root):
    watch = TakedownWatch(str(root))
    assert watch.off()
    run_switch(root, "on", "all")
    assert watch.off() == Takedowns(frozenset({TRACK}))
    run_switch(root, "off", "all")
    commit_file(root, 4).write_bytes(b"")
    assert watch.off() == Takedowns(frozenset({TRACK})), "what this process knew last"
    run_switch(root, "off", "all")
    assert watch.off() == Takedowns(frozenset({TRACK, ALL}))
    fresh = shutil.copytree(root, root.parent / "fresh")
    assert TakedownWatch(str(fresh)).off() == watch.off(), "the table is again what was recorded"


def test_a_takedown_on_a_damaged_table_holds_but_does_not_hide_the_damage(root):
    watch = TakedownWatch(str(root))
    assert watch.off()
    emptied(root)
    with pytest.raises(ContractError, match="is written, but"):
        run_switch(root, "off", "track", "t0002")
    assert watch.off() == Takedowns(frozenset({TRACK, ALL, ("track", "t0002")}))
    fresh = shutil.copytree(root, root.parent / "fresh")
    with pytest.raises(ContractError, match="nothing is served"):
        TakedownWatch(str(fresh)).off()
    answer = take_down.switch(config_of(fresh), Options(), "list", (), None)
    assert "differ from what table switch_records recorded" in answer.warnings[0]
    assert {one["value"] for one in answer.more["off"]} == {"t0001", "t0002"}
    # An operator who knows that the list is right accepts it by deleting the records.
    shutil.rmtree(fresh / "tables" / "switch_records")
    assert TakedownWatch(str(fresh)).off() == Takedowns(frozenset({TRACK, ("track", "t0002")}))
    run_switch(fresh, "off", "all")
    vanished(fresh)
    again = shutil.copytree(fresh, root.parent / "again")
    with pytest.raises(ContractError, match="table switches does not exist"):
        TakedownWatch(str(again)).off()


def test_a_table_that_cannot_be_written_is_said_to_be_damaged(root):
    torn(root)
    with pytest.raises(ContractError, match="cannot be read"):
        run_switch(root, "off", "track", "t0002")
    with pytest.raises(ContractError, match="cannot be read"):
        run_switch(root, "list")


def test_a_root_without_switches_serves_and_an_older_root_is_trusted_until_its_next_switch(root, tmp_path):
    assert TakedownWatch(str(tmp_path / "none")).off() == Takedowns()
    shutil.rmtree(root / "tables" / "switch_records")
    assert TakedownWatch(str(root)).off() == Takedowns(frozenset({TRACK, ALL}))
    run_switch(root, "off", "market", "SE")
    fresh = shutil.copytree(root, tmp_path / "fresh")
    vanished(fresh)
    with pytest.raises(ContractError, match="names its version 3"):
        TakedownWatch(str(fresh)).off()


def test_a_switch_that_was_killed_before_it_was_recorded_holds_unless_its_commit_is_lost(root, monkeypatch):
    monkeypatch.setattr(take_down, "_record", lambda store, at: None)
    run_switch(root, "off", "market", "SE")
    fresh = shutil.copytree(root, root.parent / "fresh")
    assert ("market", "SE") in TakedownWatch(str(root)).off().pairs
    commit_file(fresh, 3).write_bytes(b"")
    with pytest.raises(ContractError, match="is empty"):
        TakedownWatch(str(fresh)).off()


@pytest.mark.parametrize("damage", [emptied, vanished], ids=lambda one: one.__name__)
def test_fill_serves_no_user(released, tmp_path, monkeypatch, capsys, damage):
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    root = tmp_path / "released"
    run_switch(root, "off", *TRACK)
    run_switch(root, "off", "all")
    running = Filler(LoadedRelease.of(released), tmp_path / "cards")
    request = FillRequest(user_id="u001", prompt="20 songs")
    with pytest.raises(StoppedError):
        running.fill(request)
    damage(root)
    with pytest.raises(StoppedError):
        running.fill(request)
    fresh = shutil.copytree(root, tmp_path / "fresh")
    settings = [part for one in ("mlflow.enabled=false", *SMALL) for part in ("--set", one)]
    for words in (["fill", "20 songs", "--user", "u001"], ["show", "pools"]):
        capsys.readouterr()
        assert invoke([*words, "--root", str(fresh), "--json", *settings]) == 3
        told = json.loads(capsys.readouterr().out)
        assert told["error"]["code"] == "contract"
        assert "playlist" not in told
