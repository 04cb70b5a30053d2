"""Tests of the HTTP transport for untrusted servers; test_fill_faults.py runs it under a model."""

import time

import httpcore2
import httpx2
import pytest

from stub_model import completion, http, says, slowly, stub
from trackpools.config.loading import load_config
from trackpools.fill.contract.chat_model import ModelFailed
from trackpools.shell.llm.openai_model import ChatModel
from trackpools.shell.llm.safe_http import guarded_client

ASKED = [{"role": "user", "content": "a song"}]
BODY = {"messages": ASKED}


@pytest.fixture
def endpoint():
    with stub(says("1")) as server:
        yield server


def test_a_body_that_drips_is_cut_off_at_the_read_timeout_of_its_request(endpoint):
    """Check a body whose bytes each arrive in time, but which would take a minute in total."""
    answer = http(200, completion("1"))
    head = answer.index(b"\r\n\r\n") + 4

    def drip(connection):
        connection.sendall(answer[:head])
        slowly(answer[head:], 0.2)(connection)

    endpoint.behave = lambda _: drip
    began = time.monotonic()
    with guarded_client(private=True) as client, pytest.raises((httpx2.ReadTimeout, httpcore2.ReadTimeout)):
        client.post(endpoint.url, json=BODY, timeout=1.0)
    assert 1.0 <= time.monotonic() - began < 2.0


def test_a_request_does_not_inherit_the_deadline_of_an_earlier_one(endpoint):
    model = ChatModel(
        load_config(
            settings=[f"llm.base_url={endpoint.url}", "llm.model=stub", "llm.private=true", "llm.retries=0"]
        ).llm
    )
    model.require_ready()
    endpoint.behave = lambda _: lambda _connection: time.sleep(0.5)
    with pytest.raises(ModelFailed):
        model.answer(ASKED, {}, seconds=0.3)
    endpoint.behave = says("1")
    with guarded_client(private=True) as client:
        assert client.post(endpoint.url, json=BODY, timeout=None).status_code == 200
        assert client.post(endpoint.url, json=BODY, timeout=5.0).status_code == 200
