"""Tests of fills from a real Redis: the same playlists as from the tables, whatever fails in Redis.

An export is served once it is complete, resumes after a failure, and changes nothing when it is repeated.
"""

import datetime as dt
import json
import os
import shutil
import socket
import threading
import time
from dataclasses import replace

import pyarrow as pa
import pytest
import redis

from conftest import PASSWORD_ENV
from flows import AS_OF, SMALL
from redis_server import free_port, redis_server
from trackpools.cli import invoke
from trackpools.config.loading import load_config
from trackpools.core.serving.user_record import record_key
from trackpools.errors import ConfigError, ContractError, InputError, StoppedError
from trackpools.fill.contract.messages import FillRequest, RecentEvent
from trackpools.shell.command import Options
from trackpools.shell.fills.filler import Filler
from trackpools.shell.releases import releases
from trackpools.shell.releases.take_down import switch
from trackpools.shell.serving import switch_watch
from trackpools.shell.serving.kv import exporter, reader, redis_client
from trackpools.shell.serving.kv.exporter import export
from trackpools.shell.serving.kv.reader import ExportedRelease, open_release
from trackpools.shell.serving.kv.redis_client import Keys, Manifest
from trackpools.shell.serving.loaded_release import LoadedRelease
from trackpools.shell.store.store import Store

PROMPTS = (
    "20 songs",
    "30 songs I have never heard",
    "60 songs I have not heard for a week",
    "my top 3 artists, 12 songs",
)
DEADLINE_S, MARGIN_S = 3.0, 0.25


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def exported(spark, published, server):
    """Return the configuration of the exported root, for tests that change neither root nor Redis."""
    c = load_config(settings=["mlflow.enabled=false", *SMALL, f"kv.url={server}"], root=str(published))
    export(c, Options(quiet=True))
    return c


def with_url(config, url, **more):
    return config.model_copy(update={"kv": config.kv.model_copy(update={"url": url} | more)})


def redis_of(url, **more):
    return redis.Redis.from_url(url, **more)


def comparable(playlist):
    return playlist.model_dump(exclude={"request_id", "milliseconds", "notes"})


def read_manifest(config):
    return Manifest.read(redis_of(config.kv.url).get(redis_client.current(config.kv)))


def write_manifest(config, made):
    redis_of(config.kv.url).set(redis_client.current(config.kv), made.text())


def test_a_playlist_is_the_same_from_both(exported, tmp_path):
    here, there = (
        Filler(LoadedRelease.of(exported), tmp_path / "a"),
        Filler(open_release(exported), tmp_path / "b"),
    )
    assert isinstance(there.opened, ExportedRelease)
    for number in range(40):
        day = dt.datetime.fromisoformat(AS_OF).date()
        request = FillRequest(
            user_id=f"u{number:03}",
            prompt=PROMPTS[number % 4],
            events=(
                RecentEvent(track_id="t0001", day=day),
                RecentEvent(track_id="t0004", day=day, skipped=True),
            ),
        )
        one, other = here.fill(request), there.fill(request)
        assert comparable(one) == comparable(other)
        assert other.notes == one.notes
        assert one.tracks


def test_the_facts_of_a_user_are_the_same_from_both(exported):
    here, there = LoadedRelease.of(exported), open_release(exported)
    for user in ("u000", "u017", "u039"):
        one, other = here.user_record(user, pool=True), there.user_record(user, pool=True)
        assert one.interactions.sort_by("recording_idx").equals(
            other.interactions.cast(one.interactions.schema)
        )
        assert (one.idx, one.profile or dict.fromkeys(other.profile), one.pool) == (
            other.idx,
            other.profile,
            other.pool,
        )
        assert {name: vector.tolist() for name, vector in one.vectors.items()} == {
            name: vector.tolist() for name, vector in other.vectors.items()
        }
        assert other.note == ""
    with pytest.raises(InputError, match="has no such user"):
        there.user_record("nobody")


def test_neither_keys_nor_records_hold_a_raw_id_and_all_of_them_expire(exported):
    client, seen = redis_of(exported.kv.url), 0
    for key in client.scan_iter(count=1000):
        assert 0 < client.ttl(key) <= 3600 * exported.kv.ttl_hours
        seen += 1
        whole = key + (
            client.get(key)
            if client.type(key) == b"string"
            else json.dumps([*map(str, client.hgetall(key).items())]).encode()
        )
        assert not any(f"u{number:03}".encode() in whole for number in range(40))
    assert seen > 45


