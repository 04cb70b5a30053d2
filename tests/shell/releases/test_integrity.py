"""Tests of a table whose Delta log was changed after its release.

Every reader refuses the table, and an older release can be put in force instead.
"""

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from flows import AS_OF, SMALL, refreshed, run, shown
from trackpools.cli import invoke
from trackpools.config.loading import load_config
from trackpools.errors import ContractError, InputError
from trackpools.fill.contract.messages import FillRequest
from trackpools.shell.fills.filler import Filler
from trackpools.shell.releases import releases
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store
from trackpools.tables import POOLS, RELEASES

FIRST, SECOND = 1, 2  # versions of `pools` that releases 1 and 2 pin; version 0 is the empty table


def settings(root):
    return load_config(settings=["mlflow.enabled=false", *SMALL], root=str(root))


def overwrite(spark, root, candidates):
    """Write another generation of `pools` with the same number of rows; return its version."""
    store = Store(spark, settings(root).store)
    return store.overwrite(
        POOLS, store.read("pools", FIRST).withColumn("candidates", candidates).localCheckpoint(), {}
    )


@pytest.fixture(scope="module")
def second(spark, published, tmp_path_factory):
    """Return a root whose release 2 pins a second generation of `pools`, with as many rows as the first."""
    root = shutil.copytree(published, tmp_path_factory.mktemp("second") / "root")
    version = overwrite(spark, root, F.reverse("candidates"))
    store = Store(spark, settings(root).store)
    last, stats = releases.latest(store), store.stats("pools", version)
    assert (version, stats.rows) == (SECOND, last.rows("pools"))
    tables = tuple(stats if table.name == "pools" else table for table in last.tables)
    releases.publish(store, replace(last, seq=2, release_id="second", tables=tables), last.run_key)
    return root


@pytest.fixture(scope="module")
def other(spark, published, tmp_path_factory):
    """Return a root in which another writer wrote version 2 of `pools`, with as many rows."""
    root = shutil.copytree(published, tmp_path_factory.mktemp("other") / "root")
    overwrite(spark, root, F.slice("candidates", 1, 5))
    return root


def commit_file(root, version, table="pools"):
    return Path(root) / "tables" / table / "_delta_log" / f"{version:020}.json"


def without_checksums(path):
    """Remove the checksums beside a commit, because an object store has none."""
    for one in (
        path.with_suffix(".crc"),
        path.parent / f".{path.name}.crc",
        path.parent / f".{path.stem}.crc.crc",
    ):
        one.unlink(missing_ok=True)


def emptied(root, _):
    commit_file(root, SECOND).write_text("")


def replaced(root, other):
    """Replace the commit by another writer's commit, together with the files that it adds."""
    text = commit_file(other, SECOND).read_text()
    commit_file(root, SECOND).write_text(text)
    for line in map(json.loads, text.splitlines()):
        if "add" in line:
            name = line["add"]["path"]
            shutil.copy(Path(other) / "tables" / "pools" / name, Path(root) / "tables" / "pools" / name)


@pytest.fixture(params=[emptied, replaced], ids=lambda damage: damage.__name__)
def damaged(request, second, other, tmp_path):
    """Return the configuration of a copy of `second` whose last commit of `pools` was changed.

    The copy has a new path, because Delta caches logs by path.
    """
    root = shutil.copytree(second, tmp_path / "damaged")
    request.param(root, other)
    without_checksums(commit_file(root, SECOND))
    return settings(root)


def command(capsys, config, *words):
    """Run a command; return its exit code and its answer."""
    told = [part for setting in ("mlflow.enabled=false", *SMALL) for part in ("--set", setting)]
    code = invoke([*words, "--root", config.store.root, "--json", *told])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def assert_refused(message):
    assert "table pools at version 2 is not what release 2 published" in message
    assert "expected " in message
    assert "found " in message
    assert "trackpools rollback SEQ" in message


def test_show_pools_refuses_a_damaged_release(damaged, capsys):
    code, answer = command(capsys, damaged, "show", "pools")
    assert (code, answer["error"]["code"]) == (3, "contract")
    assert_refused(answer["error"]["message"])


def test_readers_without_a_jvm_and_fills_refuse_a_damaged_release(damaged, tmp_path):
    opened = LoadedRelease.of(damaged)
    with pytest.raises(ContractError) as refused:
        opened.data("pools")
    assert_refused(refused.value.message)
    with pytest.raises(ContractError):
        opened.user_record("u001", pool=True)
    with pytest.raises(ContractError):
        Filler(opened, tmp_path / "cards").fill(FillRequest(user_id="u001", prompt="20 songs"))


