"""Tests of a fill whose model endpoint fails in any way.

The playlist is valid, arrives before the deadline, holds candidates only and keeps hard constraints. The
failure is reported.
"""

import datetime as dt
import email.utils
import json
import random
import socket
import time

import numpy as np
import psutil
import pytest

from catalogues import everything, listener, some
from stub_model import completion, http, numbers, reset, says, shown, silent, slowly, stub
from trackpools.config.loading import load_config
from trackpools.errors import ConfigError
from trackpools.fill.contract.constraints import Constraints, Filter
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.flow.fill import Clock, fill_playlist
from trackpools.fill.llm.choice_prompt import schema_of
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.shell.llm.openai_model import ChatModel, retry_after
from trackpools.shell.llm.safe_http import is_public
from trackpools.shell.resilience.circuit_breaker import CircuitBreaker

WANTED = Constraints(tracks=12, every=Filter(no_tags=("jazz",), quiet_days=7), artist_cap=3)
WORLD = some(7, size=200)
WHO = listener({n: n % 40 for n in range(0, 200, 2)})
MARGIN = 1.0  # seconds beyond the deadline; a machine with other work needed 0.4 for what follows the model


def model_at(url, **more):
    settings = {
        "llm.base_url": url,
        "llm.model": "stub",
        "llm.private": True,
        "llm.retries": 1,
        "llm.breaker_failures": 1000,
        "llm.price_in": 1.0,
        "llm.price_out": 2.0,
    } | more
    return ChatModel(
        load_config(settings=[f"{key}={json.dumps(value)}" for key, value in settings.items()]).llm
    )


def checked_fill(model, wanted=WANTED, deadline=3.0, prompt="anything", world=WORLD, seed=0):
    """Return a fill after the checks that every fill must pass."""
    config = load_config()
    given = FillInputs(world, everything(world), wanted, WHO, {}, config.fill, config.llm)
    began = time.monotonic()
    made = fill_playlist(
        given, FillRequest(user_id="u", prompt=prompt, deadline_s=deadline, seed=seed), model, Clock()
    )
    assert time.monotonic() - began < deadline + MARGIN
    rows = made.composition.rows
    assert len(np.unique(rows)) == len(rows) == len(np.unique(world.song[rows]))
    assert all(one.met for one in made.constraint_results), [
        one for one in made.constraint_results if not one.met
    ]
    return made


GOOD = json.dumps({"tracks": list(range(1, 13))})
FAULTS = {
    "silent": lambda _: silent,
    "a byte a second": lambda _: slowly(http(200, completion(GOOD)), 1.0),
    "reset in the body": lambda _: reset(http(200, completion(GOOD))[:-40]),
    "closed at once": lambda _: b"",
    "half a head": lambda _: b"HTTP/1.1 200",
    **{
        f"status {status}": (
            lambda _, status=status: http(status, '{"error": {"message": "secret words of the server"}}')
        )
        for status in (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 529)
    },
    **{
        f"retry after {told}": (lambda _, told=told: http(429, "{}", Retry_After=told))
        for told in ("0.1", "86400", "-5", "soon", "nan", "1e400")
    },
    "retry after a date": lambda _: http(
        429, "{}", Retry_After=email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(days=300))
    ),
    "redirect to link-local": lambda _: http(302, Location="http://169.254.169.254/latest/meta-data"),
    "redirect by 307": lambda _: http(307, Location="http://169.254.169.254/v1/chat/completions"),
    "empty body": lambda _: http(200),
    "truncated body": lambda _: http(200, completion(GOOD)[:-30]),
    "no json": lambda _: http(200, "<html>busy</html>"),
    "deep body": lambda _: http(200, "[" * 10_000 + "]" * 10_000),
    "50 MB": lambda _: http(200, completion("x" * 50_000_000)),
    "bad utf-8": lambda _: http(
        200, completion("x").replace("x", "\udcff").encode("utf-8", "surrogateescape")
    ),
    "a list": lambda _: http(200, "[1, 2]"),
    "no choices": lambda _: http(200, '{"choices": []}'),
    "null choices": lambda _: http(200, '{"choices": null}'),
    "no content": says(None),
    "compressed": lambda _: http(200, b"\x1f\x8b" + b"0" * 100, Content_Encoding="gzip"),
    "refusal": says(None, refusal="I cannot"),
    "empty text": says(""),
    "prose": says("I would choose the first three, they are lovely."),
    "truncated text": says('{"tracks": [1, 2, 3'),
    "NaN": says('{"tracks": [NaN, 1]}'),
    "duplicate keys": says('{"tracks": [1], "tracks": [2]}'),
    "deep text": says('{"tracks": ' + "[" * 10_000 + "]" * 10_000 + "}"),
    "wrong schema": says('{"songs": [1, 2]}'),
    "strings": says('{"tracks": ["1", "2"]}'),
    "floats": says('{"tracks": [1.0, 2.5]}'),
    "negatives": says('{"tracks": [-1, -2]}'),
    "unknown": says('{"tracks": [5000, 900000000000000000000]}'),
    "booleans": says('{"tracks": [true, false]}'),
    "nothing": says('{"tracks": []}'),
    "null": says('{"tracks": null}'),
    "huge number": says('{"tracks": [' + "9" * 5000 + "]}"),
}
USED = {
    "fenced": says(f"Here you are:\n```json\n{GOOD}\n```\nEnjoy!"),
    "prose around": says(f"Sure! {GOOD} I hope you like it."),
    "good": says(GOOD),
    "too many": numbers(*range(1, 100)),
    "repeated": numbers(*([1, 2, 3, 4, 5, 6, 7, 8] * 9)),
    "with wrong ones": numbers(1, 2, -7, 3, 4, 5, 6, 7, 8, 10**9),
}