def test_a_second_export_changes_nothing(exported):
    def state():
        client = redis_of(exported.kv.url)
        return (
            client.get("trackpools:current"),
            client.dbsize(),
            client.info("commandstats")["cmdstat_set"]["calls"],
        )

    before = state()
    assert "exported already" in export(exported, Options(quiet=True)).lines[0]
    assert state() == before


def test_a_damaged_table_is_not_exported(spark, published, server, tmp_path):
    root = shutil.copytree(published, tmp_path / "damaged")
    c = load_config(
        settings=["mlflow.enabled=false", *SMALL, f"kv.url={server}", "kv.prefix=damaged"], root=str(root)
    )
    log = root / "tables" / "pools" / "_delta_log"
    for path in log.glob("*1.*crc"):
        path.unlink()
    (log / f"{1:020}.json").write_text("")
    with pytest.raises(ContractError, match="table pools at version 1 is not what release 1 published"):
        export(c, Options(quiet=True))
    assert redis_of(server).get(redis_client.current(c.kv)) is None


def test_an_interrupted_export_resumes_where_it_stopped(spark, published, server):
    c = load_config(
        settings=["mlflow.enabled=false", *SMALL, f"kv.url={server}", "kv.prefix=other"], root=str(published)
    )
    first = export(c, Options(quiet=True)).more
    assert (first["users"], first["switched"]) == (40, True)
    assert first["memory_a_user"] > first["bytes_a_user"] > 200
    client, keys = redis_of(server), Keys("other", read_manifest(c).release_id)
    buckets = {
        name: int(value.split()[0])
        for name, value in client.hgetall(keys.done).items()
        if name.startswith(b"bucket:")
    }
    lost = next(iter(buckets))
    client.hdel(keys.done, lost)
    client.delete(redis_client.current(c.kv), keys.record(record_key("u001")))
    assert "no export" in open_release(c).note, "nothing is followed before it is whole"
    calls = client.info("commandstats")["cmdstat_set"]["calls"]
    again = export(c, Options(quiet=True)).more
    assert again["users"] == 40
    assert again["expires_at"] == first["expires_at"]
    # one for each record of that bucket, one for the schema and one for the switch
    assert client.info("commandstats")["cmdstat_set"]["calls"] - calls == buckets[lost] + 2


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("_chunks", marks=pytest.mark.soak),
        "_records",
        pytest.param("_written", marks=pytest.mark.soak),
    ],
)
def test_a_redis_that_dies_during_an_export_is_reported_and_no_reader_follows_it(
    published, tmp_path, monkeypatch, capsys, place
):
    whole = getattr(exporter, place)
    with redis_server(tmp_path / "redis") as (url, process):

        def dying(*args):
            made = whole(*args) if place == "_written" else None  # everything but the switch is written
            process.kill()
            process.wait()
            return made or whole(*args)

        monkeypatch.setattr(exporter, place, dying)
        words = [
            "export",
            "kv",
            "--root",
            str(published),
            "--set",
            f"kv.url={url}",
            "--set",
            "mlflow.enabled=false",
            "--json",
        ]
        assert invoke(words) == 1
    told = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "failed (ConnectionError" in told
    assert "Run the command again" in told
    monkeypatch.undo()
    with redis_server(tmp_path / "redis") as (again, _):
        assert again == url
        assert invoke(words) == 0


def test_a_full_redis_is_reported(published, tmp_path, capsys):
    with redis_server(tmp_path / "redis", "--maxmemory", "1100kb", "--maxmemory-policy", "noeviction") as (
        url,
        _,
    ):
        assert (
            invoke(
                [
                    "export",
                    "kv",
                    "--root",
                    str(published),
                    "--set",
                    f"kv.url={url}",
                    "--set",
                    "mlflow.enabled=false",
                    "--json",
                ]
            )
            == 1
        )
        assert redis_of(url).get("trackpools:current") is None
    assert "OutOfMemoryError" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_readers_never_go_back_to_an_older_release(exported):
    client, name = redis_of(exported.kv.url), "else:current"
    later, until = Manifest(1, 7, "later", {}, {}, 0, 0, 2**31), 2**31
    assert client.eval(redis_client.SWITCH, 1, name, 7, later.text(), until) == 1
    assert client.eval(redis_client.SWITCH, 1, name, 6, replace(later, seq=6).text(), until) == 0
    assert Manifest.read(client.get(name)) == later
    assert client.eval(redis_client.SWITCH, 1, name, 10, replace(later, seq=10).text(), until) == 1
    client.delete(name)


def checked_fill(filler, **more):
    """Return a playlist after checks of its time, its length and its constraints."""
    request = FillRequest(user_id="u001", prompt=PROMPTS[0], deadline_s=DEADLINE_S, **more)
    began = time.monotonic()
    made = filler.fill(request)
    assert time.monotonic() - began < DEADLINE_S + MARGIN_S
    assert len(made.tracks) == 20
    assert all(one.met for one in made.told)
    return made


