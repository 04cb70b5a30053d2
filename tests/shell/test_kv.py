"""Fills from a real Redis: the same playlists as from the tables, whatever becomes of it; an export switches once it is whole, resumes, and changes nothing twice."""

import datetime as dt
import json
import os
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
from trackpools.cli import _run
from trackpools.core.known import key_of
from trackpools.errors import ConfigError, InputError, StoppedError
from trackpools.fill.contract import FillRequest, Heard
from trackpools.shell import kv, kv_export, kv_reading, releases, watching
from trackpools.shell.command import Options
from trackpools.shell.filling import Filler
from trackpools.shell.kv import Keys, Manifest
from trackpools.shell.kv_export import export
from trackpools.shell.kv_reading import Exported, open_release
from trackpools.shell.serving import Opened
from trackpools.shell.settings import load_config
from trackpools.shell.store import Store
from trackpools.shell.switching import switch

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
    """Configuration of the root that lies in the store; for tests that change neither."""
    c = load_config(settings=["mlflow.enabled=false", *SMALL, f"kv.url={server}"], root=str(published))
    export(c, Options(quiet=True))
    return c


def at(config, url, **more):
    return config.model_copy(update={"kv": config.kv.model_copy(update={"url": url} | more)})


def raw(url, **more):
    return redis.Redis.from_url(url, **more)


def told(playlist):
    return playlist.model_dump(exclude={"request_id", "milliseconds", "notes"})


def manifest(config):
    return Manifest.read(raw(config.kv.url).get(kv.current(config.kv)))


def put(config, made):
    raw(config.kv.url).set(kv.current(config.kv), made.text())


def test_a_playlist_is_the_same_from_both(exported, tmp_path):
    here, there = Filler(Opened.of(exported), tmp_path / "a"), Filler(open_release(exported), tmp_path / "b")
    assert isinstance(there.opened, Exported)
    for number in range(40):
        day = dt.datetime.fromisoformat(AS_OF).date()
        request = FillRequest(
            user_id=f"u{number:03}",
            prompt=PROMPTS[number % 4],
            events=(Heard(track_id="t0001", day=day), Heard(track_id="t0004", day=day, skipped=True)),
        )
        one, other = here.fill(request), there.fill(request)
        assert told(one) == told(other)
        assert other.notes == one.notes
        assert one.tracks


def test_what_is_known_of_a_listener_is_the_same_from_both(exported):
    here, there = Opened.of(exported), open_release(exported)
    for user in ("u000", "u017", "u039"):
        one, other = here.known(user, pool=True), there.known(user, pool=True)
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
    with pytest.raises(InputError, match="knows no such user"):
        there.known("nobody")


def test_neither_keys_nor_records_hold_a_raw_id_and_all_of_them_expire(exported):
    client, seen = raw(exported.kv.url), 0
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
        client = raw(exported.kv.url)
        return (
            client.get("trackpools:current"),
            client.dbsize(),
            client.info("commandstats")["cmdstat_set"]["calls"],
        )

    before = state()
    assert "exported already" in export(exported, Options(quiet=True)).lines[0]
    assert state() == before


def test_an_export_that_broke_off_goes_on_where_it_stopped(spark, published, server):
    c = load_config(
        settings=["mlflow.enabled=false", *SMALL, f"kv.url={server}", "kv.prefix=other"], root=str(published)
    )
    first = export(c, Options(quiet=True)).more
    assert (first["users"], first["switched"]) == (40, True)
    assert first["memory_a_user"] > first["bytes_a_user"] > 200
    client, keys = raw(server), Keys("other", manifest(c).release_id)
    buckets = {
        name: int(value.split()[0])
        for name, value in client.hgetall(keys.done).items()
        if name.startswith(b"bucket:")
    }
    lost = next(iter(buckets))
    client.hdel(keys.done, lost)
    client.delete(kv.current(c.kv), keys.record(key_of("u001")))
    assert "no export" in open_release(c).note, "nothing is followed before it is whole"
    calls = client.info("commandstats")["cmdstat_set"]["calls"]
    again = export(c, Options(quiet=True)).more
    assert again["users"] == 40
    assert again["expires_at"] == first["expires_at"]
    # the records of that bucket, the schema and the switch
    assert client.info("commandstats")["cmdstat_set"]["calls"] - calls == buckets[lost] + 2


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("_chunks", marks=pytest.mark.soak),
        "_records",
        pytest.param("_written", marks=pytest.mark.soak),
    ],
)
def test_a_redis_that_dies_under_an_export_is_told_and_nothing_follows_it(
    published, tmp_path, monkeypatch, capsys, place
):
    whole = getattr(kv_export, place)
    with redis_server(tmp_path / "redis") as (url, process):

        def dying(*args):
            made = whole(*args) if place == "_written" else None  # all but the switch is done
            process.kill()
            process.wait()
            return made or whole(*args)

        monkeypatch.setattr(kv_export, place, dying)
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
        assert _run(words) == 1
    told = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "failed on the way (ConnectionError" in told
    assert "Run it again" in told
    monkeypatch.undo()
    with redis_server(tmp_path / "redis") as (again, _):
        assert again == url
        assert _run(words) == 0