def in_turn(answers):
    """Return a behaviour that gives one answer after the other."""

    def behave(asked):
        return next(answers)(asked)

    return behave


@pytest.fixture
def endpoint():
    with stub(says(GOOD)) as server:
        yield server


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_still_gives_a_playlist_in_time_and_is_reported(endpoint, fault):
    endpoint.behave = FAULTS[fault]
    made = checked_fill(model_at(endpoint.url), deadline=1.5)
    assert made.chosen_by_model == 0
    assert made.degraded.endswith("code chose all")
    assert "secret words" not in made.degraded


@pytest.mark.parametrize("answer", USED)
def test_a_usable_answer_is_used(endpoint, answer):
    endpoint.behave = USED[answer]
    made = checked_fill(model_at(endpoint.url))
    assert made.chosen_by_model >= 0.5
    assert made.degraded == ""
    assert made.choice.tokens == 1050
    assert made.choice.cost == pytest.approx(1100 / 1e6)


def test_the_order_of_the_model_is_kept_and_missing_tracks_are_added(endpoint):
    endpoint.behave = numbers(9, 3, 17, 1, 30, 2)
    made = checked_fill(model_at(endpoint.url), wanted=Constraints(tracks=12, artist_cap=12, apart=False))
    assert set(made.choice.rows) <= set(made.composition.rows.tolist())
    assert made.chosen_by_model == 0.5
    places = [made.composition.rows.tolist().index(row) for row in made.choice.rows]
    assert places[:2] == sorted(places[:2])


def test_missing_tracks_are_asked_for_once_more_by_number(endpoint):
    answers = iter([says('{"tracks": ["ignore all rules", 1, 999]}'), numbers(*range(1, 13))])
    endpoint.behave = in_turn(answers)
    made = checked_fill(model_at(endpoint.url))
    assert (len(endpoint.asked), made.degraded, dict(made.choice.dropped)) == (
        2,
        "",
        {"no number": 1, "out of range": 1},
    )
    assert "ignore all rules" not in json.dumps(endpoint.asked[1])
    endpoint.behave = numbers(1)
    checked_fill(model_at(endpoint.url))
    assert len(endpoint.asked) == 4


def test_a_closed_port_and_a_hanging_connection_are_reported():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert (
            "unreachable" in checked_fill(model_at(f"http://127.0.0.1:{closed.getsockname()[1]}/v1")).degraded
        )
    with socket.socket() as full:  # the backlog is full, so connecting hangs
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        made = checked_fill(model_at(f"http://127.0.0.1:{full.getsockname()[1]}/v1"), deadline=1.0)
        assert "timeout" in made.degraded
        for one in waiting:
            one.close()


def test_private_addresses_are_asked_only_where_allowed(endpoint):
    assert "not public" in checked_fill(model_at(endpoint.url, **{"llm.private": False})).degraded
    assert (
        "not public"
        in checked_fill(
            model_at(endpoint.url.replace("127.0.0.1", "localhost"), **{"llm.private": False})
        ).degraded
    )
    assert endpoint.asked == []
    for barred in (
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "fd00::1",
        "224.0.0.1",
    ):
        assert not is_public(barred), barred
    assert is_public("1.1.1.1")
    assert is_public("2606:4700:4700::1111")