@pytest.fixture
def copied(exported, released, tmp_path):
    """Yield the configuration of this test's own copies of root and Redis, and the Redis process."""
    with redis_server(tmp_path / "redis") as (url, process):
        c = with_url(released, url)
        copy_keys(exported, c)
        yield c, process


def copy_keys(source, target):
    here, there = redis_of(source.kv.url), redis_of(target.kv.url)
    for key in here.scan_iter(match="trackpools:*"):
        there.restore(key, here.pttl(key), here.dump(key))


def test_redis_stopped_before_or_between_requests_leaves_the_playlists_of_the_tables(copied, tmp_path):
    c, process = copied
    filler = Filler(open_release(c), tmp_path / "cards")
    expected = comparable(checked_fill(filler))
    process.kill()
    process.wait()
    made = [checked_fill(filler) for _ in range(5)]
    assert [comparable(one) for one in made] == [expected] * 5
    assert all("the user is read from the tables" in one.notes[0] for one in made)
    # After as many failures as `kv.failures` says, Redis is left alone for a while.
    assert ["is not asked for a while" in one.notes[0] for one in made] == [False] * 3 + [True] * 2
    anew = open_release(c)
    assert "did not answer" in anew.note
    assert comparable(checked_fill(Filler(anew, tmp_path / "cards"))) == expected


@pytest.mark.parametrize("drip", [None, 0.05], ids=["silent", "a byte at a time"])
def test_a_redis_that_is_slow_is_not_waited_for(exported, tmp_path, drip):
    filler = Filler(open_release(exported), tmp_path / "cards")
    expected = comparable(checked_fill(filler))
    with slow_server(drip) as url:
        assert "did not answer" in open_release(with_url(exported, url)).note
        slowed = Filler(replace(filler.opened, config=with_url(exported, url)), tmp_path / "cards")
        made = checked_fill(slowed)
    assert comparable(made) == expected
    assert "did not answer in time" in made.notes[0]


class slow_server:
    """Accept connections and answer nothing, or one byte at a time of an endless reply."""

    def __init__(self, drip):
        self.drip, self.end = drip, threading.Event()

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        return f"redis://127.0.0.1:{self.socket.getsockname()[1]}/0"

    def serve(self):
        while not self.end.is_set():
            try:
                some, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(some,), daemon=True).start()

    def answer(self, some):
        with some:
            while not self.end.wait(self.drip or 0.05):
                try:
                    some.send(b"+" if self.drip else b"")
                except OSError:
                    return

    def __exit__(self, *_):
        self.end.set()
        self.socket.close()


def lose_record(c, keys):
    redis_of(c.kv.url).delete(keys.record(record_key("u001")))


def spoil_record(c, keys):
    redis_of(c.kv.url).set(keys.record(record_key("u001")), b"\xff" * 300)


def cut_record(c, keys):
    client, name = redis_of(c.kv.url), keys.record(record_key("u001"))
    client.set(name, client.get(name)[:-20])


def lose_schema(c, keys):
    redis_of(c.kv.url).delete(keys.schema)


def lose_chunk(c, keys):
    redis_of(c.kv.url).delete(
        *(keys.chunk(name, one) for name, some in read_manifest(c).tables.items() for one in some[:1])
    )


def spoil_chunk(c, keys):
    redis_of(c.kv.url).mset(
        {
            keys.chunk(name, one): b"ARROW1 no"
            for name, some in read_manifest(c).tables.items()
            for one in some[:1]
        }
    )


def other_format(c, _):
    write_manifest(c, replace(read_manifest(c), format=99))


def nonsense(c, _):
    redis_of(c.kv.url).set(redis_client.current(c.kv), b"1 {]")


def other_root(c, _):
    write_manifest(c, replace(read_manifest(c), release_id="of another root"))


def expired(c, _):
    write_manifest(c, replace(read_manifest(c), expires_at=int(time.time()) - 1))


def unknown_release(c, _):
    write_manifest(c, replace(read_manifest(c), seq=99))


def only_the_switch(c, _):
    text = redis_of(c.kv.url).get(redis_client.current(c.kv))
    redis_of(c.kv.url).flushall()
    redis_of(c.kv.url).set(redis_client.current(c.kv), text)