def test_a_redis_that_is_full_is_told(published, tmp_path, capsys):
    with redis_server(tmp_path / "redis", "--maxmemory", "1100kb", "--maxmemory-policy", "noeviction") as (
        url,
        _,
    ):
        assert (
            _run(
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
        assert raw(url).get("trackpools:current") is None
    assert "OutOfMemoryError" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_readers_never_go_back_to_an_older_release(exported):
    client, name = raw(exported.kv.url), "else:current"
    later, until = Manifest(1, 7, "later", {}, {}, 0, 0, 2**31), 2**31
    assert client.eval(kv.SWITCH, 1, name, 7, later.text(), until) == 1
    assert client.eval(kv.SWITCH, 1, name, 6, replace(later, seq=6).text(), until) == 0
    assert Manifest.read(client.get(name)) == later
    assert client.eval(kv.SWITCH, 1, name, 10, replace(later, seq=10).text(), until) == 1
    client.delete(name)


def filled(filler, **more):
    """A playlist in time, and the one of the tables."""
    request = FillRequest(user_id="u001", prompt=PROMPTS[0], deadline_s=DEADLINE_S, **more)
    began = time.monotonic()
    made = filler.fill(request)
    assert time.monotonic() - began < DEADLINE_S + MARGIN_S
    assert len(made.tracks) == 20
    assert all(one.met for one in made.told)
    return made


@pytest.fixture
def copied(exported, released, tmp_path):
    """Copies of root and store of this test's own, and the store's process."""
    with redis_server(tmp_path / "redis") as (url, process):
        c = at(released, url)
        copy_keys(exported, c)
        yield c, process


def copy_keys(source, target):
    here, there = raw(source.kv.url), raw(target.kv.url)
    for key in here.scan_iter(match="trackpools:*"):
        there.restore(key, here.pttl(key), here.dump(key))


def test_redis_stopped_before_or_between_requests_leaves_the_playlists_of_the_tables(copied, tmp_path):
    c, process = copied
    filler = Filler(open_release(c), tmp_path / "cards")
    expected = told(filled(filler))
    process.kill()
    process.wait()
    made = [filled(filler) for _ in range(5)]
    assert [told(one) for one in made] == [expected] * 5
    assert all("the listener is read from the tables" in one.notes[0] for one in made)
    assert ["rests" in one.notes[0] for one in made] == [False] * 3 + [True] * 2  # kv.failures
    anew = open_release(c)
    assert "did not answer" in anew.note
    assert told(filled(Filler(anew, tmp_path / "cards"))) == expected


@pytest.mark.parametrize("drip", [None, 0.05], ids=["silent", "a byte at a time"])
def test_a_redis_that_is_slow_is_not_waited_for(exported, tmp_path, drip):
    filler = Filler(open_release(exported), tmp_path / "cards")
    expected = told(filled(filler))
    with slow_server(drip) as url:
        assert "did not answer" in open_release(at(exported, url)).note
        slowed = Filler(replace(filler.opened, config=at(exported, url)), tmp_path / "cards")
        made = filled(slowed)
    assert told(made) == expected
    assert "did not answer in time" in made.notes[0]


class slow_server:
    """Takes what is said and answers nothing, or a byte at a time of a reply that never ends."""

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
    raw(c.kv.url).delete(keys.record(key_of("u001")))


def spoil_record(c, keys):
    raw(c.kv.url).set(keys.record(key_of("u001")), b"\xff" * 300)


def cut_record(c, keys):
    client, name = raw(c.kv.url), keys.record(key_of("u001"))
    client.set(name, client.get(name)[:-20])


def lose_schema(c, keys):
    raw(c.kv.url).delete(keys.schema)


def lose_chunk(c, keys):
    raw(c.kv.url).delete(
        *(keys.chunk(name, one) for name, some in manifest(c).tables.items() for one in some[:1])
    )


def spoil_chunk(c, keys):
    raw(c.kv.url).mset(
        {keys.chunk(name, one): b"ARROW1 no" for name, some in manifest(c).tables.items() for one in some[:1]}
    )


def other_format(c, _):
    put(c, replace(manifest(c), format=99))


def nonsense(c, _):
    raw(c.kv.url).set(kv.current(c.kv), b"1 {]")


def other_root(c, _):
    put(c, replace(manifest(c), release_id="of another root"))


def expired(c, _):
    put(c, replace(manifest(c), expires_at=int(time.time()) - 1))


def unknown_release(c, _):
    put(c, replace(manifest(c), seq=99))


def only_the_switch(c, _):
    text = raw(c.kv.url).get(kv.current(c.kv))
    raw(c.kv.url).flushall()
    raw(c.kv.url).set(kv.current(c.kv), text)


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
def test_half_of_an_export_or_another_s_leaves_the_playlists_of_the_tables(exported, tmp_path, half):
    expected = told(filled(Filler(Opened.of(exported), tmp_path / "a")))
    with redis_server(tmp_path / "redis") as (url, _):
        c = at(exported, url)
        copy_keys(exported, c)
        half(c, Keys(c.kv.prefix, manifest(c).release_id))
        made = filled(Filler(open_release(c), tmp_path / "b"))
    assert told(made) == expected
    assert bool(made.notes) == (
        half not in {lose_chunk, spoil_chunk}
    )  # the catalogue is what is pinned, wherever it is read


def test_a_stale_export_is_read_for_some_hours_and_says_so(spark, copied, tmp_path):
    c, _ = copied
    old = manifest(c).release_id
    store = Store(spark, c.store)
    again = releases.again(store, releases.latest(store), dt.datetime.now(dt.UTC))
    stale = open_release(c)
    assert (stale.release_id, stale.seq) == (old, 1)
    assert "release 1, while 2 is in force" in filled(Filler(stale, tmp_path / "cards")).notes[0]
    too_old = open_release(at(c, c.kv.url, stale_hours=0.0))
    assert (too_old.release_id, type(too_old)) == (again.release_id, Opened)
    assert "trackpools export kv" in too_old.note
    export(c, Options(quiet=True))
    now = open_release(c)
    assert (now.release_id, type(now), now.note) == (again.release_id, Exported, "")
    assert raw(c.kv.url).exists(Keys(c.kv.prefix, old).record(key_of("u001"))), (
        "who reads the last release goes on"
    )


def test_what_is_switched_off_is_off_there_too(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "POLL_S", 0.0)
    c, _ = copied
    filler = Filler(open_release(c), tmp_path / "cards")
    gone = filled(filler).tracks[0].track_id
    switch(c, Options(), "off", ("track", gone), "a claim")
    assert gone not in {one.track_id for one in filled(filler).tracks}
    switch(c, Options(), "off", ("all",), "an incident")
    with pytest.raises(StoppedError):
        filler.fill(FillRequest(user_id="u001"))


def test_a_password_is_read_where_it_is_named_and_a_cluster_is_asked_as_one(spark, published, tmp_path):
    port = free_port()
    with redis_server(
        tmp_path / "redis", "--requirepass", os.environ[PASSWORD_ENV], "--cluster-enabled", "yes", port=port
    ) as (url, _):
        raw(url, password=os.environ[PASSWORD_ENV]).execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until = time.monotonic() + 20
        while raw(url, password=os.environ[PASSWORD_ENV]).cluster("INFO")["cluster_state"] != "ok":
            assert time.monotonic() < until
            time.sleep(0.05)
        c = load_config(
            settings=["mlflow.enabled=false", *SMALL, f"kv.url=redis://127.0.0.1:{port}", "kv.cluster=true"],
            root=str(published),
        )
        with pytest.raises(ConfigError, match="does not answer"):
            export(c, Options(quiet=True))
        with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE"):
            export(at(c, c.kv.url, password_env="NO_SUCH_VARIABLE"), Options(quiet=True))
        c = at(c, c.kv.url, password_env=PASSWORD_ENV)
        assert export(c, Options(quiet=True)).more["users"] == 40
        made = open_release(c)
        assert isinstance(made, Exported)
        assert made.known("u001", pool=True).note == ""
        assert filled(Filler(made, tmp_path / "cards")).notes == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kv",), "no key-value store is set"),
        (("csv",), "export knows kv"),
        (("kv", "--set", "kv.url=redis://127.0.0.1:1"), "does not answer"),
        (("kv", "--set", "kv.url=redis://me:secret@host"), "no user, no password"),
        (("kv", "--set", "kv.url=http://host"), "redis://HOST"),
    ],
)
def test_what_cannot_be_meant_exits_2(published, capsys, words, said):
    assert _run(["export", *words, "--root", str(published), "--set", "mlflow.enabled=false", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert said in " ".join([error["message"], *error["problems"]])


def test_a_missing_package_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackpools\[kv\]'"):
        kv.client(load_config().kv, 1.0)


def test_an_arrow_error_is_what_a_spoiled_record_raises():
    with pytest.raises(pa.ArrowInvalid):
        kv_reading.decoded(b"\xff" * 300, pa.schema([]))