def test_a_damaged_release_is_not_refreshed_or_published_and_rollback_needs_a_whole_one(
    spark, damaged, capsys
):
    store = Store(spark, damaged.store)
    with pytest.raises(ContractError) as refused:
        refreshed(damaged)
    (said,) = refused.value.problems
    assert_refused(said)
    with pytest.raises(ContractError) as refused:
        releases.publish(store, replace(releases.latest(store), seq=3, release_id="third"), "k")
    assert_refused(refused.value.message)
    code, answer = command(capsys, damaged, "rollback", "2")
    assert_refused(answer["error"]["message"])
    assert [one.seq for one in releases.releases(Store(spark, damaged.store))] == [2, 1]
    code, _ = command(capsys, damaged, "rollback", "1")
    assert code == 0
    assert len(shown(spark, damaged)) == 40
    assert LoadedRelease.of(damaged).user_record("u001", pool=True).pool["candidates"]


@pytest.mark.parametrize("text", [None, "{]"], ids=["lost", "no JSON"])
def test_without_a_jvm_a_lost_or_unreadable_commit_is_reported_in_one_sentence(second, tmp_path, text):
    c = settings(shutil.copytree(second, tmp_path / "lost"))
    path = commit_file(c.store.root, SECOND)
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(
        InputError, match=r"table pools of release 2 cannot be read at version 2: .*trackpools rollback SEQ"
    ):
        LoadedRelease.of(c).data("pools")


@pytest.mark.parametrize("whole", [True, False])
def test_a_log_that_was_compacted_into_a_checkpoint_is_judged_as_before(spark, second, tmp_path, whole):
    c = settings(shutil.copytree(second, tmp_path / "compacted"))
    path = commit_file(c.store.root, SECOND)
    without_checksums(path)
    if not whole:
        path.write_text("")
    DeltaTable(str(path.parents[1])).create_checkpoint()
    for version in (
        0,
        FIRST,
    ):  # Spark needs the commit of the last version, though it reads the checkpoint
        without_checksums(commit_file(c.store.root, version))
        commit_file(c.store.root, version).unlink()
    if whole:
        assert shown(spark, c) == shown(spark, settings(second))
        assert (
            LoadedRelease.of(c).user_record("u001", pool=True).pool
            == LoadedRelease.of(settings(second)).user_record("u001", pool=True).pool
        )
        return
    with pytest.raises(ContractError, match="is not what release 2 published"):
        shown(spark, c)
    with pytest.raises(ContractError, match="is not what release 2 published"):
        LoadedRelease.of(c).data("pools")


def test_releases_of_an_older_trackpools_without_pinned_files_are_read_and_followed(spark, second, tmp_path):
    c = settings(shutil.copytree(second, tmp_path / "old"))
    store = Store(spark, c.store)
    older = replace(RELEASES, columns=tuple(column for column in RELEASES.columns if column.name != "files"))
    store.overwrite(older, store.read("releases").drop("files").localCheckpoint(), {})
    store = Store(spark, c.store)
    assert "files" not in store.read("releases").columns
    known = releases.releases(store)
    assert [one.files for one in known] == [None, None]
    assert shown(spark, c) == shown(spark, settings(second))
    assert (
        LoadedRelease.of(c).user_record("u001", pool=True).pool
        == LoadedRelease.of(settings(second)).user_record("u001", pool=True).pool
    )
    fewer = replace(known[0], tables=tuple(replace(table, rows=table.rows + 1) for table in known[0].tables))
    with pytest.raises(
        ContractError, match="table pools at version 2 has 40 rows, but release 2 published 41"
    ):
        releases.read_pinned(store, fewer, "pools")
    made = releases.rollback(store, 1, dt.datetime.now(dt.UTC))
    new, *old = releases.releases(Store(spark, c.store))
    assert new == made
    assert set(new.files) == {table.name for table in new.tables}
    assert old == known
    assert LoadedRelease.of(c).files == new.files


def test_a_run_of_the_same_work_rebuilds_a_damaged_table_and_publishes_it(spark, published, tmp_path):
    c = settings(shutil.copytree(published, tmp_path / "again"))
    path = commit_file(c.store.root, FIRST)
    path.write_text("")
    without_checksums(path)
    with pytest.raises(ContractError):
        shown(spark, c)
    run(c, AS_OF)
    release = releases.latest(Store(spark, c.store))
    assert (release.seq, release.version("pools")) == (2, FIRST + 1)
    assert shown(spark, c) == shown(spark, settings(published))