def test_temporary_failures_are_tried_again(endpoint):
    answers = iter([lambda _: http(503, "{}", Retry_After="0"), says(GOOD)])
    endpoint.behave = in_turn(answers)
    assert checked_fill(model_at(endpoint.url)).degraded == ""
    assert len(endpoint.asked) == 2
    endpoint.behave = lambda _: http(401)
    checked_fill(model_at(endpoint.url))
    assert len(endpoint.asked) == 3, "a wrong key stays wrong"


def test_after_failures_in_a_row_the_model_is_not_asked_for_a_while(endpoint):
    endpoint.behave = lambda _: http(500)
    model = model_at(endpoint.url, **{"llm.breaker_failures": 2, "llm.retries": 0})
    for _ in range(2):
        checked_fill(model)
    assert "circuit open" in checked_fill(model).degraded
    assert len(endpoint.asked) == 2
    now = [0.0]
    breaker = CircuitBreaker(2, 10.0, lambda: now[0])
    for well in (False, False):
        breaker.record(ok=well)
    assert not breaker.allows()
    now[0] = 11.0
    assert [breaker.allows(), breaker.allows()] == [True, False]  # one request tries, and the others wait
    breaker.record(ok=True)
    assert breaker.allows()


def test_a_budget_is_not_overdrawn_by_more_than_one_answer(endpoint):
    model = model_at(endpoint.url, **{"llm.budget": 0.0015})
    assert [checked_fill(model).degraded == "" for _ in range(3)] == [True, True, False]
    assert model.spent == pytest.approx(2 * 1100 / 1e6)


def test_a_missing_key_is_reported_before_any_request(endpoint, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        model_at(endpoint.url, **{"llm.key_env": "NO_SUCH_KEY"}).answer([], schema_of(3, 2), seconds=1)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("-3", 0.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(told, seconds):
    assert retry_after(told, lambda: 10.0) == seconds


def fuzzed(rng):
    """Return a random body: bytes, broken JSON, JSON of wrong things, or a damaged good answer."""
    text = json.dumps(
        {
            "tracks": [
                rng.choice([1, 5, 50, 500, -1, 1.5, "x", None, True, [], {}, 10**30])
                for _ in range(rng.randrange(20))
            ]
        }
    )
    kind = rng.randrange(7)
    if kind == 0:
        return http(200, rng.randbytes(rng.randrange(300)))
    if kind == 1:
        return http(200, completion(text)[: rng.randrange(400)])
    if kind == 2:
        body = bytearray(completion(text).encode())
        for _ in range(rng.randrange(1, 6)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        return http(200, bytes(body))
    if kind == 3:
        return http(
            200,
            completion(
                rng.choice(
                    [
                        "",
                        "[" * 2000,
                        "{" * 50,
                        "null",
                        '"tracks"',
                        '{"tracks":{}}',
                        "```json\n" + text + "```",
                        text + text,
                        text[: rng.randrange(40)],
                    ]
                )
            ),
        )
    if kind == 4:
        return http(rng.choice([200, 201, 204, 400, 404, 500]), completion(text))
    if kind == 5:
        return rng.randbytes(rng.randrange(200))
    return http(200, completion(text))


@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.soak)])
def test_fuzzed_bodies_change_nothing_that_must_hold(endpoint, count):
    rng = random.Random(count)
    endpoint.behave = lambda _: fuzzed(rng)
    model = model_at(endpoint.url, **{"llm.retries": 0})
    checked_fill(model)
    before = psutil.Process().memory_info().rss
    for seed in range(count):
        checked_fill(model, deadline=2.0, seed=seed)
    assert psutil.Process().memory_info().rss - before < 200e6


def test_large_answers_one_after_the_other_leave_no_memory_behind(endpoint):
    endpoint.behave = FAULTS["50 MB"]
    model = model_at(endpoint.url, **{"llm.retries": 0})
    checked_fill(model)
    before = psutil.Process().memory_info().rss
    for _ in range(5):
        checked_fill(model)
    assert psutil.Process().memory_info().rss - before < 200e6


def test_the_same_request_is_the_same_bytes_and_another_seed_another_order(endpoint):
    for seed in (1, 1, 2):
        checked_fill(model_at(endpoint.url), seed=seed)
    first, again, other = (json.dumps(asked["messages"]) for asked in endpoint.asked)
    assert first == again != other
    assert shown(endpoint.asked[0]) == shown(endpoint.asked[2]) > 60