@pytest.mark.parametrize(
    "half",
    [
        lose_record,
        spoil_record,
        cut_record,
        lose_schema,
        lose_chunk,
        spoil_chunk,
        other_format,
        nonsense,
        other_root,
        expired,
        unknown_release,
        only_the_switch,
    ],
)
def test_a_partial_or_foreign_export_leaves_the_playlists_of_the_tables(exported, tmp_path, half):
    expected = comparable(checked_fill(Filler(LoadedRelease.of(exported), tmp_path / "a")))
    with redis_server(tmp_path / "redis") as (url, _):
        c = with_url(exported, url)
        copy_keys(exported, c)
        half(c, Keys(c.kv.prefix, read_manifest(c).release_id))
        made = checked_fill(Filler(open_release(c), tmp_path / "b"))
    assert comparable(made) == expected
    assert bool(made.notes) == (
        half not in {lose_chunk, spoil_chunk}
    )  # the catalogue is the pinned one, whichever store it is read from


def test_a_stale_export_is_read_for_some_hours_and_says_so(spark, copied, tmp_path):
    c, _ = copied
    old = read_manifest(c).release_id
    store = Store(spark, c.store)
    again = releases.again(store, releases.latest(store), dt.datetime.now(dt.UTC))
    stale = open_release(c)
    assert (stale.release_id, stale.seq) == (old, 1)
    assert (
        "from release 1: release 2, which is in force, is not exported"
        in checked_fill(Filler(stale, tmp_path / "cards")).notes[0]
    )
    too_old = open_release(with_url(c, c.kv.url, stale_hours=0.0))
    assert (too_old.release_id, type(too_old)) == (again.release_id, LoadedRelease)
    assert "trackpools export kv" in too_old.note
    export(c, Options(quiet=True))
    now = open_release(c)
    assert (now.release_id, type(now), now.note) == (again.release_id, ExportedRelease, "")
    assert redis_of(c.kv.url).exists(Keys(c.kv.prefix, old).record(record_key("u001"))), (
        "who reads the last release goes on"
    )


def test_switched_off_tracks_are_absent_from_redis_fills_too(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(switch_watch, "POLL_S", 0.0)
    c, _ = copied
    filler = Filler(open_release(c), tmp_path / "cards")
    gone = checked_fill(filler).tracks[0].track_id
    switch(c, Options(), "off", ("track", gone), "a claim")
    assert gone not in {one.track_id for one in checked_fill(filler).tracks}
    switch(c, Options(), "off", ("all",), "an incident")
    with pytest.raises(StoppedError):
        filler.fill(FillRequest(user_id="u001"))


def test_a_password_is_read_from_the_named_variable_and_a_cluster_works_as_one(spark, published, tmp_path):
    port = free_port()
    with redis_server(
        tmp_path / "redis", "--requirepass", os.environ[PASSWORD_ENV], "--cluster-enabled", "yes", port=port
    ) as (url, _):
        redis_of(url, password=os.environ[PASSWORD_ENV]).execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until = time.monotonic() + 20
        while redis_of(url, password=os.environ[PASSWORD_ENV]).cluster("INFO")["cluster_state"] != "ok":
            assert time.monotonic() < until
            time.sleep(0.05)
        c = load_config(
            settings=["mlflow.enabled=false", *SMALL, f"kv.url=redis://127.0.0.1:{port}", "kv.cluster=true"],
            root=str(published),
        )
        with pytest.raises(ConfigError, match="does not answer"):
            export(c, Options(quiet=True))
        with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE"):
            export(with_url(c, c.kv.url, password_env="NO_SUCH_VARIABLE"), Options(quiet=True))
        c = with_url(c, c.kv.url, password_env=PASSWORD_ENV)
        assert export(c, Options(quiet=True)).more["users"] == 40
        made = open_release(c)
        assert isinstance(made, ExportedRelease)
        assert made.user_record("u001", pool=True).note == ""
        assert checked_fill(Filler(made, tmp_path / "cards")).notes == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kv",), "no key-value store is set"),
        (("kv", "--set", "kv.url=redis://127.0.0.1:1"), "does not answer"),
        (("kv", "--set", "kv.url=redis://me:secret@host"), "no user, no password"),
        (("kv", "--set", "kv.url=http://host"), "redis://HOST"),
    ],
)
def test_invalid_commands_exit_2(published, capsys, words, said):
    assert (
        invoke(["export", *words, "--root", str(published), "--set", "mlflow.enabled=false", "--json"]) == 2
    )
    error = json.loads(capsys.readouterr().out)["error"]
    assert said in " ".join([error["message"], *error["problems"]])


def test_a_missing_package_is_reported_with_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[kv\]'"):
        redis_client.client(load_config().kv, 1.0)


def test_a_spoiled_record_raises_an_arrow_error():
    with pytest.raises(pa.ArrowInvalid):
        reader.decode_record(b"\xff" * 300, pa.schema([]))
