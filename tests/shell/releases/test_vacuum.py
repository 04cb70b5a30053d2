"""Tests of vacuum: it keeps what the kept releases pin, on tables whose history looks hours old."""

import dataclasses
import datetime as dt
import os
import re
import shutil

import numpy as np
import pytest

from builders import rows
from trackpools.errors import ConfigError
from trackpools.shell.arrays.array_folder import write_folder
from trackpools.shell.arrays.written_arrays import arrays_folder
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release
from trackpools.shell.store.store import Store
from trackpools.tables import USERS

HOURS_AGO = {
    0: 15.0,
    1: 12.0,
    2: 9.0,
    3: 6.4,
    4: 6.2,
}  # {version: age in hours}; the file of the third went out of use 6.2 hours ago, and 6.4 rounds to 6


def now():
    return dt.datetime.now(dt.UTC)  # read in the test and not at import, which may be an hour earlier


def age_root(root, to):
    """Copy a root, with the versions of `users` committed as many hours ago as `HOURS_AGO` says.

    The copy has a new path, because Delta caches logs by path.
    """
    shutil.copytree(root, to)
    folder = to / "tables" / "users"
    for version, hours in HOURS_AGO.items():
        at = (now() - dt.timedelta(hours=hours)).timestamp()
        log = folder / "_delta_log" / f"{version:020}.json"
        text = re.sub(
            r'"(deletionTimestamp|timestamp|inCommitTimestamp|modificationTime)":\d+',
            rf'"\1":{int(at * 1000)}',
            log.read_text(),
        )
        log.write_text(text)
        for path in [log, *(folder / name for name in re.findall(r'"add":\{"path":"([^"]+)"', text))]:
            os.utime(path, (at, at))
    for sidecar in folder.rglob("*.crc"):
        sidecar.unlink()
    return to


@pytest.fixture
def world(spark, config, tmp_path):
    """Return a store with four releases of `users`, hours apart, each with one more user."""
    c = config()
    store = Store(spark, c.store)
    for seq in list(HOURS_AGO)[1:]:  # version 0 is the empty table
        store.overwrite(
            USERS,
            rows(spark, "users", *[{"user_id": f"u{n}", "explicit_policy": "allow"} for n in range(seq)]),
            {},
        )
        stats = store.stats("users", store.version("users"))
        assert stats.version == seq
        releases.publish(
            Store(spark, c.store),
            Release(seq, f"r{seq}", f"k{seq}", (stats,), "m", None, {"source.0": "als"}, now(), now(), now()),
            f"k{seq}",
        )
    return Store(
        spark, c.store.model_copy(update={"root": str(age_root(tmp_path / "root", tmp_path / "aged"))})
    )


def test_vacuum_keeps_pinned_files_deletes_the_rest_and_writes_no_version(world):
    assert releases.vacuum(world, 2, now(), floor_hours=0) == {"users": 7}
    known = releases.releases(world)
    for release in known[:2]:
        assert world.stats("users", release.version("users")) == release.tables[0]
    with pytest.raises(Exception, match=r"FILE|does not exist|FAILED_READ"):
        world.stats("users", known[3].version("users"))
    assert Store(world.spark, world.config).version("users") == 4


def test_nothing_younger_than_the_floor_is_deleted(world):
    assert releases.vacuum(world, 1, now()) == {"users": 168}
    for release in releases.releases(world):
        assert world.stats("users", release.version("users")) == release.tables[0]


def test_a_foreign_session_that_ignores_the_hours_is_refused(world, monkeypatch):
    monkeypatch.setattr("trackpools.shell.spark.temporary_conf.is_ours", lambda _: False)
    with pytest.raises(ConfigError, match="hours") as refused:
        releases.vacuum(world, 1, now())
    assert "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled=false" in refused.value.problems


def test_vacuum_keeps_the_arrays_of_the_kept_releases(world):
    folder = arrays_folder(world.config.root)
    for seq in (5, 6, 7):
        write_folder(folder / f"users-{seq}", {"idx": np.arange(seq)})
        last = releases.releases(world)[0]
        releases.again(world, dataclasses.replace(last, arrays={"users": f"users-{seq}"}), now())
    write_folder(folder / "users-of-a-run-that-failed", {"idx": np.arange(3)})
    for place in folder.iterdir():
        at = (now() - dt.timedelta(hours=1)).timestamp()
        os.utime(place, (at, at))
    releases.vacuum(world, 2, now(), floor_hours=0)
    assert sorted(place.name for place in folder.iterdir()) == ["users-6", "users-7"]
